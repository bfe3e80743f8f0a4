"""What MkDocs is told of this project: pages made from docstrings, links to files beside the documentation, optional pages."""

from __future__ import annotations

import inspect
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent

LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+)([^)#\s]+)(#[^)]*)?\)")
"""A link that leads up from a page; of an image with its mark."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the navigation that are not there (yet)."""
    config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def _present(entries: Any, docs: Path) -> Any:
    kept = []
    for entry in entries:
        if isinstance(entry, str):
            if entry in MADE or (docs / entry).exists():
                kept.append(entry)
            continue
        [(title, below)] = entry.items()
        if isinstance(below, list):
            if found := _present(below, docs):
                kept.append({title: found})
        elif below in MADE or (docs / below).exists():
            kept.append(entry)
    return kept


def _environment(name: str, title: str) -> str:
    from n2n_gym.envs import both_stages, layer_removal, layer_shrink

    kinds = {"LayerRemovalEnv": layer_removal, "LayerShrinkEnv": layer_shrink, "BothStagesEnv": both_stages}
    text = inspect.cleandoc(getattr(kinds[name], name).__doc__)
    return f"# {title}\n\n{text}\n"


def _agents() -> str:
    from agents.algorithms.registry import ALGORITHMS

    rows = []
    for name, algorithm in ALGORITHMS.items():
        about = inspect.getdoc(algorithm.kind) or ""
        settings = ", ".join(f"`{key}={value!r}`" for key, value in algorithm.settings.items())
        first = " ".join(about.partition("\n\n")[0].split())
        rows.append(f"| `{name}` | `{algorithm.kind.__name__}` | {first} | {settings} |")
    table = "\n".join(["| name | class | what it is | settings of its own |", "|---|---|---|---|", *rows])
    return (Path(__file__).parent / "agents.md").read_text().replace("{algorithms}", table)


MADE = {
    "environments/layer-removal.md": lambda: _environment("LayerRemovalEnv", "N2N/LayerRemoval-v0"),
    "environments/layer-shrink.md": lambda: _environment("LayerShrinkEnv", "N2N/LayerShrink-v0"),
    "environments/both-stages.md": lambda: _environment("BothStagesEnv", "N2N/BothStages-v0"),
    "agents.md": _agents,
}
"""Pages that are made from the code, and how."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and pictures that pages show from beside the documentation."""
    for name, make in MADE.items():
        files.append(File.generated(config, name, content=make()))
    shown = {match[4] for file in files.documentation_pages() for match in LINK.finditer(_text(file)) if match[1]}
    for name in sorted(shown):
        files.append(File.generated(config, f"beside/{name}", content=(ROOT / name).read_bytes()))
    return files


def _text(file: File) -> str:
    return file.content_string if file.src_uri.endswith(".md") else ""


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead links to files beside the documentation to where the project is published; where it is not, name the file alone.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    up = "../" * len(PurePosixPath(page.file.src_uri).parent.parts)

    def led(match: re.Match[str]) -> str:
        picture, words, above, name, anchor = match.groups()
        if len(above) // 3 <= len(up) // 3:  # it stays within the documentation
            return match[0]
        if not (ROOT / name).exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {name}, which is not there")
        if picture:
            return f"![{words}]({up}beside/{name})"
        if config.repo_url:
            return f"[{words}]({config.repo_url.rstrip('/')}/blob/main/{name}{anchor or ''})"
        plain = words.strip("`")
        return f"`{name}`" if plain.rstrip("/") == name.rstrip("/") else f"{words} (`{name}`)"

    return LINK.sub(led, markdown)

"""The documentation as a site: it is built without a warning, and asks for nothing from the internet."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("mkdocs", "mkdocs_jupyter", "mkdocstrings", "material"):
    pytest.importorskip(package)

ROOT = Path(__file__).parent.parent
LOADED = re.compile(r"""<(?:script|img|iframe)\b[^>]*\bsrc=["']?https?:|<link\b[^>]*rel=["']?stylesheet[^>]*https?:""")


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing(tmp_path):
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    for name in ("index", "environments/layer-removal", "environments/both-stages", "agents", "how-it-works", "api/n2n_gym"):
        assert f"{name}.html" in pages
    assert [name for name, page in pages.items() if LOADED.search(page)] == []
    assert "Observation Space" in pages["environments/layer-shrink.html"]
    assert "{columns}" not in pages["environments/layer-removal.html"]
    assert "informed-evolution" in pages["agents.html"]

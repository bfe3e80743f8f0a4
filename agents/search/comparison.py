"""Two networks side by side: what they are, what they take, how fast they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from agents.search.student import network_folder
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import WEIGHTS, load_checkpoint
from n2n_gym.models.speed import compare_speed
from n2n_gym.system.machine import machine
from n2n_gym.system.versions import library_versions


def sizes(network: Network, folder: Path | None = None) -> dict[str, int]:
    """A network's sizes: parameters, MACs, bytes of its file, and of the feature maps that one image's pass holds at most.

    Args:
        network: The network.
        folder: Where it is saved; without, the file's size is that of the weights alone.
    """
    architecture = network.architecture
    return {
        "parameters": architecture.parameters,
        "macs": architecture.macs,
        "file_bytes": architecture.model_bytes if folder is None else (folder / WEIGHTS).stat().st_size,
        "activation_bytes": architecture.activation_bytes,
    }


def compare(a: str | Path, b: str | Path, *, device: str = "cpu") -> dict[str, Any]:
    """Two trained networks side by side.

    Args:
        a: A run's folder, the folder of any saved network, or a teacher's name.
        b: Another one.
        device: A GPU is timed besides the CPU.

    Returns:
        JSON data: under `a` and `b` names, accuracies and `sizes`; under `speed` what `compare_speed` returns.

    Raises:
        InputError: If there is no such network, or it is damaged.
    """
    networks, found = {}, {}
    for key, text in (("a", a), ("b", b)):
        folder = network_folder(text)
        checkpoint = load_checkpoint(folder)
        networks[key] = checkpoint.network
        accuracies = {name: checkpoint.facts[name] for name in ("val_accuracy", "test_accuracy")}
        found[key] = {"name": str(text), **accuracies, **sizes(checkpoint.network, folder)}
    return {**found, "speed": compare_speed(networks, device), "machine": machine(), "versions": library_versions()}


@dataclass(frozen=True)
class _Quantity:
    key: str
    title: str
    form: str = "{:,}"


_QUANTITIES = (
    _Quantity("val_accuracy", "val accuracy", "{:.2%}"),
    _Quantity("test_accuracy", "test accuracy", "{:.2%}"),
    _Quantity("parameters", "parameters"),
    _Quantity("macs", "MACs"),
    _Quantity("file_bytes", "file, bytes"),
    _Quantity("activation_bytes", "activations, bytes"),
)


def comparison_table(a: dict[str, Any], b: dict[str, Any], speed: list[dict[str, Any]], keys: tuple[str, str]) -> Table:
    """Sizes and times of two networks as a table: medians of passes in milliseconds, quartiles in brackets.

    Args:
        a: The first one's name, accuracies and sizes.
        b: The other's.
        speed: What `compare_speed` returned.
        keys: What the two are called in it.
    """
    table = Table(title=f"{a['name']} and {b['name']}; a pass in ms: median (quartiles)")
    for heading in ("", a["name"], b["name"], "ratio"):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for quantity in _QUANTITIES:
        values = [part.get(quantity.key) for part in (a, b)]
        cells = ["" if value is None else quantity.form.format(value) for value in values]
        first, second = values
        accuracy = quantity.key.endswith("accuracy")
        ratio = "" if accuracy or not (first and second) else f"{first / second:.1f}x"
        table.add_row(quantity.title, *cells, ratio)
    for row in speed:
        first, second = (row[key] for key in keys)
        where = f"{row['threads']} thread{'s' * (row['threads'] > 1)}" if row["device"] == "cpu" else row["device"]
        cells = [f"{each['median']:.3g} ({each['lower']:.3g} to {each['upper']:.3g})" for each in (first, second)]
        table.add_row(f"{row['engine']}, {where}, batch {row['batch']}", *cells, f"{first['median'] / second['median']:.1f}x")
    return table

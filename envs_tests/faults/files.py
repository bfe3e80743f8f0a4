"""Faults of what is read from disk, of what is given as data, and of what cannot be written."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import json
import os
import shutil
import sqlite3
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from agents.commands.main import main
from agents.search.compress import compress
from envs_tests.conftest import DEEPER_TOY, toy_arrays
from envs_tests.faults.harness import Fault, Refused, Same, Scene
from n2n_gym.data import dataset_spec
from n2n_gym.errors import InputError
from n2n_gym.evaluators import store
from n2n_gym.limits import Constraints
from n2n_gym.models.checkpoint import WEIGHTS, load_checkpoint, save_checkpoint
from n2n_gym.networks.sources import ArchitectureFile
from n2n_gym.system import files
from n2n_gym.system.files import DESCRIPTION, unfinished_training, write_json
from n2n_gym.tables import Table
from n2n_gym.tables import files as tables
from n2n_gym.tables.files import read_columns, table_path, write_columns
from n2n_gym.teachers.weights import read_weights

DEEP = "[" * 10**6 + "]" * 10**6


# Damage

Change = Callable[[Any], object]


def changed(path: Path, change: Change) -> None:
    """Change what a JSON file says."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def flip(path: Path, place: int = -9) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def in_run(name: str, damage: Callable[[Path], object]) -> Callable[[Scene], None]:
    """Damage of a file in the run's folder."""

    def inject(scene: Scene) -> None:
        damage(scene.run / name)

    return inject


def without(name: str) -> Callable[[Scene], None]:
    """Remove a file of the run's, as the line says."""

    def mend(scene: Scene) -> None:
        (scene.run / name).unlink()

    return mend


def another_run(scene: Scene) -> None:
    """Start another run, with the store of the old one, as the line says."""
    old = scene.run.rename(scene.place / "old")
    scene.changed["store"] = str(old / "evaluations.sqlite")


def finished(damage: Callable[[Path], object]) -> Callable[[Scene], None]:
    """Damage of a finished run's result."""

    def inject(scene: Scene) -> None:
        scene.go_on()
        damage(scene.run / "result.json")

    return inject


def _weights_of(name: str, *later: str) -> Callable[[Scene], None]:
    """A flipped bit in the weights of networks of the run's, which has no result yet, nor what is made of them later."""

    def inject(scene: Scene) -> None:
        scene.go_on()
        (scene.run / "result.json").unlink()
        for folder in later:
            shutil.rmtree(scene.run / folder)
        for weights in (scene.run / name).rglob(WEIGHTS):
            flip(weights)

    return inject


def _remove_networks(name: str) -> Callable[[Scene], None]:
    def mend(scene: Scene) -> None:
        shutil.rmtree(scene.run / name)

    return mend


def _torn_history(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _other_digit(path: Path) -> None:
    lines = path.read_text().splitlines()
    cells = lines[2].split(",")
    cells[5] = str(1 - float(cells[5]) / 2)
    path.write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:], ""]))


def _without_a_row(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], *lines[3:]]))


def _half_written(scene: Scene) -> None:
    (scene.run / ".n2n-part-0123456789abcdef-history.csv").write_text("stage,iter")
    (scene.run / "finalists" / ".n2n-part-0123456789abcdef-x").mkdir(parents=True)


def policy(change: Callable[[dict[str, torch.Tensor], dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change a saved agent as somebody would who knows its format; its checksum is taken away."""

    def damage(path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            said = json.loads(file.metadata()["agent"])
        tensors = load_file(path)
        change(tensors, said)
        save_file(tensors, path, {"agent": json.dumps(said)})

    return damage


def _nan(tensors: dict[str, torch.Tensor], _said: object) -> None:
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    tensors[name] = torch.full_like(tensors[name], float("nan"))


# Teachers


def description(change: Change) -> Callable[[Scene], None]:
    """Change what is said of the teacher, without a checksum, as an older version wrote it."""

    def inject(scene: Scene) -> None:
        _keep_teacher(scene)
        changed(scene.teacher / DESCRIPTION, lambda data: (data.pop("checksum"), change(data)))

    return inject


def teacher(change: Callable[[Path], object]) -> Callable[[Scene], None]:
    """Damage in the teacher's folder."""

    def inject(scene: Scene) -> None:
        _keep_teacher(scene)
        change(scene.teacher)

    return inject


def _keep_teacher(scene: Scene) -> None:
    shutil.copytree(scene.teacher, scene.place / "teacher.before")


def _put_back(scene: Scene) -> None:
    folder = scene.teacher
    shutil.rmtree(folder)
    shutil.copytree(scene.place / "teacher.before", folder)


def _train_again(scene: Scene) -> None:
    words = ["--teacher", scene.settings["teacher"], "--dataset", scene.settings["dataset"], "--device", "cpu"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["teacher", "list"]) == 0
        assert main(["teacher", "train", *words, "--again"]) == 0


def _resaved(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """Other weights, saved as this package saves them."""

    def damage(folder: Path) -> None:
        whole = load_checkpoint(folder)
        with torch.no_grad():
            for value in whole.network.parameters():
                value.copy_(change(value))
        facts = whole.facts
        shutil.rmtree(folder)
        save_checkpoint(folder, whole.network, whole.preprocessing, facts)

    return damage


def _nan_weights(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors = {name: torch.full_like(value, float("nan")) for name, value in tensors.items()}
    save_file(tensors, folder / WEIGHTS)
    from n2n_gym.models.checkpoint import file_hash

    hashed = file_hash(folder / WEIGHTS)
    changed(folder / DESCRIPTION, lambda data: (data.pop("checksum"), data.update(weights_sha256=hashed)))


def _unfinished(scene: Scene) -> None:
    unfinished_training(scene.teacher).write_bytes(b"\x40" * 400)
    shutil.rmtree(scene.teacher)


# The store


def row(change: Callable[[list[Any]], object]) -> Callable[[Scene], None]:
    """Change every row of the store; the checksum is that of a row of the first format: none."""

    def inject(scene: Scene) -> None:
        connection = sqlite3.connect(scene.store)
        for found in connection.execute("SELECT * FROM evaluations").fetchall():
            texts = [*found[:4], ""]
            change(texts)
            connection.execute("REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?)", texts)
        connection.commit()
        connection.close()

    return inject


def said(**facts: Any) -> Callable[[list[Any]], None]:
    """Change what a row says of its student."""

    def change(texts: list[Any]) -> None:
        texts[3] = json.dumps(json.loads(texts[3]) | facts)

    return change


def _flipped_row(scene: Scene) -> None:
    connection = sqlite3.connect(scene.store)
    connection.execute("UPDATE evaluations SET evaluation = replace(evaluation, '\"accuracy\": 0.', '\"accuracy\": 0.1')")
    connection.commit()
    connection.close()


def sql(*statements: str) -> Callable[[Scene], None]:
    """Change the store's file by SQL."""

    def inject(scene: Scene) -> None:
        connection = sqlite3.connect(scene.store)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return inject


FIRST_FORMAT = (
    "ALTER TABLE evaluations RENAME TO old",
    "CREATE TABLE evaluations (key TEXT PRIMARY KEY, architecture TEXT NOT NULL, context TEXT NOT NULL, "
    "evaluation TEXT NOT NULL) WITHOUT ROWID",
    "INSERT INTO evaluations SELECT key, architecture, context, evaluation FROM old",
    "DROP TABLE old",
    "PRAGMA user_version = 0",
)


def _damaged_page(scene: Scene) -> None:
    sql("PRAGMA wal_checkpoint(TRUNCATE)")(scene)
    content = bytearray(scene.store.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    scene.store.write_bytes(content)


def _no_store(scene: Scene) -> None:
    for path in scene.run.glob("evaluations.sqlite*"):
        path.unlink()


@contextmanager
def _full_store(scene: Scene) -> Iterator[None]:
    opened = store._opened

    def full(path: Path) -> sqlite3.Connection:
        connection = opened(path)
        [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_opened", full)
        yield


@contextmanager
def _locked_store(scene: Scene) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "PATIENCE", 0.3)
        connection = sqlite3.connect(scene.store, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
        connection.close()


# What cannot be written


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size in place of a folder, with what the folder holds; only who administers a machine may."""
    inside = shutil.copytree(folder, folder.with_name(f"{folder.name}.inside"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        shutil.copytree(inside, folder, dirs_exist_ok=True)
        yield
        shutil.rmtree(inside)
        shutil.copytree(folder, inside)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    shutil.rmtree(folder)
    inside.rename(folder)


def _full_disk(scene: Scene) -> contextlib.AbstractContextManager[None]:
    size = sum(path.stat().st_size for path in scene.run.rglob("*") if path.is_file())
    return _mounted(scene.run, f"{size // 1024 + 48}k")


_CAP_DAC_OVERRIDE = 1 << 1


@contextmanager
def _forbidden(scene: Scene) -> Iterator[None]:
    """Nothing may be written in the run's folder; a superuser's leave to write everywhere is laid down meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    before = data[0]
    data[0] &= ~_CAP_DAC_OVERRIDE
    assert libc.capset(header, data) == 0
    mode = scene.run.stat().st_mode
    scene.run.chmod(0o555)
    try:
        yield
    finally:
        data[0] = before
        assert libc.capset(header, data) == 0
        scene.run.chmod(mode)


def _no_teacher(scene: Scene) -> None:
    shutil.rmtree(scene.teacher)


def every_write(number: int) -> Callable[[Scene], None]:
    """Play the run in sittings, of which each ends at a later write than the one before: the first, the second, ..."""

    def does(scene: Scene) -> None:
        kept = files._keep
        sitting = 0
        while True:
            sitting += 1
            left = sitting

            def fails(file: Path) -> None:
                nonlocal left
                left -= file.parent.name != "checked"  # what was found out of files is found again
                if left == 0:
                    raise OSError(number, os.strerror(number), str(file))
                kept(file)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files, "_keep", fails)
                try:
                    scene.go_on()
                    break
                except InputError as error:
                    said = str(error)
            assert os.strerror(number) in said
            assert "what was finished is kept" in said
            assert len(said.splitlines()) == 1
            assert not list(scene.place.rglob(".n2n-part-*"))
        assert sitting > 10

    return does


# Data, and what is given


def data(change: Callable[[Path], object]) -> Callable[[Scene], None]:
    """Change the data set's file."""

    def inject(scene: Scene) -> None:
        shutil.copy2(scene.place / "toy.npz", scene.place / "whole.npz")
        change(scene.place / "toy.npz")

    return inject


def _whole_data(scene: Scene) -> None:
    shutil.copy2(scene.place / "whole.npz", scene.place / "toy.npz")


def _corrected_labels(path: Path) -> None:
    arrays = toy_arrays()
    arrays["y_test"][:2] = arrays["y_test"][:2][::-1]
    np.savez(path, **arrays)


def kept(name: str, damage: Callable[[Path], object]) -> Callable[[Scene], None]:
    """Damage of the converted images."""

    def inject(scene: Scene) -> None:
        damage(_kept_folder(scene) / name)

    return inject


def _kept_folder(scene: Scene) -> Path:
    [folder] = [path for path in (scene.home / "datasets" / "kept").iterdir() if path.is_dir()]
    return folder


def _convert_again(scene: Scene) -> None:
    shutil.rmtree(_kept_folder(scene))


def crafted(make: Callable[[Path], object]) -> Callable[[Scene], None]:
    """Something of a stranger's, at a place of its own."""

    def inject(scene: Scene) -> None:
        make(scene.place / "crafted")

    return inject


def _bomb(path: Path) -> None:
    header = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (300000, 32, 32, 1), }"
    with zipfile.ZipFile(path.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x_train.npy", "w") as file:
            file.write(header.ljust(127) + b"\n")
            for _ in range(300):
                file.write(bytes(1024 * 1000))
        with archive.open("y_train.npy", "w") as file:
            np.save(file, np.zeros(300_000, np.int64))


def archive(members: dict[str, bytes]) -> Callable[[Path], None]:
    """An archive of other things than arrays."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path.with_suffix(".npz"), "w") as made:
            for name, content in members.items():
                made.writestr(name, content)

    return make


def _table_header(path: Path) -> None:
    with zipfile.ZipFile(table_path("conv4-digits-removal")) as good, zipfile.ZipFile(path.with_suffix(".npz"), "w") as made:
        for name in good.namelist():
            content = good.read(name)
            if name == "seconds.npy":
                begin, end = content.index(b"'shape': ") + 9, content.index(b", }")
                content = content[:begin] + b"(4986, 30000000000)" + content[end:]
            made.writestr(name, content)


def _many_layers(path: Path) -> None:
    layers = [{"kind": "relu", "inputs": [i - 1]} for i in range(20_000)]
    network = {**DEEPER_TOY.to_json(), "layers": [*layers, {"kind": "linear", "outputs": 3, "inputs": [19_999]}]}
    write_json(path.with_suffix(".json"), network)


def _huge_images(path: Path) -> None:
    write_json(path.with_suffix(".json"), {**DEEPER_TOY.to_json(), "input_shape": [1, 20_000, 20_000]})


def read_architecture(scene: Scene) -> object:
    """Take the crafted file for a teacher's architecture."""
    return ArchitectureFile().architecture(str(scene.place / "crafted.json"), (1, 8, 8), 3, 1)


def read_data(scene: Scene) -> object:
    """Take the crafted file or folder for a data set."""
    path = scene.place / "crafted"
    return dataset_spec(str(path if path.is_dir() else path.with_suffix(".npz")))


class _Runs:
    """What runs code as it is unpacked."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("was-run",)


def _pickle(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3), "other": _Runs()}}, path.with_suffix(".pt"))


def _no_code(scene: Scene) -> object:
    try:
        return read_weights(scene.place / "crafted.pt")
    finally:
        assert not Path("was-run").exists()


def _future_table(path: Path) -> None:
    facts, columns = read_columns(table_path("conv4-digits-removal"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "FORMAT", 99)
        write_columns(path.with_suffix(".npz"), facts, columns)


def read_table(scene: Scene) -> object:
    """Take the crafted file for a table."""
    return Table.load(str(scene.place / "crafted.npz"))


def limits(text: str) -> Callable[[Scene], object]:
    """Give a limit."""

    def does(scene: Scene) -> object:
        return compress(**{**scene.settings, "constraint": (text,)})

    return does


def _picture_bomb(path: Path) -> None:
    for number in range(4):
        folder = path / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("1", (8, 8) if number else (9_000, 9_000)).save(folder / f"{number}.png")


def _unseen_class(scene: Scene) -> None:
    labels = toy_arrays()["y_train"]
    rows = np.flatnonzero(labels != 2)[:20]
    (scene.place / "validation.txt").write_text("\n".join(map(str, rows)))


def _limit_unseen(scene: Scene) -> object:
    arrays = toy_arrays()
    del arrays["x_test"], arrays["y_test"]
    seen = {"validation": str(scene.place / "validation.txt"), "out": str(scene.place / "other")}
    return compress(**{**scene.settings, **seen, "constraint": ("class_accuracy[2]>=0.5",)})


def nothing(scene: Scene) -> None:
    """All is as it should be."""


DAMAGED_RESULT = "remove it and resume the run to have it written again"
AGAIN = "--again trains it again"

FAULTS = [
    # The run's folder
    Fault(
        "power loss between write and rename",
        "what was half written is swept up; the run ends as if nothing had happened",
        _half_written,
        Same(),
    ),
    Fault(
        "torn last line of `history.csv`",
        "one line; another run with the old one's store trains no student twice",
        in_run("history.csv", _torn_history),
        Refused("history.csv is damaged: .*start another run; with --store", another_run, lost=("history.csv",)),
    ),
    Fault(
        "a changed number in `history.csv`",
        "noticed by the row's checksum; the same remedy",
        in_run("history.csv", _other_digit),
        Refused("a row is not as it was written; start another run; with --store", another_run, lost=("history.csv",)),
    ),
    Fault(
        "a whole row that is missing from `history.csv`",
        "noticed by what the stage that it belongs to ended with; the same remedy",
        in_run("history.csv", _without_a_row),
        Refused("is not as it was when stage1.json was written", another_run, lost=("history.csv",)),
    ),
    Fault(
        "a flipped bit in a policy",
        "noticed by its checksum; when it is removed, its stage begins again and ends alike",
        in_run("stage2.policy", flip),
        Refused("its checksum is another; if it is a run's, remove it", without("stage2.policy")),
    ),
    Fault(
        "a policy with NaN weights",
        "one line; the same remedy",
        in_run("stage2.policy", policy(_nan)),
        Refused("holds numbers that are not finite", without("stage2.policy")),
    ),
    Fault(
        "a policy whose counter is a text",
        "one line; the same remedy",
        in_run("stage2.policy", policy(lambda _, said: said.update(num_timesteps="6"))),
        Refused("Expected `int`, got `str` - at `\\$.num_timesteps`", without("stage2.policy")),
    ),
    Fault(
        "a policy whose counter runs ahead of the history",
        "one line; the same remedy",
        in_run("stage2.policy", policy(lambda _, said: said.update(num_timesteps=10**9))),
        Refused("lacks episodes that", without("stage2.policy")),
    ),
    Fault(
        "a policy that lacks a tensor",
        "one line; the same remedy",
        in_run("stage2.policy", policy(lambda tensors, _: tensors.pop("generator"))),
        Refused("is not a saved agent of this kind", without("stage2.policy")),
    ),
    Fault(
        "a policy whose header says 2^60 bytes",
        "refused before memory is asked for; the same remedy",
        in_run("stage2.policy", lambda path: path.write_bytes((1 << 60).to_bytes(8, "little") + path.read_bytes()[8:])),
        Refused("is not a readable saved agent", without("stage2.policy")),
    ),
    Fault(
        "a policy of the other stage",
        "one line; the same remedy",
        in_run("stage2.policy", lambda path: shutil.copy(path.with_name("stage1.policy"), path)),
        Refused("was trained for stage removal, the environment is of stage shrink", without("stage2.policy")),
    ),
    Fault(
        "a policy of a future format",
        "one line; the same remedy",
        in_run("stage2.policy", policy(lambda _, said: said.update(format=99))),
        Refused("has format 99, this version reads", without("stage2.policy")),
    ),
    Fault(
        "a policy whose settings are nested 10^6 deep",
        "one line; the same remedy",
        in_run("stage2.policy", lambda path: save_file(load_file(path), path, {"agent": DEEP})),
        Refused("nested too deeply", without("stage2.policy")),
    ),
    Fault(
        "`stage1.json` cut off",
        "one line; when it is removed it is written again",
        in_run("stage1.json", lambda path: path.write_bytes(path.read_bytes()[:80])),
        Refused("not a readable student's file: .*remove it: it is written again", without("stage1.json")),
    ),
    Fault(
        "`stage1.json` with other actions",
        "one line; the same remedy",
        in_run("stage1.json", lambda path: changed(path, lambda said: said.update(removals=[0, 0, 0, 0, 0, 1]))),
        Refused("was changed: its actions do not lead to its architecture|is not a student's file", without("stage1.json")),
    ),
    Fault(
        "`config.json` with a text for a number",
        "one line; another run with the old one's store trains no student twice",
        in_run("config.json", lambda path: changed(path, lambda said: said["configuration"].update(iterations="3"))),
        Refused("config.json is damaged: its configuration does not fit: Expected `int", another_run),
        does=lambda scene: compress(resume=str(scene.run)),
    ),
    Fault(
        "`config.json` nested 10^6 deep",
        "one line; the same remedy",
        in_run("config.json", lambda path: path.write_text(DEEP)),
        Refused("not a readable run configuration: it is nested too deeply; start another run", another_run),
    ),
    Fault(
        "`config.json` empty, as after a power loss without a journal",
        "one line; the same remedy",
        in_run("config.json", lambda path: path.write_text("")),
        Refused("not a readable run configuration", another_run),
    ),
    Fault(
        "`result.json` with a text for a number",
        "one line; when it is removed it is written again",
        finished(lambda path: changed(path, lambda said: said["student"].update(parameters="many"))),
        Refused(f"result.json is damaged: Expected `int`.*{DAMAGED_RESULT}", without("result.json")),
    ),
    Fault(
        "`result.json` nested 10^6 deep",
        "one line; the same remedy",
        finished(lambda path: path.write_text(DEEP)),
        Refused(f"nested too deeply; {DAMAGED_RESULT}", without("result.json")),
    ),
    Fault(
        "a flipped bit in a finalist's weights",
        "noticed by its checksum; when its folder is removed it is trained again",
        _weights_of("finalists", "student", "stage1"),
        Refused("truncated or was changed.*if it is a run's, remove its folder", _remove_networks("finalists")),
    ),
    Fault(
        "a flipped bit in the student's weights",
        "the same",
        _weights_of("student"),
        Refused("truncated or was changed.*if it is a run's, remove its folder", _remove_networks("student")),
    ),
    Fault(
        "a flipped bit in the weights of a finished run's student",
        "the same",
        finished(lambda path: flip(path.with_name("student") / WEIGHTS)),
        Refused("truncated or was changed.*if it is a run's, remove its folder", _remove_networks("student")),
    ),
    # Teachers
    Fault(
        "a flipped bit in a teacher's weights",
        "noticed by its checksum; `n2n teacher list` says so, `n2n teacher train --again` makes it anew, and runs go on",
        teacher(lambda folder: flip(folder / WEIGHTS)),
        Refused(f"truncated or was changed.*{AGAIN}", _train_again),
    ),
    Fault(
        "a teacher with NaN weights",
        "found before anything is trained; the same remedy",
        teacher(_nan_weights),
        Refused(f"holds weights that are no finite numbers.*{AGAIN}", _train_again),
    ),
    Fault(
        "a teacher without `model.json`",
        "one line; the same remedy",
        teacher(lambda folder: (folder / DESCRIPTION).unlink()),
        Refused(f"no description of a saved network at.*{AGAIN}", _train_again),
    ),
    Fault(
        "a teacher's facts with a text for a number",
        "one line; the same remedy",
        description(lambda data: data["facts"].update(val_accuracy="0.9")),
        Refused(f"Expected `float \\| null`, got `str`.*{AGAIN}", _train_again),
    ),
    Fault(
        "`model.json` nested 10^6 deep",
        "one line; the same remedy",
        teacher(lambda folder: (folder / DESCRIPTION).write_text(DEEP)),
        Refused(f"nested too deeply.*{AGAIN}", _train_again),
    ),
    Fault(
        "a changed fact of a teacher",
        "noticed by its checksum; the same remedy",
        teacher(lambda folder: changed(folder / DESCRIPTION, lambda data: data["facts"].update(test_accuracy=0.5))),
        Refused(f"was changed: its checksum is another.*{AGAIN}", _train_again),
    ),
    Fault(
        "a teacher exchanged between two sittings",
        "the run is not gone on with; with the old teacher it is",
        teacher(_resaved(lambda value: value * 1.01)),
        Refused(r"is not the one that the run in .* was begun with \(its weights changed\)", _put_back),
    ),
    Fault(
        "a teacher's recorded accuracy changed between two sittings",
        "the run is not gone on with; with the old teacher it is",
        description(lambda data: data["facts"].update(val_accuracy=0.5)),
        Refused(r"was begun with \(its val accuracy changed\)", _put_back),
    ),
    Fault(
        "a damaged file of a teacher's training that was stopped",
        "it is said, and the training begins anew, to the same end",
        _unfinished,
        Same(),
        begun=0,
    ),
    # The store
    Fault("a row with an accuracy of 10^6", "it is said, and the student is trained again", row(said(accuracy=1e6)), Same()),
    Fault("a row with a text for a number", "the same", row(said(parameters="many")), Same()),
    Fault("a row with null for a number", "the same", row(said(accuracy=None)), Same()),
    Fault("a row with fields of a future version", "the same", row(said(energy=1.0)), Same()),
    Fault("a row that is no JSON", "the same", row(lambda texts: texts.__setitem__(3, "{")), Same()),
    Fault("a row of bytes", "the same", row(lambda texts: texts.__setitem__(3, b"\xff\xfe")), Same()),
    Fault("a row nested 10^6 deep", "the same", row(lambda texts: texts.__setitem__(3, DEEP)), Same()),
    Fault("a changed number in a row", "noticed by its checksum; the same", _flipped_row, Same()),
    Fault("a store of the first format", "it is made one of this format", sql(*FIRST_FORMAT), Same()),
    Fault(
        "a store of a future format",
        "one line; without it its students are trained again",
        sql("PRAGMA user_version = 9"),
        Refused("is a store of format 9, this version reads 2; use the version that wrote it", _no_store),
    ),
    Fault(
        "another program's database for a store",
        "one line, and nothing in it is touched",
        sql("DROP TABLE evaluations", "CREATE TABLE mine (x)", "PRAGMA user_version = 0"),
        Refused("another program's database, not a store", _no_store),
    ),
    Fault(
        "a damaged page of the store",
        "one line; without it its students are trained again",
        _damaged_page,
        Refused("is damaged .*malformed.*move it away", _no_store),
    ),
    Fault(
        "a full disk under the store",
        "one line; when there is room the run goes on",
        _full_store,
        Refused("cannot be written: no space left.*make room there", nothing),
        begun=1,
    ),
    Fault(
        "a store locked by another program",
        "it is waited for, a minute; then one line; when it is free the run goes on",
        _locked_store,
        Refused("stays locked by another program", nothing),
    ),
    # What cannot be written
    Fault(
        "a full disk under the run's folder (a real one)",
        "one line; when there is room the run goes on",
        _full_disk,
        Refused("cannot be written: .*[Nn]o space left.*make room there", nothing),
        begun=1,
        slow=True,
    ),
    Fault(
        "ENOSPC at every write",
        "one line each time; the run goes on where it was",
        _no_teacher,
        Same(),
        does=every_write(errno.ENOSPC),
        begun=0,
        slow=True,
    ),
    Fault(
        "EIO at every write",
        "one line each time; the run goes on where it was",
        _no_teacher,
        Same(),
        does=every_write(errno.EIO),
        begun=0,
        slow=True,
    ),
    Fault(
        "EACCES in the run's folder",
        "one line; when writing is allowed the run goes on",
        _forbidden,
        Refused("cannot be written: .*(Permission denied|readonly|unable to open).*allow writing there", nothing),
    ),
    # Data
    Fault(
        "a data set half downloaded",
        "one line; with the whole file the run goes on",
        data(lambda path: path.write_bytes(path.read_bytes()[:3000])),
        Refused("cannot be read as a .npz data set", _whole_data),
    ),
    Fault(
        "corrected test labels between two sittings",
        "the run is not gone on with: another data set has another teacher",
        data(_corrected_labels),
        Refused("images changed since the run", _whole_data),
    ),
    Fault(
        "damaged facts of converted images",
        "one line; when they are removed they are converted again",
        kept("dataset.json", lambda path: changed(path, lambda said: said.update(classes="3"))),
        Refused("Expected `int`, got `str`.*remove .* to have the images converted again", _convert_again),
    ),
    Fault(
        "converted images cut off",
        "one line; the same remedy",
        kept("x_train.npy", lambda path: path.write_bytes(path.read_bytes()[:500])),
        Refused("does not have 500 bytes.*remove .* to have the images converted again", _convert_again),
    ),
    # What strangers may give
    Fault(
        "an archive that unpacks to a thousand times its size",
        "refused before it is unpacked",
        crafted(_bomb),
        Refused("its .* bytes unpack to"),
        does=read_data,
        begun=0,
    ),
    Fault(
        "an archive with members that are no arrays",
        "one line",
        crafted(archive({"x_train.npy": b"text", "y_train.npy": b"", "facts.npy": b"\x93NUMPY"})),
        Refused("cannot be read as a .npz data set"),
        does=read_data,
        begun=0,
    ),
    Fault(
        "an archive whose members name places outside it",
        "nothing is ever unpacked to where a member says",
        crafted(archive({"../../x_train.npy": b"", "/etc/y_train.npy": b""})),
        Refused("lacks x_train, y_train"),
        does=read_data,
        begun=0,
    ),
    Fault(
        "a table whose header says 150 million million numbers",
        "refused before memory is asked for",
        crafted(_table_header),
        Refused("does not have .* bytes"),
        does=read_table,
        begun=0,
    ),
    Fault(
        "a table of a future format",
        "one line",
        crafted(_future_table),
        Refused("is a table of format 99; this version reads format 1"),
        does=read_table,
        begun=0,
    ),
    Fault(
        "weights of a teacher to import that run code as they are unpacked",
        "one line; nothing runs",
        crafted(_pickle),
        Refused("holds more than weights, and unpacking it could run code; save the state_dict alone"),
        does=_no_code,
        begun=0,
    ),
    Fault(
        "an architecture for images of 20,000 x 20,000 pixels",
        "one line",
        crafted(_huge_images),
        Refused("hold more than"),
        does=read_architecture,
        begun=0,
    ),
    Fault(
        "an architecture of 20,000 layers",
        "one line",
        crafted(_many_layers),
        Refused("an architecture has at most"),
        does=read_architecture,
        begun=0,
    ),
    Fault(
        "a picture of 81 million pixels in a file of some kilobytes",
        "refused by its header",
        crafted(_picture_bomb),
        Refused("9000 x 9000 pixels are more than"),
        does=read_data,
        begun=0,
    ),
    Fault(
        "limits nested 10^6 deep",
        "one line",
        crafted(lambda path: path.with_suffix(".json").write_text(DEEP)),
        Refused("nested too deeply"),
        does=lambda scene: Constraints.parse(str(scene.place / "crafted.json")),
        begun=0,
    ),
    Fault(
        "a limit on a class with a number of 5,000 digits",
        "one line",
        nothing,
        Refused("no data set has a class whose number has"),
        does=limits(f"class_accuracy[{'9' * 5000}]>=0.5"),
        begun=0,
    ),
    Fault("an empty limit", "one line", nothing, Refused("an empty constraint limits nothing"), does=limits(""), begun=0),
    Fault(
        "a limit on a class without validation images",
        "one line",
        _unseen_class,
        Refused("1 of 3 classes \\(label 2\\) have no validation image; add one of each"),
        does=_limit_unseen,
        begun=0,
    ),
]

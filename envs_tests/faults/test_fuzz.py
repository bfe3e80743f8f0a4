"""Every loader, fed with real files that were mutated, and with any JSON: nothing but `InputError` may come out.

A few hundred inputs are part of the ordinary tests; `N2N_FUZZ=20000 pytest envs_tests/faults/test_fuzz.py` feeds so many, an
equal share to each loader, and says how many there were.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import n2n_gym  # noqa: F401
from agents.algorithms.evolution import RegularizedEvolution
from agents.algorithms.reinforce import Reinforce
from agents.algorithms.saving import CHECKSUM, KEY, read_agent
from agents.algorithms.sb3 import BatchedVecEnv
from agents.benchmark.results import Results
from agents.benchmark.runs import Run
from agents.report.listing import listed
from agents.report.page import environment, report_page
from agents.report.run import read_run
from agents.report.server import link
from agents.search.history import Episode, read_history, write_history
from agents.search.options import Search
from agents.search.result import read_result
from agents.search.run_folder import RunFolder, RunStart
from envs_tests.conftest import DEEPER_TOY, FormulaEvaluator, toy_arrays
from n2n_gym.data import DataSettings, dataset_spec, load_dataset
from n2n_gym.errors import InputError
from n2n_gym.evaluation import Evaluation
from n2n_gym.evaluators.store import EvaluationStore, _checksum
from n2n_gym.limits import Constraints
from n2n_gym.models.build import Network
from n2n_gym.models.checkpoint import WEIGHTS, file_hash, load_checkpoint, save_checkpoint
from n2n_gym.models.preprocessing import Preprocessing
from n2n_gym.networks.sources import ArchitectureFile
from n2n_gym.student import Student
from n2n_gym.system.arrays import read_array
from n2n_gym.system.files import write_json
from n2n_gym.tables import Table
from n2n_gym.teachers.weights import read_weights
from n2n_gym.training.resume import TrainingFile

TOY_REMOVALS = (0, 0, 1, *[0] * 13)
"""An episode of conv4's."""

INPUTS = int(os.environ.get("N2N_FUZZ", "0")) or 600
"""Of all loaders together."""

LONGEST = 20.0
"""Seconds that one input may take, on a machine that does other things, too."""

MOST_MEMORY = 1 << 30
"""Bytes that the process may grow by while a loader is fed."""

ODD: list[Any] = [
    *(None, True, False, "", "text", "NaN", "1", -1, 0, 1, 2, 3, 1.5, -0.5, 10**6, 2**63, 10**30, 1e308, -1e308),
    *([], {}, [[]], {"a": {}}, [None] * 3, ["x"], [1, 2], "\u0000\n[red]", "9" * 5000, "../../etc/passwd", "a" * 300),
]


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in JSON data something stands."""
    found = [path] if path else []
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        found += places(value, (*path, key))
    return found


def mutated_data(data: Any, rng: random.Random) -> Any:
    """JSON data with one to three places changed."""
    data = copy.deepcopy(data)
    for _ in range(rng.randint(1, 3)):
        known = places(data)
        if not known:
            return data
        *way, last = rng.choice(known)
        parent = data
        for key in way:
            parent = parent[key]
        kind = rng.randrange(6)
        if kind == 0:
            del parent[last]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice(("x", "format", "", "kind", str(last) + "s"))] = parent.pop(last)
        elif kind == 2 and isinstance(parent[last], list) and parent[last]:
            parent[last] = parent[last] * rng.choice((2, 1000))
        elif kind == 3 and isinstance(parent[last], int | float) and not isinstance(parent[last], bool):
            parent[last] = rng.choice(
                (-parent[last], parent[last] + 1, parent[last] * 10**6, float(parent[last]), parent[last] / 3)
            )
        else:
            parent[last] = copy.deepcopy(rng.choice(ODD))
    return data


def mutated_text(data: Any, rng: random.Random) -> bytes:
    """JSON data, changed, as text; now and then nested very deeply, or with numbers that JSON has not."""
    text = json.dumps(mutated_data(data, rng) if rng.random() < 0.9 else data)
    match rng.randrange(12):
        case 0:
            deep = rng.choice((100, 3000, 200_000))
            opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
            where = rng.randrange(len(text))
            return (text[:where] + opening * deep + "1" + closing * deep + text[where:]).encode()
        case 1:
            digits = [i for i, each in enumerate(text) if each.isdigit()] or [0]
            where = rng.choice(digits)
            return (text[:where] + rng.choice(("NaN", "Infinity", "1e999", "9" * 6000, "-", '"')) + text[where + 1 :]).encode()
        case 2 | 3:
            return mutated_bytes(text.encode(), rng)
    return text.encode()


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """A file's bytes, changed: flipped, cut off, doubled, filled, or others altogether."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 40))):
        where = rng.randrange(len(data)) if data else 0
        match rng.randrange(8):
            case 0 | 1 | 2 if data:
                data[where] ^= 1 << rng.randrange(8)
            case 3 if data:
                data[where] = rng.choice((0, 255, 34, 93, 48, 128))
            case 4:
                del data[where:]
            case 5:
                data[where:where] = rng.randbytes(rng.choice((1, 8, 500)))
            case 6:
                length = rng.choice((1, 4, 8, 64))
                data[where : where + length] = rng.choice((b"\xff", b"\x00", b"\x7f")) * length
            case 7:
                data[where:where] = data[max(0, where - 64) : where]
    return bytes(data)


@dataclass(frozen=True)
class Loader:
    """A kind of file.

    Attributes:
        make: Writes a good one into a folder.
        spoil: Changes it.
        load: Reads it.
        dear: How many times as long as others it takes: it gets fewer inputs.
        forgiving: Whether what is damaged is passed over, and made again.
    """

    make: Callable[[Path], None]
    spoil: Callable[[Path, random.Random], None]
    load: Callable[[Path], object]
    dear: int = 1
    forgiving: bool = False


def spoiling(name: str) -> Callable[[Path, random.Random], None]:
    """Change a JSON file or, now and then, its bytes."""

    def spoil(folder: Path, rng: random.Random) -> None:
        path = folder / name
        data = json.loads(path.read_text())
        path.write_bytes(mutated_text(data, rng))

    return spoil


def spoiling_bytes(name: str) -> Callable[[Path, random.Random], None]:
    """Change a file's bytes."""

    def spoil(folder: Path, rng: random.Random) -> None:
        path = folder / name
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))

    return spoil


# Saved networks


def make_network(folder: Path) -> None:
    network = Network(DEEPER_TOY, torch.Generator().manual_seed(0))
    facts = {
        "parameters": DEEPER_TOY.parameters,
        "macs": DEEPER_TOY.macs,
        "val_accuracy": 0.5,
        "test_accuracy": None,
        "val_class_accuracy": [0.5, 0.25, 1.0],
        "data_fingerprint": "2-x",
        "places": [{"operator": "conv"}],
        "class_names": ["a", "b", "c"],
    }
    save_checkpoint(folder / "saved", network, Preprocessing((0.5,), (0.5,), (8, 8)), facts)


def spoil_description(folder: Path, rng: random.Random) -> None:
    path = folder / "saved" / "model.json"
    data = json.loads(path.read_text())
    if rng.random() < 0.8:
        del data["checksum"]
    path.write_bytes(mutated_text(data, rng))


def spoil_weights(folder: Path, rng: random.Random) -> None:
    path = folder / "saved" / WEIGHTS
    path.write_bytes(mutated_bytes(path.read_bytes(), rng))
    description = json.loads((folder / "saved" / "model.json").read_text())
    del description["checksum"]
    (folder / "saved" / "model.json").write_text(json.dumps({**description, "weights_sha256": file_hash(path)}))


# Agents


def environments(count: int = 2) -> BatchedVecEnv:
    evaluator = FormulaEvaluator(DEEPER_TOY)
    Path("deeper.json").exists() or write_json(Path("deeper.json"), DEEPER_TOY.to_json())
    Path("toy.npz").exists() or np.savez("toy.npz", **toy_arrays())
    made = gym.make_vec("N2N/LayerRemoval-v0", num_envs=count, teacher="deeper.json", dataset="toy.npz", evaluator=evaluator)
    return BatchedVecEnv(made)


def make_reinforce(folder: Path) -> None:
    agent = Reinforce("BidirectionalLstmPolicy", environments(), n_rollouts=2, seed=0)
    agent.learn(2 * 6)
    agent.save(folder / "a.policy")


def make_evolution(folder: Path) -> None:
    agent = RegularizedEvolution(environments(), seed=0)
    agent.learn(2 * 6)
    agent.save(folder / "a.policy")


def spoil_settings(folder: Path, rng: random.Random) -> None:
    """Change what is said beside the tensors, and take the checksum away: as a stranger would."""
    path = folder / "a.policy"
    if rng.random() < 0.25:
        return spoiling_bytes("a.policy")(folder, rng)
    with safe_open(path, framework="pt") as file:
        texts = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del texts[CHECKSUM]
    if rng.random() < 0.3:
        name = rng.choice(list(tensors))
        tensors[name] = rng.choice(
            [
                tensors[name].reshape(-1)[:0],
                tensors[name].to(torch.int64) * 1000,
                torch.full((3,), float("nan")),
                tensors[name].reshape(-1)[:1].clone(),
                torch.full_like(tensors[name], 100),
            ]
        ).contiguous()
    else:
        texts[KEY] = mutated_text(json.loads(texts[KEY]), rng).decode(errors="replace")
    save_file(tensors, path, texts)
    return None


# Runs


def make_run(folder: Path) -> None:
    search = Search(teacher="conv4", dataset="digits", iterations=3)
    started = "2026-01-31T12:00:00+01:00"
    start = RunStart(search.configuration, {"teacher": "x"}, None, "n2n compress", "r", started)
    with RunFolder(folder / "run", start) as run:
        student = Student(search.problem.architecture).removed(TOY_REMOVALS)
        name, size = student.architecture.fingerprint[:16], student.architecture.parameters
        actions = "".join(map(str, TOY_REMOVALS))
        episode = Episode(1, 0, 0, actions, name, 0.5, 0.25, size, 2000, 0.3, "", 0.0, 1.5, False)
        failed = Episode(2, 0, 0, "09", "f" * 16, 0.0, 0.25, 1000, 2000, -1.0, "timeout, late", 0.0, 1.5, True, 0.25)
        write_history(run.path, [episode] * 5 + [failed])
    teacher = {"name": "t", "dataset": "d", "val_accuracy": 0.5, "places": None, "removals": None}
    write_json(folder / "run" / "teacher.json", {**teacher, "architecture": search.problem.architecture.to_json()})
    student.save(folder / "run" / "student.json")
    network = {"parameters": 10, "macs": 20, "test_accuracy": 0.5, "file_bytes": 3, "activation_bytes": 4}
    several = {"mean": 0.5, "low": 0.25, "high": 0.75, "values": [0.4, 0.6]}
    rewards = {"reward": 0.5, "search_reward": 0.5, "luck": 0.0, "ratio": 2.5, "test_accuracies": several}
    rival = {**network, **rewards, "student_ahead_by": several}
    times = {"median": 0.5, "lower": 0.25, "upper": 1.0}
    result = {
        "teacher": {"name": "t", "dataset": "d", "val_accuracy": 0.5, **network},
        "student": {**network, **rewards, "violates": ["parameters <= 5"]},
        "stage1": {**network, "ratio": 2.5},
        "beside": {"a": rival},
        "baseline": {**rival, "agent": "random"},
        "verdict": "worse than others",
        "data": {
            "doubt": "who knows",
            "images": 100,
            "teacher_low": 0.25,
            "teacher_high": 0.75,
            "validation": "x",
            "test": "y",
            "classes": [{"name": "0", "teacher": 0.5, "student": 0.25}],
        },
        "speed": [{"engine": "torch", "device": "cpu", "threads": 1, "batch": 1, "teacher": times, "student": times}],
        "search": {"evaluations": 1, "trained": 1, "from_store": 0, "degenerate": 0, "seconds": 0.5, "recipe": "fast"},
        "seed": 0,
        "device": "cpu",
        "threads": 1,
        "finished": started.replace("12", "13"),
        "machine": {"processor": "p", "cores": 2},
        "versions": {"torch": "2"},
    }
    write_json(folder / "run" / "result.json", result)


def spoil_run(folder: Path, rng: random.Random) -> None:
    name = rng.choice((*["result.json"] * 3, "teacher.json", "student.json", "config.json", "history.csv"))
    (spoiling_bytes if name == "history.csv" else spoiling)(f"run/{name}")(folder, rng)


def load_list(folder: Path) -> object:
    return environment().get_template("browse.html").render(root=folder, entries=listed(folder), link=link)


def make_student(folder: Path) -> None:
    Student(DEEPER_TOY, (0, 0, 1, 0, 0, 0)).save(folder / "student.json")


# Stores


def make_store(folder: Path) -> None:
    store = EvaluationStore(folder / "s.sqlite")
    for number in range(3):
        evaluation = Evaluation(0.5, 0.75, 1000, 2000, 3000, 10, 20, (0.5, 0.25), (0.5,), None, 1.5, "", 0.5, "run")
        store.put(f"key{number}", DEEPER_TOY, '{"a": 1}', evaluation)
    store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def spoil_store(folder: Path, rng: random.Random) -> None:
    if rng.random() < 0.5:
        return spoiling_bytes("s.sqlite")(folder, rng)
    connection = sqlite3.connect(folder / "s.sqlite")
    [row] = connection.execute("SELECT * FROM evaluations WHERE key = 'key1'").fetchall()
    texts: list[Any] = list(row)
    column = rng.choice((1, 2, 3))
    texts[column] = mutated_text(json.loads(texts[column]), rng).decode(errors="replace")
    texts[4] = _checksum([str(each) for each in texts[:4]])
    if rng.random() < 0.2:
        texts[rng.choice((1, 2, 3, 4))] = rng.choice((7, b"\xff\xfe", 0.5, b"", ""))
    connection.execute("REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?)", texts)
    connection.commit()
    connection.close()
    return None


def load_store(folder: Path) -> object:
    store = EvaluationStore(folder / "s.sqlite")
    try:
        found = [store.get(f"key{number}") for number in range(3)]
        for each in [each for each in found if each] + [evaluation for _, _, evaluation in store]:
            assert 0 <= each.accuracy <= 1
        return len(store)
    finally:
        store.close()


# Arrays


def make_table(folder: Path) -> None:
    shutil.copy(TOY_TABLES[0] / "removal.npz", folder / "t.npz")


def spoil_archive(name: str) -> Callable[[Path, random.Random], None]:
    """Change the bytes of an archive, or of an array in it, or what its facts say, or an array's header."""

    def spoil(folder: Path, rng: random.Random) -> None:
        path = folder / name
        if rng.random() < 0.3:
            return spoiling_bytes(name)(folder, rng)
        with zipfile.ZipFile(path) as archive:
            members = {each: archive.read(each) for each in archive.namelist()}
        chosen = rng.choice(list(members))
        content = members[chosen]
        kind = rng.randrange(5)
        if chosen == "facts.npy" and kind < 4:
            facts = json.loads(content[content.index(b"\n") + 1 :])
            text = np.frombuffer(mutated_text(facts, rng), np.uint8)
            np.save(folder / "facts.npy", text)
            members[chosen] = (folder / "facts.npy").read_bytes()
        elif kind == 0:
            members.pop(chosen)
        elif kind == 1:
            shape = rng.choice((b"(10000000000, 100)", b"(-5,)", b"(3,", b"()", b"(1.5,)", b"((((((1,),),),),),)", b"None"))
            begin, end = content.index(b"'shape': ") + 9, content.index(b", }")
            members[chosen] = content[:begin] + shape + content[end:]
        elif kind == 2:
            descr = rng.choice((b"'|O'", b"'<f8'", b"'<U100000000'", b"[('a', '<i8')]", b"'<m8[s]'", b"7", b"'|V8'"))
            begin, end = content.index(b"'descr': ") + 9, content.index(b", 'fortran")
            members[chosen] = content[:begin] + descr + content[end:]
        else:
            members[chosen] = mutated_bytes(content, rng)
        with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for each, content in members.items():
                archive.writestr(each, content)
        return None

    return spoil


def make_data(folder: Path) -> None:
    np.savez(folder / "d.npz", **toy_arrays(images=30))


def load_data(folder: Path) -> object:
    data = load_dataset(dataset_spec(str(folder / "d.npz")))
    return data.split(), data.test, data.fingerprint


def make_kept(folder: Path) -> None:
    make_data(folder)
    spec = dataset_spec(str(folder / "d.npz"))
    shutil.copytree(spec.store, folder / "kept")
    (folder / "where").write_text(spec.store)


def spoil_kept(folder: Path, rng: random.Random) -> None:
    name = rng.choice(("dataset.json", "dataset.json", "x_train.npy", "y_train.npy", "x_test.npy"))
    (spoiling if name.endswith("json") else spoiling_bytes)(name)(folder / "kept", rng)
    place = Path((folder / "where").read_text())
    shutil.rmtree(place)
    shutil.copytree(folder / "kept", place)


def make_pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        (folder / "images" / f"class{number % 2}").mkdir(parents=True, exist_ok=True)
        suffix = ("png", "jpg", "bmp", "tif", "webp", "ppm")[number]
        picture = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        picture.save(folder / "images" / f"class{number % 2}" / f"{number}.{suffix}")


def spoil_pictures(folder: Path, rng: random.Random) -> None:
    path = rng.choice(sorted((folder / "images").rglob("*.*")))
    path.write_bytes(mutated_bytes(path.read_bytes(), rng))


def make_validation(folder: Path) -> None:
    (folder / "v.txt").write_text("".join(f"{number}\n" for number in range(30)))


def spoil_validation(folder: Path, rng: random.Random) -> None:
    path = folder / "v.txt"
    if rng.random() < 0.5:
        return spoiling_bytes("v.txt")(folder, rng)
    text = path.read_text().splitlines()
    text[rng.randrange(len(text))] = rng.choice(
        ("9" * 5000, "1438", "-1", "1_0", "²", "cat/1.png", "\u0663", "\0", "1.0", "x" * 9999)
    )
    path.write_text("\n".join(text), encoding=rng.choice(("utf-8", "utf-8-sig", "utf-16")))
    return None


def load_validation(folder: Path) -> object:
    return load_dataset(dataset_spec("digits", DataSettings(validation=str(folder / "v.txt")))).split()


def make_limit(folder: Path) -> None:
    (folder / "l.txt").write_text("2*parameters + 1e-1*macs <= 1_000_000; class_accuracy[3] >= 0.5; -activation_bytes<=-5")


def spoil_limit(folder: Path, rng: random.Random) -> None:
    """Change characters of a limit to others that limits are made of."""
    text = list((folder / "l.txt").read_text())
    for _ in range(rng.choice((1, 2, 5))):
        where = rng.randrange(len(text))
        text[where : where + rng.randrange(2)] = rng.choice(
            [*"0159_.eE+-*<>=;[]k, \n\0\u0663²", "__", "1__0", "9" * 5000, "1e999", "macs"]
        )
    (folder / "l.txt").write_text("".join(text))


def make_state(folder: Path) -> None:
    state = Network(DEEPER_TOY, torch.Generator().manual_seed(0)).state_dict()
    torch.save({"state_dict": state}, folder / "w.pt")
    save_file(state, folder / "w.safetensors")


def make_array(folder: Path) -> None:
    np.save(folder / "a.npy", np.zeros((30, 3), np.float32))


def make_training(folder: Path) -> None:
    network, optimizer, generator = trained_parts()
    file = TrainingFile(folder / "t", seed=0)
    file._written = -1e9
    file.write(network, optimizer, generator, {}, {"epoch": 3, "best": None})


def trained_parts() -> tuple[Network, torch.optim.Optimizer, torch.Generator]:
    network = Network(DEEPER_TOY, torch.Generator().manual_seed(0))
    return network, torch.optim.SGD(network.parameters(), 0.1, momentum=0.9), torch.Generator()


def make_results(folder: Path) -> None:
    run = Run("mine", "task", 0, (1, 2, 3), ((1, 2),), 5, 1.5, (0.5, 0.25))
    Results("mine", (1, 2), (run,), {"task": "x"}, {"machine": {"processor": "p"}, "versions": {"torch": "2"}}).save(
        folder / "r.json"
    )


TOY_TABLES: list[Path] = []
LIMITS = {"constraints": ["parameters<=20000", {"coefficients": {"parameters": 1, "macs": 0.1}, "at_most": 5e4}]}

LOADERS = {
    "description": Loader(make_network, spoil_description, lambda folder: load_checkpoint(folder / "saved")),
    "weights": Loader(make_network, spoil_weights, lambda folder: load_checkpoint(folder / "saved")),
    "agent": Loader(make_reinforce, spoil_settings, lambda folder: read_agent(folder / "a.policy")),
    "reinforce": Loader(make_reinforce, spoil_settings, lambda folder: Reinforce.load(folder / "a.policy"), 4),
    "evolution": Loader(
        make_evolution, spoil_settings, lambda folder: RegularizedEvolution.load(folder / "a.policy", environments(2)), 4
    ),
    "configuration": Loader(make_run, spoiling("run/config.json"), lambda f: Search(resume=str(f / "run")).resumed(())),
    "history": Loader(make_run, spoiling_bytes("run/history.csv"), lambda folder: read_history(folder / "run")),
    "result": Loader(make_run, spoiling("run/result.json"), lambda folder: read_result(folder / "run")),
    "page": Loader(make_run, spoil_run, lambda folder: report_page([read_run(folder / "run")]), 2),
    "list": Loader(make_run, spoil_run, load_list, 2, forgiving=True),
    "student": Loader(make_student, spoiling("student.json"), lambda f: Student.load(f / "student.json", DEEPER_TOY)),
    "architecture": Loader(
        lambda folder: write_json(folder / "a.json", DEEPER_TOY.to_json()),
        spoiling("a.json"),
        lambda folder: ArchitectureFile().architecture(str(folder / "a.json"), (1, 8, 8), 3, 1),
    ),
    "limits": Loader(
        lambda folder: write_json(folder / "l.json", LIMITS),
        spoiling("l.json"),
        lambda folder: Constraints.parse(str(folder / "l.json")),
    ),
    "limit": Loader(make_limit, spoil_limit, lambda folder: Constraints.parse((folder / "l.txt").read_text())),
    "validation": Loader(make_validation, spoil_validation, load_validation),
    "store": Loader(make_store, spoil_store, load_store, forgiving=True),
    "table": Loader(make_table, spoil_archive("t.npz"), lambda folder: Table.load(str(folder / "t.npz")).statistics(), 2),
    "data": Loader(make_data, spoil_archive("d.npz"), load_data, 4),
    "kept data": Loader(make_kept, spoil_kept, lambda folder: load_data(folder.parent / "good"), 4),
    "pictures": Loader(make_pictures, spoil_pictures, lambda folder: dataset_spec(str(folder / "images")), 4),
    "state of torch": Loader(make_state, spoiling_bytes("w.pt"), lambda folder: read_weights(folder / "w.pt")),
    "state": Loader(make_state, spoiling_bytes("w.safetensors"), lambda folder: read_weights(folder / "w.safetensors")),
    "array": Loader(
        make_array, spoiling_bytes("a.npy"), lambda folder: read_array(folder / "a.npy", what="array", remedy="make it again")
    ),
    "training": Loader(
        make_training,
        spoiling_bytes("t"),
        lambda folder: TrainingFile(folder / "t", seed=0).read(*trained_parts(), most=9),
        forgiving=True,
    ),
    "benchmark result": Loader(make_results, spoiling("r.json"), lambda folder: Results.load(folder / "r.json")),
}
SHARES = sum(1 / loader.dear for loader in LOADERS.values())


def refused(loader: Loader, folder: Path) -> bool:
    """Whether a file is refused, in one line; anything but that, and being read, is an error."""
    said = ""
    try:
        loader.load(folder)
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1, said
    return bool(said)


@pytest.mark.parametrize("name", LOADERS)
def test_mutated_files(
    name: str,
    tmp_path: Path,
    toy_tables: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    TOY_TABLES[:] = [toy_tables]
    loader, inputs = LOADERS[name], max(3, round(INPUTS / SHARES / LOADERS[name].dear))
    good = tmp_path / "good"
    good.mkdir()
    loader.make(good)
    loader.load(good)  # what is not mutated is read
    began = time.process_time()
    before, bad = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 0
    for number in range(inputs):
        folder = tmp_path / "spoiled"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        loader.spoil(folder, random.Random(f"{name} {number}"))
        start = time.monotonic()
        try:
            bad += refused(loader, folder)
        except Exception as error:
            raise AssertionError(f"input {number} of {name!r} ends in {type(error).__name__}: {error}") from error
        assert time.monotonic() - start < LONGEST, f"input {number} of {name!r}"
        caplog.clear()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    assert grown < MOST_MEMORY, f"{grown:,} bytes more"
    assert bad or loader.forgiving, "no input was refused"
    print(f"{name}: {inputs} inputs, {bad} refused, {time.process_time() - began:.1f} s of the processor")  # noqa: T201


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("name", ["configuration", "result", "student", "architecture", "limits", "benchmark result"])
@settings(
    max_examples=max(10, INPUTS // 60), deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(data=JSON)
def test_any_json(name: str, tmp_path: Path, data: Any) -> None:
    files = {
        "configuration": "run/config.json",
        "result": "run/result.json",
        "student": "student.json",
        "architecture": "a.json",
        "limits": "l.json",
        "benchmark result": "r.json",
    }
    path = tmp_path / files[name]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data))
    assert refused(LOADERS[name], tmp_path)

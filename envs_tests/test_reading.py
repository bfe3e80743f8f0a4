"""The rooms that files are read in and written in: limits, types, and what is said."""

import ast
import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytest
import torch

from n2n_gym.errors import InputError
from n2n_gym.system.arrays import check_once, made_map, read_archive, read_array
from n2n_gym.system.documents import Count, Share, parse_document, read_document
from n2n_gym.system.files import locked, write_folder, write_json, write_text
from n2n_gym.system.tensors import not_finite, read_tensors, tensors_hash, write_tensors

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Row:
    name: str
    share: Share
    counts: tuple[Count, ...] = ()


class Page(TypedDict):
    rows: list[Row]


def test_a_document_becomes_what_it_must_be(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"rows": [{"name": "a", "share": 1, "counts": [3]}], "more": 1})
    assert read_document(path, Page, "page") == {"rows": [Row("a", 1.0, (3,))]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"rows": [{"name": "a", "share": 1.5}]}', r"<= 1.0 - at `\$.rows\[0\].share`"),
        ('{"rows": [{"name": "a", "share": -1}]}', ">= 0"),
        ('{"rows": [{"name": 3, "share": 1}]}', "Expected `str`, got `int`"),
        ('{"rows": [{"name": "a", "share": true}]}', "got `bool`"),
        ('{"rows": [{"name": "a", "share": NaN}]}', "malformed"),
        ('{"rows": [{"name": "a", "share": 1e999}]}', "out of range"),
        ('{"rows": [{"name": "a", "share": 1, "counts": [-1]}]}', "at `.*counts"),
        ('{"rows": [{"name": "a"}]}', "missing required field `share`"),
        ("[]", "Expected `object`, got `array`"),
        ("", "truncated"),
        ("[" * 10**6, "nested too deeply|truncated"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested more than 32 deep"),
        (" " * (1 << 24) + "{}", "too large"),
    ],
)
def test_another_document_is_refused_in_one_line(text, said, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        read_document(path, Page, "page", remedy="write it again")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_others_wrote_is_said_in_one_line():
    with pytest.raises(InputError) as raised:
        parse_document(json.dumps({"rows": {"a\n\x1b[31m": 1}}), Page, "it is no page")
    assert str(raised.value).isprintable()


def test_numbers_that_json_has_not_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_text_that_could_not_be_read_back_is_not_written(tmp_path):
    good = ["caf\u00e9", "\U0001f408", r"\ud83d", "\x7f"]
    write_json(tmp_path / "a.json", good)
    assert read_document(tmp_path / "a.json", list[str], "list") == good
    with pytest.raises(InputError, match=r"a.json cannot be written: .*x\\udcff.* is no UTF-8") as caught:
        write_json(tmp_path / "a.json", {"names": [*good, os.fsdecode(b"x\xff")]})
    assert str(caught.value).isprintable()
    assert read_document(tmp_path / "a.json", list[str], "list") == good


def test_a_place_that_cannot_be_written_is_said_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("x")
    for write in (write_text, write_json):
        with pytest.raises(InputError, match="cannot be written: (Not a directory|File exists); what was finished is kept"):
            write(tmp_path / "file" / "a", "b")
    with pytest.raises(InputError, match="cannot be written"):
        write_tensors(tmp_path / "file" / "a", {"a": torch.zeros(2)})
    with pytest.raises(InputError, match="cannot be written"), locked(tmp_path / "file" / ".lock"):
        pass

    def full(part):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part / "x"))

    with pytest.raises(InputError, match="folder cannot be written: No space left on device; make room there"):
        write_folder(tmp_path / "folder", full)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {
        "a": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.array(["x", "yz"]),
        "d": np.zeros((0, 3), np.float32),
        "e": np.float64(3),
        "f": np.array([True, False]),
    }
    np.savez(tmp_path / "stored.npz", **arrays)
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    for name in ("stored.npz", "packed.npz"):
        for mapped in (False, True):
            found = read_archive(tmp_path / name, what="archive", remedy="", mapped=mapped)
            assert found.keys() == arrays.keys()
            for key, array in arrays.items():
                assert (found[key].dtype, found[key].shape) == (np.asarray(array).dtype, np.shape(array))
                assert np.array_equal(found[key], array)
    assert isinstance(read_archive(tmp_path / "stored.npz", ["a"], what="", remedy="", mapped=True)["a"], np.memmap)
    np.save(tmp_path / "b.npy", arrays["b"])
    assert np.array_equal(read_array(tmp_path / "b.npy", what="array", remedy="", mapped=True), arrays["b"])
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    with pytest.raises(InputError, match="objects, which could run code"):
        read_array(tmp_path / "o.npy", what="array", remedy="write numbers")


def test_a_wrong_checksum_is_said_however_an_archive_is_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.full((30, 40), 77, np.uint8), b=np.arange(3))
    path.write_bytes(path.read_bytes().replace(bytes([77] * 40), bytes([78] + [77] * 39), 1))
    for mapped in (False, True):
        with pytest.raises(
            InputError, match=r"cannot be read as a archive \(Bad CRC-32 for file 'a.npy'\); make it again"
        ) as raised:
            read_archive(path, what="archive", remedy="make it again", mapped=mapped)
        assert "\n" not in str(raised.value)
        assert read_archive(path, ["b"], what="archive", remedy="", mapped=mapped)["b"].tolist() == [0, 1, 2]


def test_files_are_checked_once_until_they_change(tmp_path, own_home):
    path, checks = tmp_path / "a", []

    def check():
        checks.append(path.read_bytes())
        if path.read_bytes() == b"wrong":
            raise InputError("it is wrong")

    path.write_bytes(b"right")
    for _ in range(3):
        check_once("a", [path], check)
    assert checks == [b"right"]
    path.write_bytes(b"wrong")
    os.utime(path, ns=(1, 10**15))
    for _ in range(2):  # what is wrong is not remembered
        with pytest.raises(InputError, match="it is wrong"):
            check_once("a", [path], check)
    path.write_bytes(b"right again")
    check_once("a", [path], check)
    [mark] = (own_home / "checked").iterdir()
    mark.write_bytes(b"\xff")
    check_once("a", [path], check)
    check_once("a", [path], check)
    assert len(checks) == 5


def test_where_nothing_can_be_remembered_files_are_checked_each_time(tmp_path, own_home):
    own_home.write_bytes(b"no folder")
    checks = []
    for _ in range(2):
        check_once("a", [], lambda: checks.append(1))
    assert checks == [1, 1]


def test_the_room_of_a_map_is_taken_at_once(tmp_path):
    made = made_map(tmp_path / "a.npy", (1 << 20,))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1 << 20
    made[:] = 3
    made.flush()
    assert (read_array(tmp_path / "a.npy", what="array", remedy="") == 3).all()


def test_tensors_are_read_as_they_were_written(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.tensor(3), "c": torch.tensor([float("inf")])}
    write_tensors(tmp_path / "a.safetensors", tensors, {"said": "x"})
    found, texts = read_tensors(tmp_path / "a.safetensors", "file")
    assert texts == {"said": "x"}
    assert tensors_hash(found) == tensors_hash(tensors)
    assert tensors_hash(found) != tensors_hash({**found, "b": torch.tensor(4)})
    assert not_finite(found) == ["c"]


def test_equal_tensors_and_texts_make_equal_files(tmp_path):
    texts = {str(number): '\n"\\\x7f\x01é😀/' + str(number) for number in range(20)}
    for number in range(5):
        write_tensors(tmp_path / str(number), {"b": torch.arange(3), "a": torch.ones(2)}, texts)
        assert (tmp_path / str(number)).read_bytes() == (tmp_path / "0").read_bytes()
    found, said = read_tensors(tmp_path / "0", "file")
    assert said == texts
    assert found["b"].tolist() == [0, 1, 2]


READERS = {
    "load_file": {"n2n_gym/system/tensors.py"},
    "safe_open": {"n2n_gym/system/tensors.py"},
    "save_file": {"n2n_gym/system/tensors.py"},
    "read_array_header_1_0": {"n2n_gym/system/arrays.py"},
    "load": {"n2n_gym/teachers/weights.py", "n2n_gym/models/export/check.py", "n2n_gym/data/kept.py"},
    "loads": {
        "n2n_gym/system/tensors.py",
        "n2n_gym/system/worker.py",
        "n2n_gym/evaluators/store.py",
        "n2n_gym/testing/evaluator.py",
        "n2n_gym/models/export/source.py",
    },
}
"""What reads files, and where it may stand besides; of `load` and `loads`: numpy's, torch's, json's and pickle's."""


@pytest.mark.parametrize("name", READERS)
def test_files_are_read_in_one_place(name):
    found = set()
    for path in [*(ROOT / "n2n_gym").rglob("*.py"), *(ROOT / "agents").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _called(node) in (
                name,
                *(f"{it}.{name}" for it in ("json", "np", "torch", "pickle")),
            ):
                found.add(str(path.relative_to(ROOT)))
    assert found <= READERS[name]


def _called(call: Any) -> str:
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            return f"{module}.{name}"
    return ""

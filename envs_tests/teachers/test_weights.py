"""Weights come from files as people have them: under other names, or not whole."""

import io

import pytest
import torch
from torch import nn

from n2n_gym.errors import InputError
from n2n_gym.teachers.weights import load_weights, read_weights


def network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3))


@pytest.fixture
def state():
    torch.manual_seed(0)
    return network().state_dict()


def loaded(module, path, state):
    torch.save(state, path)
    load_weights(module, path)
    return list(module.state_dict().values())


def under(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "a.b.c."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_wrappers_put_before_names(state, tmp_path, prefix, wrapped):
    named = under(prefix, state)
    found = loaded(network(), tmp_path / "w.pt", {"epoch": 3, "state_dict": named} if wrapped else named)
    assert all(torch.equal(*pair) for pair in zip(found, state.values(), strict=True))


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_a_network_that_is_wrapped_itself(state, tmp_path, wrap):
    for prefix in ("", "module.", "_orig_mod."):
        found = loaded(wrap(network()), tmp_path / "w.pt", under(prefix, state))
        assert all(torch.equal(*pair) for pair in zip(found, state.values(), strict=True))


def test_parts_that_were_compiled(state, tmp_path):
    named = {name.replace(".", "._orig_mod."): value for name, value in state.items()}
    found = loaded(network(), tmp_path / "w.pt", named)
    assert all(torch.equal(*pair) for pair in zip(found, state.values(), strict=True))


def test_weights_without_a_shape_yet(state, tmp_path):
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(3))
    found = loaded(lazy, tmp_path / "w.pt", state)
    assert all(torch.equal(*pair) for pair in zip(found, state.values(), strict=True))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_from_before_batches_were_counted(tmp_path, prefix):
    torch.manual_seed(0)
    parts = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4)), nn.Flatten(), nn.Linear(144, 3))
    module = nn.Sequential(*parts)
    state = {name: torch.rand_like(value) for name, value in module.state_dict().items() if "num_batches" not in name}
    torch.save(under(prefix, state), tmp_path / "w.pt")
    load_weights(module, tmp_path / "w.pt")
    found = module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert found["1.num_batches_tracked"] == found["2.0.num_batches_tracked"] == 0
    torch.save(under(prefix, {name: value for name, value in state.items() if "running_var" not in name}), tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"it lacks 1.running_var, 2.0.running_var; "):
        load_weights(module, tmp_path / "w.pt")


def test_names_that_do_not_fit(state, tmp_path):
    def said(found):
        with pytest.raises(InputError) as refusal:
            loaded(network(), tmp_path / "w.pt", found)
        [line] = str(refusal.value).splitlines()
        return line

    beside = said({"state_dict": {**under("model.", state), "criterion.weight": torch.ones(3)}})
    assert "it has criterion.weight, which the network does not; save the network's own alone" in beside
    other = {name: value for name, value in state.items() if name != "0.bias"}
    assert "it lacks 0.bias; give the network that they were saved from" in said(under("model.", other))
    twice = {**under("model.", state), "0.bias": state["0.bias"]}
    assert "it lacks" in said(twice)
    assert "it holds epoch, ema; " in said({"epoch": 3, "ema": 0.9})
    assert "it holds a list" in said([1, 2])


def saved(state, zipped=True):
    found = io.BytesIO()
    torch.save(state, found, _use_new_zipfile_serialization=zipped)
    return found.getvalue()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_what_stands_in_the_place_of_weights(tmp_path, suffix):
    path = tmp_path / f"w.{suffix}"
    for content, said in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "a web page, not weights"),
        (b"", "is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as refusal:
            read_weights(path)
        assert "run code" not in str(refusal.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.98])
def test_a_file_that_is_not_whole(state, tmp_path, zipped, share):
    path, whole = tmp_path / "w.pt", saved(state, zipped)
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="copy or download it again") as refusal:
        read_weights(path)
    assert len(str(refusal.value)) < 300


@pytest.mark.filterwarnings("ignore")
def test_other_files(state, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"{}")
    with pytest.raises(InputError, match="is no file that torch.save wrote"):
        read_weights(path)
    torch.jit.trace(network(), torch.rand(1, 1, 8, 8)).save(path)
    with pytest.raises(InputError, match="is TorchScript") as refusal:
        read_weights(path)
    assert "weights_only" not in str(refusal.value)

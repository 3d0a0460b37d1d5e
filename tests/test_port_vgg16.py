"""`python -m emojax.weights.port_vgg16`: both layouts become ours, all or nothing."""

import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from test_vgg import random_weights, torchvision_layout

from emojax.cli.vgg16 import port_weights as main
from emojax.errors import EmojaxError
from emojax.nets.vgg16 import SHAPES
from emojax.util.commandline import run
from emojax.weights.vgg16_file import load_vgg16, read_weights


def tensors_and_family(path):
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()["family"]  # noqa: SIM118


def test_torchvision_becomes_ours(tmp_path, capsys):
    weights = random_weights()
    save_file(torchvision_layout(weights), tmp_path / "theirs.safetensors")
    assert main([str(tmp_path / "theirs.safetensors"), str(tmp_path / "new" / "ours.safetensors")]) == 0
    assert "family torchvision" in capsys.readouterr().out
    ported, family = tensors_and_family(tmp_path / "new" / "ours.safetensors")
    assert family == "torchvision" and set(ported) == set(SHAPES)
    for name in SHAPES:
        np.testing.assert_array_equal(ported[name], weights[name])
    before, after = (load_vgg16(tmp_path / name) for name in ("theirs.safetensors", "new/ours.safetensors"))
    np.testing.assert_array_equal(before["conv1_1"]["kernel"], after["conv1_1"]["kernel"])
    np.testing.assert_array_equal(before["mean"], after["mean"])


def test_our_own_file_keeps_its_numbers_and_dtypes(shared_data, tmp_path):
    source = shared_data / "vgg16" / "vgg16_to_conv4_3_f16.safetensors"
    assert main([str(source), str(tmp_path / "ours.safetensors")]) == 0
    ported, family = tensors_and_family(tmp_path / "ours.safetensors")
    assert family == "caffe"
    for name, tensor in read_weights(source).tensors.items():
        assert ported[name].dtype == tensor.dtype
        np.testing.assert_array_equal(ported[name], tensor)


def test_the_family_can_be_named(tmp_path):
    save_file(torchvision_layout(random_weights()), tmp_path / "theirs.safetensors")
    main([str(tmp_path / "theirs.safetensors"), str(tmp_path / "o.safetensors"), "--family", "torchvision-features"])
    assert tensors_and_family(tmp_path / "o.safetensors")[1] == "torchvision-features"


def test_an_existing_file_is_kept_without_force(tmp_path):
    save_file(random_weights(), tmp_path / "source.safetensors")
    dest = tmp_path / "dest.safetensors"
    dest.write_bytes(b"mine")
    with pytest.raises(EmojaxError, match="`force`"):
        main([str(tmp_path / "source.safetensors"), str(dest)])
    assert dest.read_bytes() == b"mine"
    assert main([str(tmp_path / "source.safetensors"), str(dest), "--force"]) == 0


def test_nothing_is_written_for_a_bad_source(tmp_path, capsys, monkeypatch):
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    dest = tmp_path / "dest.safetensors"
    assert run(lambda: main([str(tmp_path / "bad.safetensors"), str(dest)])) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.safetensors"]
    assert capsys.readouterr().err.count("\n") == 1


def test_pth_needs_torch_and_says_so(tmp_path, monkeypatch):
    (tmp_path / "vgg16.pth").write_bytes(b"pickle")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EmojaxError, match="install torch, or give a safetensors file"):
        main([str(tmp_path / "vgg16.pth"), str(tmp_path / "dest.safetensors")])

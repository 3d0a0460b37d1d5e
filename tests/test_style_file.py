import io
import json
import struct

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from emojax.cli.style import show
from emojax.errors import EmojaxError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.weights import style_file as style_pack
from emojax.weights.style_file import (
    FORMAT,
    StyleFile,
    check_name,
    network_fingerprint,
    open_preview,
    read_style_file,
    write_style_file,
)

TINY = StylizerConfig(width=4, blocks=1)
NETWORK = {"out": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)}}


def code(seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: {part: rng.standard_normal(channels).astype(np.float32) for part in ("scale", "shift")}
        for name, channels in TINY.norm_layers()
    }


def picture(side=8):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (9, 99, 199)).save(stream, "PNG")
    return stream.getvalue()


def style_file(**changes):
    fields = {
        "name": "joy",
        "network": "f" * 64,
        "code": code(),
        "preview": picture(),
        "author": "me",
        "licence": "CC0",
    }
    return StyleFile(**{**fields, **changes})


def test_a_pack_survives_its_file(tmp_path):
    write_style_file(tmp_path / "joy.pack", style_file())
    found = read_style_file(tmp_path / "joy.pack")
    assert (found.name, found.network, found.author, found.licence) == ("joy", "f" * 64, "me", "CC0")
    assert open_preview(found).getpixel((0, 0)) == (9, 99, 199)
    assert found.code.keys() == code().keys()
    for name, layer in code().items():
        for part, row in layer.items():
            np.testing.assert_array_equal(found.code[name][part], row)


def test_the_default_networks_pack_is_small(tmp_path):
    rows = {name: dict.fromkeys(("scale", "shift"), np.ones(n)) for name, n in StylizerConfig().norm_layers()}
    write_style_file(tmp_path / "joy.pack", style_file(code=rows))
    assert (tmp_path / "joy.pack").stat().st_size < 30_000


def test_a_pack_fits_its_network_only():
    style_file().check(TINY, "f" * 64)
    with pytest.raises(EmojaxError, match="another network"):
        style_file().check(TINY, "0" * 64)
    with pytest.raises(EmojaxError, match="damaged"):
        style_file().check(StylizerConfig(width=8, blocks=1), "f" * 64)
    with pytest.raises(EmojaxError, match="another network"):
        style_file().check(StylizerConfig(width=4, blocks=1, network_per_style=True), "f" * 64)


def test_the_fingerprint_is_of_names_shapes_and_values():
    same = {"out": {"bias": NETWORK["out"]["bias"].copy(), "kernel": NETWORK["out"]["kernel"].astype(np.float64)}}
    assert network_fingerprint(same) == network_fingerprint(NETWORK)
    others = [
        {"in": NETWORK["out"]},
        {"out": {**NETWORK["out"], "kernel": NETWORK["out"]["kernel"].reshape(3, 2)}},
        {"out": {**NETWORK["out"], "bias": np.array([0, 0, 1e-6], np.float32)}},
    ]
    assert len({network_fingerprint(network) for network in [NETWORK, *others]}) == 4


@pytest.mark.parametrize("name", ["", "Joy", "a b", "../x", "x" * 33, "-x", "sad", "neutral"])
def test_names_are_plain_and_no_emotions(name):
    with pytest.raises(EmojaxError, match="style name"):
        check_name(name)


def test_files_that_are_no_packs(tmp_path):
    path, texts = tmp_path / "x.pack", {"format": FORMAT, "name": "joy", "network": "f", "author": "", "licence": ""}
    row, preview = np.zeros(4, np.float32), np.frombuffer(picture(), np.uint8)
    bad = [
        ({"down0/scale": row, "preview": preview}, {**texts, "format": "emojax style pack 9"}, "format"),
        ({"down0/scale": row, "preview": preview}, {"format": FORMAT}, "does not say its name"),
        ({"down0/scale": row, "preview": preview}, {**texts, "name": "../../etc"}, "style name"),
        ({"down0/kernel": row, "preview": preview}, texts, "down0/kernel"),
        ({"down0/scale": row.astype(np.float64), "preview": preview}, texts, "float64"),
        ({"down0/scale": row[None], "preview": preview}, texts, "not a row"),
        ({"down0/scale": row + np.nan, "preview": preview}, texts, "not a row"),
        ({"down0/scale": row}, texts, "no preview"),
    ]
    for tensors, metadata, reason in bad:
        save_file(tensors, path, metadata)
        with pytest.raises(EmojaxError, match=reason):
            read_style_file(path)
    for dtype, size in (("F8_E4M3", 4), ("BF16", 8)):  # NumPy alone does not have them
        tensor = {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}
        header = json.dumps({"__metadata__": texts, "down0/scale": tensor})
        path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(size))
        with pytest.raises(EmojaxError, match="cannot read the style file|not a row"):
            read_style_file(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(EmojaxError, match="cannot read the style file"):
        read_style_file(path)
    path.write_bytes(bytes(style_pack.LARGEST + 1))
    with pytest.raises(EmojaxError, match="something else"):
        read_style_file(path)
    for missing in (tmp_path / "none.pack", tmp_path):
        with pytest.raises(EmojaxError):
            read_style_file(missing)


def test_a_preview_that_is_no_small_picture():
    for data in (b"", b"GIF", picture(2000)):
        with pytest.raises(EmojaxError, match="preview"):
            open_preview(style_file(preview=data))


def test_the_command_tells_what_is_in_a_pack(tmp_path, capsys):
    write_style_file(tmp_path / "joy.pack", style_file(licence=""))
    assert show([str(tmp_path / "joy.pack"), "--preview", str(tmp_path / "joy.png")]) == 0
    assert capsys.readouterr().out.splitlines() == ["name: joy", f"network: {'f' * 64}", "author: me", "licence: -"]
    with Image.open(tmp_path / "joy.png") as preview:
        assert preview.size == (8, 8)
    with pytest.raises(EmojaxError, match="exists"):
        show([str(tmp_path / "joy.pack"), "--preview", str(tmp_path / "joy.png")])
    before = (tmp_path / "joy.pack").read_bytes()
    with pytest.raises(EmojaxError, match="is the style file itself"):
        show([str(tmp_path / "joy.pack"), "--preview", str(tmp_path / "joy.pack"), "--force"])
    assert (tmp_path / "joy.pack").read_bytes() == before


def test_a_stranger_cannot_write_to_the_terminal(tmp_path, capsys):
    write_style_file(tmp_path / "joy.pack", style_file(author="me\n\x1b[2Jlicence: free"))
    assert show([str(tmp_path / "joy.pack")]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "author: me??[2Jlicence: free"

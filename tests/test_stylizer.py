import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from tiny import code_of, compiled, norm_statistics, stylize_with_code, stylizer_params

from emojax.errors import EmojaxError
from emojax.nets import layers, style_code, stylizer
from emojax.nets.style_code import spare_faces, vary_styles
from emojax.nets.stylizer import init_stylizer
from emojax.nets.stylizer_config import StylizerConfig
from emojax.nets.transform_net import Stylizer

TINY = StylizerConfig(width=4, blocks=2, style_names=("sad", "happy", "fear"))

mix_styles = compiled(style_code.mix_styles)
remove_checkerboard = compiled(stylizer.remove_checkerboard, static_argnums=0)
moments = compiled(layers.channel_moments, static_argnames="together")
reflect_pad = compiled(layers.reflect_pad, static_argnums=(1, 3))
instance_norm = compiled(layers.instance_norm)
space_to_depth = compiled(layers.space_to_depth, static_argnums=1)
depth_to_space = compiled(layers.depth_to_space, static_argnums=1)


@pytest.fixture(scope="module")
def params():
    return stylizer_params(TINY, apart=0.3)


def photos(n=2, h=20, w=24, seed=1):
    return np.random.default_rng(seed).uniform(size=(n, h, w, 3)).astype(np.float32)


def first(params):
    """The code of the first style."""
    return code_of(params["style_table"], np.eye(3)[:1])


def size_of(h, w):
    return np.int32(h), np.int32(w)


def test_shapes_in_annotations_are_checked():
    with pytest.raises(TypeCheckError, match="space_to_depth"):
        jax.eval_shape(partial(layers.space_to_depth, patch=2), jnp.zeros((4, 4, 3)))


def test_shape_and_range(params):
    out = stylize_with_code(TINY, params["network"], photos(), code_of(params["style_table"], np.eye(3)[:2]))
    assert out.shape == (2, 20, 24, 3) and out.dtype == np.float32
    assert out.min() >= 0 and out.max() <= 1 and out.std() > 0.01


def test_a_fresh_network_has_lecuns_kernels_and_styles_that_hardly_differ():
    """The one test that compiles the initializer."""
    config = StylizerConfig(width=4, blocks=1, style_names=("sad", "happy"), patch=4)
    made, other = (compiled(partial(init_stylizer, config))(np.array([0, seed], np.uint32)) for seed in (1, 2))
    for name, layer in made["network"].items():
        kernel = layer["kernel"]
        np.testing.assert_allclose(kernel.std() * np.sqrt(np.prod(kernel.shape[:3])), 1, atol=0.15)
        assert (kernel != other["network"][name]["kernel"]).any()
    for layer in made["style_table"].values():
        assert not layer["shift"].any() and 0 < np.abs(layer["scale"] - 1).max() < 0.1
        assert (layer["scale"][0] != layer["scale"][1]).all()


def test_the_layers_are_johnsons():
    made = jax.eval_shape(partial(init_stylizer, StylizerConfig()), tiny.KEY)["network"]
    kernels = {name: layer["kernel"].shape for name, layer in made.items()}
    assert kernels["down0"] == (9, 9, 3, 32) and kernels["out"] == (9, 9, 32, 3)
    assert kernels["down1"] == (3, 3, 32, 64) and kernels["down2"] == (3, 3, 64, 128)
    assert sum(name.startswith("block") for name in kernels) == 10
    assert kernels["up0"] == (3, 3, 128, 64) and kernels["up1"] == (3, 3, 64, 32)


@pytest.mark.parametrize(
    ("patch", "first", "last", "left_out"),
    [
        (2, ("down1", (5, 5, 12, 8)), (5, 5, 8, 12), {"down0", "up1"}),
        (4, ("down2", (3, 3, 48, 16)), (3, 3, 16, 48), {"down0", "up1", "down1", "up0"}),
    ],
)
def test_larger_patches_leave_out_the_larger_layers(patch, first, last, left_out):
    whole, config = StylizerConfig(width=4, blocks=1), StylizerConfig(width=4, blocks=1, patch=patch)
    expected, made = (jax.eval_shape(partial(init_stylizer, c), tiny.KEY)["network"] for c in (whole, config))
    assert expected.keys() - made.keys() == left_out
    assert made[first[0]]["kernel"].shape == first[1] and made["out"]["kernel"].shape == last
    assert [name for name, _ in config.norm_layers()] == [n for n, _ in whole.norm_layers() if n not in left_out]


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_patches_hold_a_square_row_by_row(patch):
    x = photos(2, 8, 12)
    deep = space_to_depth(x, patch)
    assert deep.shape == (2, 8 // patch, 12 // patch, 3 * patch * patch)
    np.testing.assert_array_equal(
        deep[1, 1, 2].reshape(patch, patch, 3), x[1, patch : 2 * patch, 2 * patch :][:, :patch]
    )
    np.testing.assert_array_equal(depth_to_space(deep, patch), x)


@pytest.mark.parametrize("patch", [2, 4])
def test_a_flat_photo_gets_no_grid_of_the_patch(patch):
    config = StylizerConfig(width=4, blocks=1, style_names=("sad",), patch=patch)
    made = stylizer_params(config)
    out = {"kernel": made["network"]["out"]["kernel"], "bias": np.linspace(-1, 1, 3 * patch**2).astype(np.float32)}
    network = {**made["network"], "out": out}
    table = jax.tree.map(
        lambda leaf: leaf + np.float32(0.5), made["style_table"]
    )  # flat: the norms answer with the shift
    photo, code = np.full((1, 32, 32, 3), 0.25, np.float32), code_of(table, np.ones((1, 1)))
    painted = stylize_with_code(config, network, photo, code)
    np.testing.assert_allclose(painted, np.broadcast_to(painted[:, :1, :1], painted.shape), atol=1e-5)
    gridded = compiled(Stylizer(config).apply)({"params": network}, photo, code)
    assert np.ptp(gridded) > 0.1


def test_even_phases_leave_even_ones_alone():
    config = StylizerConfig(width=4, blocks=1, style_names=("sad",), patch=2)
    network = stylizer_params(config)["network"]
    once = remove_checkerboard(config, network)
    assert np.abs(once["out"]["kernel"] - network["out"]["kernel"]).max() > 0.01
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), remove_checkerboard(config, once), once)
    assert stylizer.remove_checkerboard(TINY, network) is network


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_codes_mix_linearly(weights):
    table = stylizer_params(TINY)["style_table"]
    mixed = mix_styles(table, np.array([weights], np.float32))
    rows = [mix_styles(table, np.eye(3, dtype=np.float32)[i : i + 1]) for i in range(3)]
    expected = jax.tree.map(lambda *leaves: sum(w * x for w, x in zip(weights, leaves, strict=True)), *rows)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), mixed, expected)


def test_one_hot_weights_give_exactly_that_row():
    table = stylizer_params(TINY)["style_table"]
    code = mix_styles(table, np.array([[0.0, 1.0, 0.0]], np.float32))
    np.testing.assert_array_equal(code["up1"]["scale"][0, 0, 0], table["up1"]["scale"][1])


def test_a_code_may_vary_over_the_picture(params):
    code = first(params)
    plain = stylize_with_code(TINY, params["network"], photos(1), code)
    sizes = {name: 1 if name in ("down0", "up1") else 2 if name in ("down1", "up0") else 4 for name in code}
    spread = {
        name: jax.tree.map(lambda x, s=sizes[name]: np.broadcast_to(x, (1, 20 // s, 24 // s, x.shape[-1])), layer)
        for name, layer in code.items()
    }
    varying = stylize_with_code(TINY, params["network"], photos(1), spread)
    np.testing.assert_allclose(varying, plain, atol=1e-6)


def test_a_varying_code_is_each_positions_mix(params):
    """Left half one style, right half another; nothing changes where the change of the weights is 0."""
    table = params["style_table"]

    def change(factor):
        right = (np.arange(24 // factor) >= 12 // factor)[None, None, :, None]
        weights = np.where(right, np.array([-1, 0, 1], np.float32)[None, None, None], np.float32(0))
        return jnp.asarray(np.broadcast_to(weights, (1, 20 // factor, 24 // factor, 3)))

    plain = first(params)
    varied = compiled(lambda plain, table: vary_styles(plain, table, change))(plain, table)
    stylize_with_code(TINY, params["network"], photos(1), varied)  # every layer finds its own size
    for name, layer in varied.items():
        for part, rows in layer.items():
            middle = rows.shape[2] // 2
            np.testing.assert_array_equal(
                rows[:, :, :middle], np.broadcast_to(plain[name][part], rows[:, :, :middle].shape)
            )
            np.testing.assert_allclose(rows[0, 0, middle], table[name][part][2], atol=1e-6)


def test_examples_do_not_see_each_other(params):
    code = code_of(params["style_table"], np.eye(3)[:2])
    both = stylize_with_code(TINY, params["network"], photos(), code)
    second = stylize_with_code(TINY, params["network"], photos()[1:], jax.tree.map(lambda x: x[1:], code))
    np.testing.assert_allclose(both[1:], second, atol=1e-5)


@pytest.mark.parametrize(("h", "w", "patch"), [(16, 32, 1), (28, 24, 1), (28, 24, 2), (16, 20, 4)])
def test_a_photo_in_a_larger_bucket_gives_the_same_picture(h, w, patch):
    config = dataclasses.replace(TINY, patch=patch)
    made = stylizer_params(config)
    code, photo = first(made), photos(1, h, w)
    filled = np.full((1, 32, 40, 3), 0.9, np.float32)
    filled[:, :h, :w] = photo
    alone = stylize_with_code(config, made["network"], photo, code)
    bucketed = stylize_with_code(config, made["network"], filled, code, size_of(h, w))
    np.testing.assert_allclose(bucketed[:, :h, :w], alone, atol=1e-5)


def test_the_blocks_are_a_loop_where_that_pays(params):
    """Not in training, which gives no size, and not where the code varies over the picture."""
    code, size = first(params), size_of(24, 32)
    layers = dict.fromkeys(code, 4) | {"down0": 1, "up1": 1, "down1": 2, "up0": 2}  # so many times smaller
    varying = {
        name: {part: np.tile(leaf, (1, 24 // layers[name], 32 // layers[name], 1)) for part, leaf in layer.items()}
        for name, layer in code.items()
    }

    def loops(code, size):
        return "scan[" in str(
            jax.make_jaxpr(partial(stylizer.stylize_with_code, TINY))(params["network"], photos(1, 24, 32), code, size)
        )

    assert loops(code, size) and not loops(code, None) and not loops(varying, size)


@pytest.mark.parametrize("mode", ["reflect", "symmetric"])
@pytest.mark.parametrize("pad", [0, 1, 4])
def test_reflect_pad_equals_numpy_also_inside_a_larger_array(pad, mode):
    x = np.asarray(photos(1, 12, 8))
    expected = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode=mode)
    np.testing.assert_array_equal(reflect_pad(x, pad, None, mode), expected)
    larger = np.full((1, 20, 20, 3), -1, np.float32)
    larger[:, :12, :8] = x
    padded = reflect_pad(larger, pad, size_of(12, 8), mode)
    np.testing.assert_array_equal(padded[:, : 12 + 2 * pad, : 8 + 2 * pad], expected)


def test_instance_norm_normalizes_every_channel():
    x = 3 + 2 * photos(2, 16, 16)
    one = np.ones((1, 1, 1, 3), np.float32)
    out = instance_norm(x, 2 * one, 5 * one, moments(x, None))
    np.testing.assert_allclose(out.mean((1, 2)), 5, atol=1e-4)
    np.testing.assert_allclose(out.std((1, 2)), 2, atol=1e-2)
    # A constant picture has no variance to divide by: the shift is all that is left.
    flat = np.full((2, 16, 16, 3), 0.3, np.float32)
    np.testing.assert_allclose(instance_norm(flat, one, 5 * one, moments(flat, None)), 5, atol=1e-3)


@pytest.mark.parametrize("size", [None, size_of(16, 20)])
def test_a_pictures_own_statistics_given_change_nothing(params, size):
    code = first(params)
    own = norm_statistics(TINY, params["network"], photos(1), code, size)
    assert {name: layer["mean"].shape for name, layer in own.items()} == {
        name: (1, 1, 1, channels) for name, channels in TINY.norm_layers()
    }
    given = stylize_with_code(TINY, params["network"], photos(1), code, size, statistics=own)
    computed = stylize_with_code(TINY, params["network"], photos(1), code, size)
    np.testing.assert_allclose(given, computed, atol=1e-6)


def test_windows_of_one_photo_share_the_moments_of_all(params):
    """The law of total variance."""
    x = photos(3, 16, 20) + np.arange(3, dtype=np.float32)[:, None, None, None]
    together, size = moments(x, None, together=True), size_of(16, 20)
    np.testing.assert_allclose(together["mean"][0, 0, 0], x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(together["variance"][0, 0, 0], x.var((0, 1, 2)), rtol=1e-5)
    filled = np.pad(x, ((0, 0), (0, 4), (0, 4), (0, 0)), constant_values=9)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), moments(filled, size, together=True), together)
    code = first(params)
    one, three = (
        norm_statistics(TINY, params["network"], x, code) for x in (photos(1), np.tile(photos(1), (3, 1, 1, 1)))
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), one, three)


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("blocks", [0, 2])
def test_the_receptive_radius_is_how_far_a_cut_is_seen(patch, blocks):
    """From there on nothing changes, and a multiple of 4 before something does: a tile's halo is as small as it can be."""
    config = dataclasses.replace(TINY, patch=patch, blocks=blocks)
    made = stylizer_params(config)
    code, photo = first(made), photos(1, 64, 96)

    def with_statistics(network, photo, code):
        given = stylizer.norm_statistics(config, network, photo, code)
        return given, stylizer.stylize_with_code(config, network, photo, code, statistics=given)

    given, whole = compiled(with_statistics)(made["network"], photo, code)
    for part, change in (
        (slice(32, 96), lambda x: x),  # a cut on the left
        (slice(0, 64), lambda x: x[:, :, ::-1]),  # on the right
    ):
        tile = stylize_with_code(config, made["network"], photo[:, :, part], code, statistics=given)
        apart = change(np.abs(tile - whole[:, :, part])).max((0, 1, 3))
        radius = config.receptive_radius
        assert apart[radius:].max() < 1e-5 < 1e-4 < apart[max(0, radius - 8) : radius].max()


@pytest.mark.parametrize("size", [None, size_of(16, 20)])
def test_bfloat16_is_close(params, size):
    code = first(params)
    full = stylize_with_code(TINY, params["network"], photos(1), code, size)
    half = stylize_with_code(TINY, params["network"], photos(1), code, size, dtype=jnp.bfloat16)
    assert half.dtype == np.float32 and np.abs(full - half).mean() < 0.02


@pytest.mark.parametrize(("h", "w"), [(18, 16), (12, 16)])
def test_sizes_that_the_network_cannot_take_are_refused(params, h, w):
    code = first(params)
    with pytest.raises(ValueError, match=f"{h}x{w}"):
        jax.eval_shape(partial(stylizer.stylize_with_code, TINY), params["network"], photos(1, h, w), code)


@pytest.mark.parametrize(
    "bad", [{"width": 0}, {"blocks": -1}, {"patch": 3}, {"style_names": ()}, {"style_names": ("sad", "sad")}]
)
def test_invalid_configs(bad):
    with pytest.raises(EmojaxError, match=f"^`{next(iter(bad))}` "):
        StylizerConfig(**bad)


def test_faces_are_spared_in_the_first_half_of_the_layers():
    config = StylizerConfig(width=4, blocks=3, patch=2, style_names=("sad", "photo", "joy"))
    table = {
        name: {
            part: np.arange(3, dtype=np.float32)[:, None] + np.zeros((1, channels), np.float32)
            for part in ("scale", "shift")
        }
        for name, channels in config.norm_layers()
    }
    plain = jax.tree.map(lambda rows: 5 + 0 * rows[:1, None, None], table)

    def spared(share):
        change = lambda factor: np.full((1, 8 // factor, 12 // factor, 1), share, np.float32)  # noqa: E731
        return compiled(lambda code, table: spare_faces(config, code, table, change))(plain, table)

    for share in (0.0, 0.25, 1.0):
        found = spared(share)
        assert {name: float(layer["scale"].mean()) for name, layer in found.items()} == pytest.approx(
            {name: 5 + (1 - 5) * share if name in ("down1", "down2", "block0_a", "block0_b") else 5 for name in table}
        )

"""The CPU's forms equal the plain convolutions, and only a CPU gets them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax.nets.convolutions import by_phases, by_rows, convolve, enlarge_and_convolve, winograd
from emojax.nets.layers import max_pool


def plain(x, kernel, stride=1, padding=0):
    layout, zeros = ("NHWC", "HWIO", "NHWC"), [(padding, padding)] * 2
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), zeros, dimension_numbers=layout)


def enlarged(x, kernel):
    return plain(x.repeat(2, axis=1).repeat(2, axis=2)[:, 1:-1, 1:-1], kernel)


def arrays(height, width, side, channels, outputs):
    rng = np.random.default_rng(height * width)
    kernel = rng.normal(size=(side, side, channels, outputs)) / (side * channels**0.5)
    return rng.normal(size=(2, height, width, channels)).astype(np.float32), kernel.astype(np.float32)


@pytest.mark.parametrize("width", [3, 4, 7, 9, 14])
@pytest.mark.parametrize(
    ("form", "reference", "side"),
    [(winograd, plain, 3), (by_rows, plain, 9), (by_rows, plain, 4), (by_phases, enlarged, 3)],
)
def test_a_form_equals_the_plain_convolution(form, reference, side, width):
    x, kernel = arrays(9, max(width, side), side, 6, 5)
    ours, expected = jax.jit(lambda x, kernel: (form(x, kernel), reference(x, kernel)))(x, kernel)
    np.testing.assert_allclose(ours, expected, atol=3e-5)


@pytest.mark.parametrize(
    ("function", "reference", "shape"),
    [
        (convolve, plain, (6, 9, 3, 64, 48)),
        (partial(convolve, padding=1), partial(plain, padding=1), (7, 9, 3, 48, 64)),
        (partial(convolve, padding=2), partial(plain, padding=2), (6, 9, 3, 48, 64)),
        (partial(convolve, padding=3), partial(plain, padding=3), (6, 9, 3, 48, 64)),
        (convolve, plain, (10, 12, 9, 4, 3)),
        (partial(convolve, stride=2), partial(plain, stride=2), (10, 12, 3, 64, 64)),
        (enlarge_and_convolve, enlarged, (6, 5, 3, 4, 3)),
    ],
)
def test_what_the_network_calls_and_its_gradient(function, reference, shape):
    x, kernel = arrays(*shape)

    def value(convolution, x, kernel):
        y = convolution(x, kernel)
        return (y * jnp.cos(jnp.arange(y.size).reshape(y.shape))).sum(), y

    results = []
    for convolution in (function, reference):
        results.append(jax.jit(jax.value_and_grad(partial(value, convolution), (0, 1), has_aux=True))(x, kernel))
    ((_, y), gradients), ((_, expected), expected_gradients) = results
    np.testing.assert_allclose(y, expected, atol=3e-5)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=3e-5 * np.abs(wanted).max())


def gradient(x, kernel):
    """With respect to the picture, of a convolution that keeps its size, as VGG16's do."""
    y, back = jax.vjp(lambda x: convolve(x, kernel, padding=1), x)
    return back(jnp.ones_like(y))[0]


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (convolve, (6, 9, 3, 48, 64)),
        (partial(convolve, padding=1), (6, 9, 3, 48, 64)),
        (gradient, (6, 9, 3, 48, 64)),
        (convolve, (10, 12, 9, 4, 3)),
        (enlarge_and_convolve, (6, 5, 3, 4, 3)),
    ],
)
def test_other_platforms_and_precisions_are_plain(function, shape):
    def shapes(platform, dtype):
        x, kernel = (jax.ShapeDtypeStruct(array.shape, dtype) for array in arrays(*shape))
        program = jax.jit(function).trace(x, kernel)
        text = program.lower(lowering_platforms=(platform,)).as_text()
        return [line.split(" -> ")[-1] for line in text.splitlines() if "stablehlo.convolution" in line]

    on_gpu = shapes("cuda", jnp.float32)
    assert len(on_gpu) == 1 and on_gpu == shapes("tpu", jnp.float32) != shapes("cpu", jnp.float32)
    assert len(shapes("cpu", jnp.bfloat16)) == 1
    assert shapes("cpu", jnp.bfloat16)[0].replace("bf16", "f32") == on_gpu[0]


@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
def test_pooling_and_its_gradient(size):
    """Equal maxima, as in flat parts, share the gradient; what an odd side leaves out gets none."""

    def reduced(x):
        n, h, w, c = x.shape
        return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))

    x = np.random.default_rng(0).integers(0, 3, (2, *size, 3)).astype(np.float32)

    def value(pool, x):
        y = pool(x)
        return (y * jnp.cos(jnp.arange(y.size).reshape(y.shape))).sum(), y

    results = [jax.jit(jax.grad(partial(value, pool), has_aux=True))(x) for pool in (max_pool, reduced)]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), *results)

"""Norm statistics that follow the frames of a clip."""

import jax
import numpy as np
import tiny

from emojax.nets import steady
from emojax.nets.steady import empty_statistics

stylize_steadily = tiny.compiled(steady.stylize_steadily, static_argnums=0)
CONFIG = tiny.STYLES


def photos(seed):
    return np.random.default_rng(seed).random((1, 16, 20, 3)).astype(np.float32)


def test_statistics_follow_the_frames():
    params = tiny.stylizer_params(apart=0.5)
    network, code = params["network"], tiny.code_of(params["style_table"], np.eye(7)[:1])
    first, own = stylize_steadily(CONFIG, network, photos(0), code, None, empty_statistics(CONFIG), np.float32(1))
    np.testing.assert_allclose(first, tiny.stylize_with_code(CONFIG, network, photos(0), code), atol=1e-5)

    held, used = stylize_steadily(CONFIG, network, photos(1), code, None, own, np.float32(0))
    given = tiny.stylize_with_code(CONFIG, network, photos(1), code, statistics=own)
    np.testing.assert_allclose(held, given, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, used, own)

    again, settled = stylize_steadily(CONFIG, network, photos(1), code, None, own, np.float32(0.5))
    name = "down0"  # the first layer, which sees the frame alone
    _, fresh = stylize_steadily(CONFIG, network, photos(1), code, None, own, np.float32(1))
    half = (own[name]["mean"] + fresh[name]["mean"]) / 2
    np.testing.assert_allclose(settled[name]["mean"], half, atol=1e-6)
    assert np.abs(again - held).max() > 1e-4

"""Tiny networks that the tests share, with parameters from NumPy, and functions that are compiled as a whole.

Called without `jit`, a network compiles a program for every operation in it, which once was most of the time of the tests;
its initializer takes seconds to compile. So only the tests of the initializers call them, and all others take parameters and
compiled functions from here, with the same few configs and sizes wherever they can. `tests/programs.json` says how many
programs each file may compile.
"""

import functools

import jax
import numpy as np

from emojax.nets import stylizer
from emojax.nets import vgg16 as vgg
from emojax.nets.classifier import init_classifier
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.stylizer import init_stylizer
from emojax.nets.stylizer_config import StylizerConfig

FACES = ClassifierConfig(widths=(4, 4, 8), dense=8, size=16)
STYLES = StylizerConfig(width=4, blocks=2)
LESS = ["--batch_size", "4", "--model.patch", "2", "--loss.style_layer_weights", "0.4", "0.4", "0.2", "0"]
"""flags of `emojax train styles tiny` that leave less to compile"""


def compiled(function, **options):
    """`jax.jit` of a function, which returns NumPy arrays: to index, compare and reduce those compiles nothing."""
    program = jax.jit(function, **options)

    @functools.wraps(function)
    def run(*args, **kwargs):
        return jax.device_get(program(*args, **kwargs))

    return run


KEY = np.array([0, 0], np.uint32)
"""what `jax.random.PRNGKey(0)` is"""


def stylizer_params(config=STYLES, seed=0, apart=0.01):
    """What `init_stylizer` gives, but for the random numbers.

    Args:
        apart: standard deviation of the styles' scales and shifts.
    """
    return _filled(_shapes(init_stylizer, config), seed, apart)


def random_styles(config):
    """Parameters whose styles are far apart."""
    return stylizer_params(config, apart=0.5)


def classifier_variables(config=FACES, seed=0):
    """What `init_classifier` gives, but for the random numbers."""
    return _filled(_shapes(init_classifier, config), seed)


@functools.cache
def _shapes(init, config):
    """Those of an initializer's parameters; finding them traces the network, which takes longer than most tests."""
    return jax.eval_shape(functools.partial(init, config), KEY)


def _filled(shapes, seed, apart=0.0):
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        name, shape = path[-1].key, leaf.shape
        if name == "kernel":
            return (rng.normal(size=shape) / np.sqrt(np.prod(shape[-4:-1]))).astype(leaf.dtype)
        center = 1 if name in ("scale", "var", "temperature") else 0
        noise = apart * rng.normal(size=shape) if name in ("scale", "shift") else 0
        return (np.full(shape, center) + noise).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def code_of(table, weights):
    """What `mix_styles` gives: the code, leaves [N, 1, 1, C], of weights [N, S]."""
    weights = np.asarray(weights, np.float32)
    return jax.tree.map(lambda rows: (weights @ np.asarray(rows))[:, None, None, :], table)


stylize_with_code = compiled(stylizer.stylize_with_code, static_argnums=0, static_argnames="dtype")
norm_statistics = compiled(stylizer.norm_statistics, static_argnums=0)
vgg16_features = compiled(vgg.vgg16_features, static_argnames="layers")


def vgg16_tensors(narrower=16, seed=0):
    """Tensors of a VGG16 file, so many times narrower than the real one, of random numbers that keep the size of features."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in vgg.shapes(narrower).items():
        scale = np.sqrt(2 / np.prod(shape[:3])) if len(shape) == 4 else 0
        tensors[name] = (scale * rng.standard_normal(shape)).astype(np.float16 if len(shape) == 4 else np.float32)
    return tensors


def blocks(rng, size, count=4):
    """A smooth picture of coloured blocks."""
    from PIL import Image

    picture = Image.fromarray(rng.integers(0, 256, (count, count, 3)).astype(np.uint8))
    return picture.resize((size, size), Image.Resampling.BICUBIC)

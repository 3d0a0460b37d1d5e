"""A set of networks with one style each."""

import numpy as np
import pytest
import tiny
from photos import apart, photo
from tiny import FACES

from emojax.errors import EmojaxError
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline import Model, forward
from emojax.weights.load import load_styles
from emojax.weights.store import save_checkpoint

stylize = tiny.compiled(forward.stylize_photos, static_argnums=0)


@pytest.fixture(scope="module")
def network_set(tmp_path_factory):
    """A folder with a tiny network for each of two emotions, and those networks."""
    root, singles = tmp_path_factory.mktemp("set"), {}
    for index, name in enumerate(("fear", "neutral")):
        config = StylizerConfig(width=4, blocks=2, style_names=(name,))
        params = tiny.stylizer_params(config, index)
        save_checkpoint(root / name, "styles", config, params)
        singles[name] = (config, params)
    return root, singles


def test_a_network_set_paints_with_the_network_of_the_emotion(network_set, model):
    root, singles = network_set
    config, params = load_styles(root)
    assert config.network_per_style and config.style_names == ("fear", "neutral")
    banked = Model(FACES, config, {**model.params, "stylizer": params})
    for name, (single, own) in singles.items():
        alone = Model(FACES, single, {**model.params, "stylizer": own}).stylize(photo(), name)
        assert apart(banked.stylize(photo(), name), alone).max() <= 1
    two = stylize(config, params, np.stack([photo(40, 48)] * 2), np.eye(2, dtype=np.float32))
    assert apart(two[0], two[1]).mean() > 1


def test_a_network_set_reads_faces_like_any_network(network_set, model, no_faces):
    config, params = load_styles(network_set[0])
    banked = Model(FACES, config, {**model.params, "stylizer": params})
    result = banked(photo())
    assert result.style == {"neutral": 1.0}
    np.testing.assert_array_equal(result.image, banked.stylize(photo(), "neutral"))


def test_a_network_set_does_not_mix(network_set, model):
    config, params = load_styles(network_set[0])
    banked = Model(FACES, config, {**model.params, "stylizer": params})
    for options in ({"emotion": "fear:0.5,neutral:0.5"}, {"mix": "probabilities"}, {"per_face": True}):
        with pytest.raises(EmojaxError, match="cannot mix"):
            banked(photo(), **options)
    with pytest.raises(EmojaxError, match="no style for 'sad'"):
        banked(photo(), emotion="sad")


def test_the_networks_of_a_set_are_alike(network_set, tmp_path):
    save_checkpoint(tmp_path / "fear", "styles", *network_set[1]["fear"])
    save_checkpoint(tmp_path / "sad", "styles", *network_set[1]["neutral"])
    with pytest.raises(EmojaxError, match="the one style 'sad' there"):
        load_styles(tmp_path)

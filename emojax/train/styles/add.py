"""`emojax style add`: learns the style of one more painting for a trained network, and writes a style file.

painting -> Gram matrices -> one new row of scales and shifts -> NAME.pack. The convolutions do not change. The row starts from
the network's style that is nearest to the painting; Dumoulin et al. 2017 (section 3.2) start at random. A row that is learned
alone is too strong for most photos, so the style file has a mix of it and the network's row "photo".
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from emojax.emotions import PHOTO
from emojax.errors import CheckpointError, InputError
from emojax.images import read_photo
from emojax.nets.stylizer import init_stylizer
from emojax.nets.stylizer_config import StylizerConfig
from emojax.pipeline.forward import stylize_photos
from emojax.train.state import TrainState
from emojax.train.styles.config import StyleTraining, painted_styles
from emojax.train.styles.crops import center_crop, photo_batches
from emojax.train.styles.paintings import find_paintings, painting_size
from emojax.train.styles.targets import make_constants
from emojax.train.styles.training import finished, make_evaluation, train_params
from emojax.util import compiling
from emojax.util.commandline import Parser
from emojax.util.files import make_folder, refuse_existing
from emojax.util.words import tell
from emojax.weights import store
from emojax.weights.load import find_styles, load_styles
from emojax.weights.style_file import SUFFIX, StyleFile, check_name, network_fingerprint, write_style_file
from emojax.weights.vgg16_file import find_vgg16, load_vgg16

PREVIEW_SIDE = 128


def run_folder(name: str, network: str, painting: Path) -> Path:
    """The default folder of a style's training; every network and painting has its own."""
    inputs = network.encode() + painting.read_bytes()
    return Path("runs") / f"add_{name}_{hashlib.sha256(inputs).hexdigest()[:8]}"


def check_run(run: Path, model: StylizerConfig, network: str) -> bool:
    """Whether a run has begun; raises CheckpointError if it belongs to another network."""
    for path in store.checkpoints_in(run)[-1:]:
        expected = jax.eval_shape(lambda: init_stylizer(model, jax.random.PRNGKey(0)))
        params = store.load_params(store.read_checkpoint(path, "styles"), expected)
        if network_fingerprint(params["network"]) != network:
            raise CheckpointError(f"{run} learned a style for another network: choose another `run`")
        return True
    return False


def nearest_row(config: StyleTraining, shared: StylizerConfig, params: Any, constants: Any) -> int:
    """The index of the network's style with the smallest loss on the held-out photos, for the one painting in `constants`."""
    held_out = photo_batches(config.data, config.batch_size, 1, config.seed).held_out
    evaluate, constants = make_evaluation(config, held_out), jax.device_put(constants)

    def loss_of(index: int) -> float:
        row = jax.tree.map(lambda table: table[index : index + 1], params["style_table"])
        state = TrainState(0, {"network": params["network"], "style_table": row}, None, None, None)
        return evaluate(state, constants)[0]["loss"]

    return int(np.argmin([loss_of(index) for index in range(len(painted_styles(shared.style_names)))]))


def learn(config: StyleTraining, run: Path | None) -> tuple[StylizerConfig, Any]:
    """Learns the one style of `config` for the network `config.initial`, or resumes.

    Args:
        run: the folder of its checkpoints; None: see `run_folder`.

    Returns:
        The config and parameters of that network with the new style as its only one.

    Raises:
        EmojaxError, KeyboardInterrupt: see `train`.
    """
    assert config.initial is not None
    shared, params = load_styles(config.initial)
    if shared.network_per_style:
        raise InputError(f"{config.initial} is a set of networks with one style each: give a network of several styles")
    (name,) = config.model.style_names
    model = dataclasses.replace(shared, style_names=(name,))
    # Every device needs at least one photo, and the user cannot choose the batch size here.
    config = dataclasses.replace(config, model=model, batch_size=math.lcm(config.batch_size, jax.device_count()))
    network = network_fingerprint(params["network"])
    run = run or run_folder(name, network, find_paintings(config.data, (name,))[name])
    begun = check_run(run, model, network)

    def row_of(index: int) -> Any:
        return jax.tree.map(lambda table: table[index : index + 1], params["style_table"])

    state = finished(config, run, {"style_table": row_of(0)}) if begun else None
    if state is None:
        constants = make_constants(config, load_vgg16(find_vgg16(config.vgg16)))
        index = 0
        if not begun:
            index = nearest_row(config, shared, params, constants)
            tell(f"{name} starts from the style {shared.style_names[index]!r}")
        constants["network"] = params["network"]
        state = train_params(config, run, {"style_table": row_of(index)}, constants)
    return model, {"network": params["network"], "style_table": state.params["style_table"]}


def weaken(config: StylizerConfig, row: Any, rows: Any, strength: float) -> Any:
    """A row of a style table, mixed with the row "photo" of the same network's table `rows`, if it has one.

    Args:
        strength: 0 is the photo's row, 1 the row itself.
    """
    if PHOTO not in config.style_names:
        return row
    index = config.style_names.index(PHOTO)
    return jax.tree.map(lambda own, table: strength * own + (1 - strength) * table[index], row, rows)


def preview(config: StylizerConfig, params: Any, photo: np.ndarray) -> bytes:
    """A photo uint8 [H, W, 3], sides multiples of 4, in the only style of a network, as a small JPEG."""
    program = compiling.jit(functools.partial(stylize_photos, config))
    stylized = Image.fromarray(np.asarray(program(params, photo[None], np.ones((1, 1), np.float32))[0]))
    buffer = io.BytesIO()
    stylized.resize((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def main(argv: Sequence[str], defaults: StyleTraining, example: Path) -> int:
    """The command; returns its exit code.

    Args:
        defaults: the training that learns a style.
        example: the photo of the preview, and of the training where no others are given.

    Raises:
        EmojaxError: a painting, checkpoint, photos or weights that cannot be read, an unusable name, an output that exists.
        KeyboardInterrupt: after a signal, with a checkpoint written: the same command goes on.
    """
    args = _parse(argv, defaults)
    check_name(args.name)
    output = args.output or Path(args.name + SUFFIX)
    if output.suffix != SUFFIX:
        raise InputError(f"--output {output}: the name of a style file ends in {SUFFIX}")
    if not 0 <= args.strength <= 1:
        raise InputError(f"--strength {args.strength}: it is 0, the photo, to 1, all of the style")
    refuse_existing(output, args.force)
    make_folder(output.parent)
    config = dataclasses.replace(
        defaults,
        initial=str(args.checkpoint),
        steps=args.steps,
        vgg16=args.vgg16,
        model=StylizerConfig(style_names=(args.name,)),
        loss=dataclasses.replace(defaults.loss, strengths=(args.style_weight,)),
        data=dataclasses.replace(
            defaults.data,
            # The same photo is used for training and validation: the score only shows the progress.
            photos=tuple(args.photos or [str(example)] * 2),
            held_out=defaults.data.held_out if args.photos else 1,
            paintings=(f"{args.name}={args.painting}",),
            painting_size=painting_size(args.style_scale, defaults.data.painting_size),
        ),
    )
    picture = center_crop(Image.fromarray(read_photo(example).pixels), 2 * PREVIEW_SIDE)
    learned, params = learn(config, args.run)
    shared, before = load_styles(args.checkpoint)
    row = weaken(shared, jax.tree.map(lambda row: row[0], params["style_table"]), before["style_table"], args.strength)
    params = {**params, "style_table": jax.tree.map(lambda leaf: leaf[None], row)}
    style_file = StyleFile(
        name=args.name,
        network=network_fingerprint(params["network"]),
        code=row,
        preview=preview(learned, params, picture),
        author=args.author,
        licence=args.licence,
    )
    write_style_file(output, style_file)
    tell(f"wrote {output}; use it with emojax stylize --style {output}")
    return 0


def _parse(argv: Sequence[str], defaults: StyleTraining) -> argparse.Namespace:
    """The command's arguments."""
    parser = Parser(
        prog="emojax style add",
        description="Learns the style of one more painting, and writes a style file for stylize.py --style.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--painting", type=Path, required=True, help="a picture of the painting")
    add("--name", required=True, help="the name of the style")
    add("--checkpoint", type=find_styles, default=find_styles(), help="the network to learn it for")
    add("--photos", nargs="+", help="folders, .tar files or photos to learn on; none: the astronaut alone")
    add("--vgg16", help="VGG16 weights; none: $EMOJAX_VGG16, then the packaged ones")
    add("--steps", type=int, default=defaults.steps, help="steps of training")
    add(
        "--style-weight",
        type=float,
        default=0.5,
        help="factor of the loss terms of the painting: larger values keep less of the photo",
    )
    add(
        "--strength",
        type=float,
        default=0.7,
        help="weight of the learned style in the style file, 0 to 1; the rest is the style photo",
    )
    add("--style-scale", type=float, default=1.0, help="larger values give bolder strokes")
    add("--author", default="", help="the painting's author, written into the style file")
    add("--licence", default="", help="the painting's licence, written into the style file")
    add("--run", type=Path, help="folder for the training's checkpoints; none: runs/add_NAME_HASH")
    add("--output", type=Path, help=f"the style file; none: NAME{SUFFIX}")
    add("--force", action="store_true", help="replace an existing file")
    return parser.parse_args(argv)

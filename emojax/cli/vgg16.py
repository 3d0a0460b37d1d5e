"""`emojax vgg16 port`: converts VGG16 weights for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emojax.util.commandline import Parser


def port_weights(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    Raises:
        EmojaxError: a source that is not VGG16, or an output that exists or cannot be written.
    """
    from emojax.weights.port_vgg16 import port  # imports JAX
    from emojax.weights.vgg16_file import FAMILIES

    parser = Parser(prog="emojax vgg16 port", description="Converts VGG16 weights to the layout of emojax.")
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="safetensors in the layout of emojax, Keras or torchvision; .pth"
    )
    parser.add_argument(
        "dest", type=Path, metavar="DEST", help="the file to write, for --vgg16 DEST or the variable $EMOJAX_VGG16"
    )
    parser.add_argument(
        "--family",
        choices=FAMILIES,
        help="the input convention of the weights (default: what the file says, or its layout suggests); Caffe weights in "
        "torchvision's layout need it, because their names do not show it",
    )
    parser.add_argument("--force", action="store_true", help="replace DEST")
    args = parser.parse_args(argv)
    family = port(args.source, args.dest, args.family, args.force)
    print(f"{args.dest}: VGG16 to relu4_3, family {family}")
    return 0

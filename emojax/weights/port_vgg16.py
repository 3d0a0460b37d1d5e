"""`python -m emojax.weights.port_vgg16 SOURCE DEST` converts VGG16 weights to our layout.

SOURCE is whatever `emojax.nets.vgg16.read_weights` reads. DEST gets the ten convolutions that the losses use, under the names
and in the shapes of `emojax.nets.vgg16.SHAPES`, with the source's numbers and dtypes untouched (float16 stays float16; what
torch reads becomes float32); the metadata says under "family" how these weights want their input.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from emojax.cli.parser import Parser, run
from emojax.util.files import refuse_existing, write_atomically
from emojax.weights.vgg16_file import FAMILIES, read_weights


def port(source: Path, dest: Path, family: str | None = None, force: bool = False) -> str:
    """Writes `source` to `dest` in our layout, all or nothing.

    Returns:
        The family of the weights.

    Raises:
        UserError: a source that is not VGG16, a `dest` that exists (without `force`) or that cannot be written.
    """
    refuse_existing(dest, force)
    weights = read_weights(source, family)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in weights.tensors.items()}
    write_atomically(dest, save(tensors, metadata={"family": weights.family}))
    return weights.family


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = Parser(
        "python -m emojax.weights.port_vgg16", description="Converts VGG16 weights to the layout of emojax."
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="safetensors in our or torchvision's layout; .pth")
    parser.add_argument("dest", type=Path, metavar="DEST", help="the file to write; then --vgg16 DEST or $EMOJAX_VGG16")
    parser.add_argument(
        "--family",
        choices=FAMILIES,
        help="how the weights want their input; default: what the file says, else what its layout suggests. "
        "Caffe's weights in torchvision's layout exist, and cannot be told apart by their names",
    )
    parser.add_argument("--force", action="store_true", help="replace DEST")
    args = parser.parse_args(argv)
    dest = args.dest
    family = port(args.source, dest, args.family, args.force)
    print(f"{dest}: VGG16 to relu4_3, family {family}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))

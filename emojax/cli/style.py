"""`emojax style show`: shows what is in a style file."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from emojax.errors import InputError
from emojax.util.commandline import Parser
from emojax.util.files import refuse_existing, write_atomically
from emojax.util.words import tell
from emojax.weights.style_file import open_preview, read_style_file


def show(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    Raises:
        EmojaxError: a file that is no style file, or an output that exists or cannot be written.
    """
    parser = Parser(prog="emojax style show", description="Shows what is in a style file.")
    parser.add_argument("file", type=Path, metavar="FILE", help="the style file, NAME.pack")
    parser.add_argument("--preview", type=Path, metavar="PNG", help="write the preview picture to this file")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    args = parser.parse_args(argv)
    style_file = read_style_file(args.file)
    if args.preview:
        refuse_existing(args.preview, args.force)
        if args.preview.resolve() == args.file.resolve():
            raise InputError(f"--preview {args.preview} is the style file itself: choose another file", "preview")
    for field in dataclasses.fields(style_file):
        if field.name not in ("code", "preview"):
            text = "".join(
                c if c.isprintable() else "?" for c in getattr(style_file, field.name)
            )  # from an unknown author
            print(f"{field.name}: {text or '-'}")
    if args.preview:
        buffer = io.BytesIO()
        open_preview(style_file).save(buffer, "PNG")
        write_atomically(args.preview, buffer.getvalue())
        tell(f"wrote {args.preview}")
    return 0

"""`emojax web`: a page to play with, in the browser."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Sequence
from typing import NoReturn

from emojax.errors import InputError
from emojax.util.commandline import Parser


def web(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command until Ctrl-C, which ends the process with exit code 0.

    Raises:
        EmojaxError: Gradio is missing, a checkpoint that cannot be read, or a port that is taken.
    """
    parser = Parser(
        prog="emojax web",
        description="Opens a page that paints photos and the webcam, in the browser. It is served to this machine alone, "
        "and nothing leaves the machine. Needs pip install 'emojax[web]'. Ctrl-C ends it.",
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="port at 127.0.0.1 (default: the first free one from 7860)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    parser.add_argument("--classifier", metavar="DIR", help="a checkpoint or a run's folder (default: packaged)")
    parser.add_argument("--styles", metavar="DIR", help="a checkpoint, a run's folder, or fast (default: packaged)")
    args = parser.parse_args(argv)
    if args.port is not None and not 1 <= args.port <= 65535:
        raise InputError(f"`port` {args.port}: it is 1 to 65535", "port")
    # They import JAX, which takes a second.
    from emojax.pipeline import load
    from emojax.util.compiling import enable_cache
    from emojax.web.serve import serve

    enable_cache()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that visitors' files are deleted on SIGTERM, too
    with contextlib.suppress(KeyboardInterrupt), serve(load(args.styles, args.classifier), args.port) as address:
        print(f"emojax: {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        if not args.no_browser:
            webbrowser.open(address)
        threading.Event().wait()
    # Gradio's threads may still paint. Python would abort the process when such a thread returns from compiled code
    # to an interpreter that is shutting down. All files are deleted by now.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

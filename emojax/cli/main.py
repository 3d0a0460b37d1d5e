"""`emojax VERB ...`: finds the verb's command and runs it. Imports no more than that command needs."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from emojax import __version__
from emojax.errors import InputError
from emojax.util.commandline import run
from emojax.util.words import nearest


@dataclass(frozen=True)
class Command:
    """One command: a verb, or a verb and its object."""

    function: str
    """MODULE:FUNCTION, which takes the arguments and returns the exit code"""
    help: str
    """one line of `emojax --help`"""


COMMANDS = {
    "stylize": Command("emojax.cli.stylize:stylize", "repaint photos in the style of the emotion on their faces"),
    "video": Command("emojax.cli.video:video", "repaint clips, with steady emotions and strokes"),
    "style add": Command("emojax.cli.train:add_style", "learn the style of a painting of your own"),
    "style show": Command("emojax.cli.style:show", "show what is in a style file"),
    "style average": Command("emojax.cli.train:average", "average the weights of several style networks"),
    "style swatches": Command(
        "emojax.cli.train:swatches", "make the pictures that stylize --quality best paints after"
    ),
    "train styles": Command("emojax.cli.train:styles", "train a style network by a preset"),
    "train classifier": Command("emojax.cli.train:classifier", "train an emotion classifier by a preset"),
    "train calibrate": Command("emojax.cli.train:calibrate", "fit the probabilities of a classifier"),
    "evaluate styles": Command("emojax.cli.train:evaluate_styles", "score a style network on photos"),
    "evaluate classifier": Command("emojax.cli.train:evaluate_classifier", "score a classifier on labelled faces"),
    "web": Command("emojax.cli.web:web", "open a page that paints photos and the webcam"),
    "export": Command(
        "emojax.cli.export:export", "write the networks as StableHLO, ONNX or safetensors, or as a web page"
    ),
    "vgg16 port": Command("emojax.cli.vgg16:port_weights", "convert VGG16 weights for training"),
}
VERBS = tuple(dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))


def main(argv: Sequence[str]) -> int:
    """Runs a command; returns its exit code. A mistake is one line on stderr."""
    return run(lambda: dispatch(argv))


def dispatch(argv: Sequence[str]) -> int:
    """Runs the command that the first words name; without a verb, `stylize`.

    Raises:
        InputError: an unknown command.
    """
    words = [*argv[:2], "", ""]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        print(f"emojax {__version__}")
        return 0
    for count in (2, 1):
        if (name := " ".join(words[:count])) in COMMANDS:
            return _call(COMMANDS[name], argv[count:])
    if words[0] in VERBS:
        if words[1] in ("", "-h", "--help"):
            print(usage(words[0]))
            return 0
        choices = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{words[0]} ")]
        raise InputError(
            f"unknown command emojax {words[0]} {words[1]}{nearest(words[1], choices)}: choose from {', '.join(choices)}"
        )
    if hint := _misspelt(argv[0]):
        raise InputError(f"no photo and no verb is called {argv[0]!r}{hint}; emojax --help lists the verbs")
    return _call(COMMANDS["stylize"], argv)


def usage(verb: str = "") -> str:
    """Returns the help of all commands, or of those of one verb."""
    names = [name for name in COMMANDS if name.partition(" ")[0] == verb or not verb]
    lines = [f"  {name:<20} {COMMANDS[name].help}{' (the default)' * (name == 'stylize')}" for name in names]
    start = f"emojax {verb}" if verb else "emojax"
    return "\n".join(
        [
            f"usage: {start} COMMAND ..." if verb else "usage: emojax [COMMAND] ...\n       emojax PHOTO ...",
            "",
            "commands:",
            *lines,
            "",
            "emojax COMMAND --help lists the flags of a command, emojax --version prints the version",
        ]
    )


def _misspelt(word: str) -> str:
    """Returns a hint if a word resembles a verb and is neither a flag nor a file."""
    if word.startswith("-") or "." in word or os.sep in word or os.path.lexists(word):
        return ""
    return nearest(word, VERBS)


def _call(command: Command, argv: Sequence[str]) -> int:
    module, _, function = command.function.partition(":")
    return getattr(importlib.import_module(module), function)(list(argv))

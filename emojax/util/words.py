"""Text for users: hints for misspelt words, lines without control characters, tables."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
from collections.abc import Iterable, Sequence

# C0 and C1 control characters, line separators, and characters that change the writing direction
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Escapes control characters, for example in file names, because a terminal would interpret them."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def tell(line: str) -> None:
    """Prints a line on standard error, unless nothing can be written there: the work goes on without it."""
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint such as " (did you mean 'happy'?)", or "" if nothing among `choices` is close to `word`."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, of which the first is the header, as a Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])

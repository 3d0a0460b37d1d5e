"""What the documents name exists: files, headings, and paths in the text."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT) for folder in (ROOT, ROOT / "docs", ROOT / "examples") for path in folder.glob("*.md")
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:emojax|configs|tests|docs|benchmarks|examples)/[\w./]*)`")


def anchors(text):
    """The headings as links name them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(path, text):
    for link in LINK.findall(text):
        file, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            yield link
    yield from (name for name in PATH.findall(text) if not (ROOT / name).exists())


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_what_a_document_names_exists(document):
    assert not list(broken(ROOT / document, (ROOT / document).read_text()))


def test_what_does_not_exist_is_found():
    text = "[a](README.md#install) [b](#b) [c](docs/cli.md) [d](docs/none.md) `emojax/none.py` `emojax/cli/main.py`"
    assert list(broken(ROOT / "README.md", text)) == ["#b", "docs/none.md", "emojax/none.py"]

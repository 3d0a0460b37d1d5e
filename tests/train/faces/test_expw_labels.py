"""The list of ExpW's faces and labels."""

import pytest

from emojax.emotions import EMOTIONS
from emojax.errors import EmojaxError
from emojax.train.faces import expw

LINE = "a.jpg 0 20 30 90 80 45.5 3"  # top 20, left 30, right 90, bottom 80


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg 0 20 30 90 80 45.5", r"7 fields instead of 8 \(name face_id top left right bottom confidence label\)"),
        ("a b.jpg 0 20 30 90 80 45.5 3", "9 fields instead of 8"),
        ("a.jpg x 20 30 90 80 45.5 3", "'x' is not an integer"),
        ("a.jpg 0 20.5 30 90 80 45.5 3", "'20.5' is not an integer"),
        ("a.jpg 0 20 30 90 80 high 3", "'high' is not a finite number"),
        ("a.jpg 0 20 30 90 80 nan 3", "'nan' is not a finite number"),
        (f"a.jpg 0 20 30 {'9' * 400} 80 45.5 3", "9' is not an integer"),
        ("a.jpg 0 20 30 90 80 45.5 7", "label 7 is outside 0 to 6"),
        ("a.jpg 0 20 30 90 80 45.5 -1", "label -1 is outside 0 to 6"),
        ("a.jpg 0 20 30 30 80 45.5 3", "empty box: top 20, left 30, right 30, bottom 80"),
        ("a.jpg 0 80 30 90 20 45.5 3", "empty box"),
        ("../a.jpg 0 20 30 90 80 45.5 3", "'../a.jpg' is not the name of a photo in origin/"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, reason):
    path = tmp_path / "label.lst"
    path.write_text(f"{LINE}\n\n{line}\n{LINE}\n")
    with pytest.raises(EmojaxError, match=rf"^{path}:3: .*{reason}.*correct or remove") as caught:
        expw.parse_labels(path)
    assert "\n" not in str(caught.value)


def test_every_malformed_line_counts(tmp_path):
    path = tmp_path / "label.lst"
    path.write_text(f"{LINE}\n" + "a.jpg 1\n" * 7)
    with pytest.raises(EmojaxError, match=rf"{path}:2: .*; {path}:6: .*; and 2 more"):
        expw.parse_labels(path)


def test_lines_in_the_order_of_expw(tmp_path):
    (tmp_path / "label.lst").write_text(LINE)
    assert expw.parse_labels(tmp_path / "label.lst") == [
        expw.FaceLabel("a.jpg", 0, top=20, left=30, right=90, bottom=80, confidence=45.5, label=EMOTIONS.index("happy"))
    ]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_list(tmp_path, content):
    (tmp_path / "label.lst").write_text(content)
    with pytest.raises(EmojaxError, match=r"label\.lst lists no faces"):
        expw.parse_labels(tmp_path / "label.lst")


def test_a_list_that_is_no_text(tmp_path):
    (tmp_path / "label.lst").write_bytes(b"\xff\xd8\xff\x00")
    with pytest.raises(EmojaxError, match=r"cannot read .*label\.lst"):
        expw.parse_labels(tmp_path / "label.lst")

"""Mistakes of those who have clips painted, in Python and in the command."""

import pytest

from emojax.cli import video as command
from emojax.errors import InputError
from emojax.video.run import stylize_video

av = pytest.importorskip("av", reason="clips need PyAV: pip install 'emojax[video]'")


def test_mistakes(model, scene, clip, tmp_path):
    with pytest.raises(InputError, match="clip itself"):
        stylize_video(model, clip, clip, force=True)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="exists"):
        stylize_video(model, clip, tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"suffix '.avi'"):
        stylize_video(model, clip, tmp_path / "a.avi")
    with pytest.raises(InputError, match="lies between"):
        stylize_video(model, clip, tmp_path / "b.mp4", start=0.79, end=0.791)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-"], "clips are read from files"),
        ([], "no clip"),
        (["a.mp4", "--start", "5", "--end", "4"], "--end 4"),
        (["a.mp4", "--steady", "2"], "--steady 2"),
        (["a.mp4", "--output", "a.avi"], ".avi"),
        (["a.mp4", "--strength", "3"], "--strength 3"),
        (["missing.mp4"], "missing.mp4"),
    ],
)
def test_mistakes_in_the_command(folder, capsys, words, message):
    assert command.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line

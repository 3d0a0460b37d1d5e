"""Clips painted by a tiny network."""

import json
import signal
import sys

import numpy as np
import pytest
from clips import SIZE, noisy, pan, read, sound_of, times, write, write_tone
from scenes import FACE, HAPPY, SAD

from benchmarks import steady as measures
from emojax import pipeline
from emojax.cli import video as command
from emojax.cli.main import dispatch
from emojax.errors import EmojaxError, InputError, NoFaceError, OutputError
from emojax.faces.find import Face
from emojax.pipeline import tiles
from emojax.video import analysis, run
from emojax.video.run import stylize_video
from emojax.video.tracks import TRANSITION

av = pytest.importorskip("av", reason="clips need PyAV: pip install 'emojax[video]'")


@pytest.fixture
def written(monkeypatch):
    """The frames that would be encoded, without any loss."""
    kept = []

    def keep(path, frames, *_):
        kept[:] = list(frames)
        path.write_bytes(b"a clip")
        return []

    monkeypatch.setattr(run, "write_clip", keep)
    return kept


def painted(model, source, written, **options):
    """The pictures, and what was read."""
    readings = []
    result = stylize_video(model, source, source.with_name("out.mkv"), force=True, on_frame=readings.append, **options)
    return [frame.pixels for frame in written], readings, result


def apart(a, b):
    return np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int))


# --- a whole clip


def test_ten_seconds_with_sound(model, scene, tmp_path):
    """A variable frame rate, a pan, noise and a cut; everything but the pictures stays."""
    rates = [70, 100, 130, 100] * 25
    still = noisy(50)
    pictures = [*pan(50), *(255 - picture for picture in still)]
    tone = write_tone(tmp_path / "tone.m4a", 10)
    source = write(tmp_path / "clip.mp4", pictures, rates, tone)
    readings = []
    result = stylize_video(model, source, tmp_path / "art.mp4", on_frame=readings.append)
    frames, opened = read(tmp_path / "art.mp4")
    before, _ = read(source)
    assert times(frames) == times(before) and sum(rates) - times(frames)[-1] == 100 and len(readings) == 100
    assert opened.info.size == SIZE and result.frames == 100 and result.seconds == pytest.approx(10)
    assert sound_of(tmp_path / "art.mp4") == sound_of(source)
    assert apart(frames[40].pixels, before[40].pixels).mean() > 5
    assert result.faces == 2 and result.emotion["happy"] == pytest.approx(1)  # the cut brings another face
    assert sorted(path.name for path in tmp_path.iterdir()) == ["art.mp4", "clip.mp4", "tone.m4a"]


@pytest.mark.parametrize("name", ["cat.gif", "cat.webp"])
def test_an_animation_stays_one(model, scene, tmp_path, name):
    source = write(tmp_path / name, pan(4), [50, 100, 150, 200], loops=2)
    stylize_video(model, source, tmp_path / f"out.{name}")
    frames, opened = read(tmp_path / f"out.{name}")
    assert times(frames) == [0, 50, 150, 300] and round(1000 * frames[-1].duration) == 200
    assert opened.info.loops == 2 and apart(frames[1].pixels, pan(4)[1]).mean() > 5


def test_ctrl_c_leaves_what_was_done(model, scene, tmp_path, monkeypatch):
    flag = run.InterruptFlag()
    monkeypatch.setattr(run, "InterruptFlag", lambda: flag)
    source = write(tmp_path / "clip.mp4", pan(60), sound=write_tone(tmp_path / "tone.m4a", 2.4))

    def interrupt(reading):
        if reading.index == 20:
            flag._remember(signal.SIGINT, None)

    result = stylize_video(model, source, tmp_path / "art.mp4", on_frame=interrupt)
    frames, _ = read(tmp_path / "art.mp4")
    assert result.interrupted and len(frames) == result.frames == 21 and "Ctrl-C" in result.note
    assert len(sound_of(tmp_path / "art.mp4")[1]) < 45  # the sound ends, too


def test_nothing_is_left_of_a_failure(model, scene, tmp_path, monkeypatch, clip):
    def fails(path, frames, *_):
        path.write_bytes(b"a part")
        next(frames)
        raise OutputError("cannot write the clip: the disk is full")

    monkeypatch.setattr(run, "write_clip", fails)
    with pytest.raises(EmojaxError, match="disk is full"):
        stylize_video(model, clip, tmp_path / "art.mp4")
    assert not list(tmp_path.iterdir())


# --- emotion


def test_the_style_glides_and_never_flips(model, scene, written, tmp_path):
    scene.readings = [HAPPY, HAPPY, SAD]
    source = write(tmp_path / "clip.mkv", pan(90))
    _, readings, result = painted(model, source, written)
    assert readings[0].style == {"happy": 1} and readings[-1].style == {"sad": 1}
    shares = [reading.style.get("sad", 0.0) for reading in readings]
    assert max(np.abs(np.diff(shares))) <= 0.04 / TRANSITION + 1e-5 and sorted(shares) == shares
    between = [share for share in shares if 0 < share < 1]
    assert len(between) == pytest.approx(TRANSITION / 0.04, abs=2)
    assert {number for reading in readings for number in reading.faces} == {0} and result.faces == 1


def test_a_reading_that_wavers_leaves_the_style(model, scene, written, tmp_path):
    scene.readings = [HAPPY, SAD] * 20
    _, readings, _ = painted(model, write(tmp_path / "clip.mkv", pan(60)), written)
    assert all(reading.style == {"happy": 1} for reading in readings)
    assert 0.3 < readings[-1].emotion["happy"] < 0.8


def test_a_mix_follows_the_probabilities(model, scene, written, clip):
    scene.readings = [0.75 * HAPPY + 0.25 * SAD]
    _, readings, _ = painted(model, clip, written, mix="probabilities")
    assert readings[-1].style == pytest.approx({"happy": 0.75, "sad": 0.25}, abs=1e-5)


def test_faces_move_evenly_between_key_frames(model, scene, written, clip):
    scene.faces = [[Face(x, 8.0, 20.0, 20.0, 0.9)] for x in (10.0, 18.0, 26.0)]
    _, readings, _ = painted(model, clip, written)
    places = [reading.faces[0].x for reading in readings]
    np.testing.assert_allclose(np.diff(places[:8]), 1, atol=1e-3)  # 8 pixels in 8 frames


def test_key_frames_of_large_clips_are_near(model, scene, written, clip, monkeypatch):
    monkeypatch.setattr(analysis, "MAX_SEGMENT_BYTES", 2 * SIZE[0] * SIZE[1] * 3)
    painted(model, clip, written)
    assert scene.looks == 11  # of 20 frames: every second one, and the last


def test_every_face_has_its_style(model, scene, written, clip):
    other = Face(44.0, 26.0, 14.0, 14.0, 0.8)
    scene.faces, scene.readings = [[FACE, other]], [np.stack([HAPPY, SAD])]
    pictures, readings, _ = painted(model, clip, written, per_face=True, steady=0, face="0")
    plain, _, _ = painted(model, clip, written, steady=0, face="0")
    difference = apart(pictures[3], plain[3])
    assert readings[3].style == {"happy": 1} and readings[3].faces[1].style == {"sad": 1}
    assert difference[30:36, 48:54].mean() > 4 * difference[:10, :10].mean()


def test_without_a_face(model, scene, written, clip, tmp_path):
    scene.faces = [[]]
    _, readings, result = painted(model, clip, written)
    assert "neutral style" in result.note and result.faces == 0 and readings[0].emotion is None
    assert result.style == {"neutral": 1}
    with pytest.raises(NoFaceError, match="no_face"):
        stylize_video(model, clip, tmp_path / "a.mkv", no_face="error")
    assert stylize_video(model, clip, tmp_path / "a.mkv", no_face="skip").output is None
    assert not list(tmp_path.iterdir())


def test_a_face_that_comes_late(model, scene, written, tmp_path):
    scene.faces = [[], [], [FACE]]
    _, readings, _ = painted(model, write(tmp_path / "clip.mkv", pan(90)), written)
    assert readings[0].style == {"neutral": 1} and readings[0].emotion is None
    assert readings[-1].style == {"happy": 1} and readings[-1].faces[0].dominant == "happy"


# --- strokes


def test_a_still_clip_flickers_less(model, scene, written, tmp_path):
    source = write(tmp_path / "still.mkv", noisy(16))
    steady, _, _ = painted(model, source, written)
    alone, _, _ = painted(model, source, written, steady=0)
    assert measures.flicker(steady) <= 0.5 * measures.flicker(alone)
    assert apart(steady[-1], alone[-1]).mean() < 8


def test_a_pan_is_as_steady_as_its_motion(model, scene, written, tmp_path):
    pictures = pan(24, 1)
    source = write(tmp_path / "pan.mkv", pictures)

    def error(found):
        """Beside the first frame, moved."""
        return np.mean([apart(found[i][:, :-i], found[0][:, i:]).mean() for i in range(1, 24)])

    steady, _, _ = painted(model, source, written, emotion="sad", face_strength=1)
    alone, _, _ = painted(model, source, written, emotion="sad", face_strength=1, steady=0)
    assert error(steady) <= 0.8 * error(alone)


def test_a_cut_begins_anew(model, scene, written, tmp_path):
    pictures = [*pan(6), *(255 - picture for picture in pan(6))]
    source = write(tmp_path / "cut.mkv", pictures)
    steady, _, _ = painted(model, source, written, emotion="sad")
    alone, _, _ = painted(model, source, written, emotion="sad", steady=0)
    assert apart(steady[6], alone[6]).max() <= 1 and apart(steady[0], alone[0]).max() <= 1
    assert apart(steady[5], alone[5]).max() > 1


def test_frame_by_frame_is_the_photos_painting(model, scene, written, clip, monkeypatch):
    monkeypatch.setattr(pipeline.model, "find_faces", lambda detector, photo: [FACE])
    for options in ({"emotion": "sad"}, {"emotion": "happy:0.5,sad:0.5", "strength": 0.7, "style_scale": 2}):
        pictures, _, _ = painted(model, clip, written, steady=0, colors="photo", **options)
        photo = read(clip)[0][7].pixels
        expected = model(photo, colors="photo", **options).image
        assert apart(pictures[7], expected).max() <= 2 and apart(pictures[7], expected).mean() < 0.1


def test_frames_in_tiles(model, scene, written, tmp_path, monkeypatch):
    source = write(tmp_path / "pan.mkv", pan(3, size=(100, 140), side=240))
    options = {"emotion": "sad", "face_strength": 1}
    whole, _, _ = painted(model, source, written, **options)
    monkeypatch.setattr(tiles, "max_pixels", lambda config: 100 * 140 - 1)
    tiled, _, _ = painted(model, source, written, **options)
    assert np.mean([apart(a, b).mean() for a, b in zip(whole, tiled, strict=True)]) < 6  # statistics are estimated


def test_masks(model, scene, written, clip, tmp_path):
    mask = np.zeros(SIZE, np.float32)
    mask[:, 40:] = 1
    photos = [frame.pixels for frame in read(clip)[0]]
    pictures, _, _ = painted(model, clip, written, emotion="sad", mask=mask)
    assert all((a[:, :40] == b[:, :40]).all() for a, b in zip(pictures, photos, strict=True))
    assert apart(pictures[5][:, 44:], photos[5][:, 44:]).mean() > 5
    pictures, _, _ = painted(model, clip, written, background_only=True)
    assert (pictures[5][12:24, 24:36] == photos[5][12:24, 24:36]).all() and apart(pictures[5], photos[5]).mean() > 3
    pictures, _, _ = painted(model, clip, written, faces_only=True)
    assert (pictures[5][44:] == photos[5][44:]).all() and apart(pictures[5], photos[5])[12:24, 24:36].mean() > 3


# --- the command


def test_the_command_on_a_folder(folder, capsys):
    words = [str(folder / "in"), "--output", str(folder / "out"), "--json"]
    assert command.main(words) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    frames, ends = [row for row in rows if "frame" in row], [row for row in rows if "output" in row]
    assert [row["frame"] for row in frames] == [0, 1, 2, 3, 4, 0, 1, 2]
    assert frames[0]["faces"][0]["id"] == 0 and frames[0]["dominant_emotion"] == "happy" and frames[1]["time"] == 0.04
    assert [row["frames"] for row in ends] == [5, 3, 0] and "c.mov" in ends[2]["error"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.happy.mp4", "b.happy.gif"]
    assert command.main([*words[:-1], "--skip-existing", "--quiet"]) == 1
    assert command.main([str(folder / "out")]) == 2  # nothing but outputs


@pytest.mark.parametrize(
    ("flags", "style"),
    [(["--mood", "0.81,0.51"], {"happy": 1.0}), (["--style", "sad:3,fear:1"], {"sad": 0.75, "fear": 0.25})],
)
def test_the_flags_name_the_style(folder, capsys, flags, style):
    assert command.main([str(folder / "in" / "b.gif"), *flags, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["style"] for row in rows if "frame" in row] == [style] * 3


def test_a_mood_in_python(model, scene, clip):
    result = stylize_video(model, clip, clip.with_name("mood.mkv"), mood=(0.81, 0.51))
    assert result.style == {"happy": 1.0}
    with pytest.raises(InputError, match="unknown option 'ever' .did you mean 'every'"):
        stylize_video(model, clip, clip.with_name("mood.mkv"), ever=2)
    with pytest.raises(InputError, match="unknown option 'mod'"):
        stylize_video(model, clip, clip.with_name("mood.mkv"), mod=(0, 0))


def test_the_command_on_a_clip(folder, capsys):
    source, output = folder / "in" / "a.mp4", folder / "art.webm"
    words = ["video", str(source), "--emotion", "sad", "--every", "2", "--crf", "40", "--output"]
    assert dispatch([*words, str(output)]) == 0
    assert capsys.readouterr().out == f"{source} -> {output} (sad, 3 frames)\n"
    assert command.main([*words[1:], str(output)]) == 2 and "exists" in capsys.readouterr().err
    assert command.main([*words[1:], str(source), "--force"]) == 2
    assert read(source)[0]


def test_without_pyav_there_are_animations_only(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert command.main([str(folder / "in" / "a.mp4")]) == 2
    assert "emojax[video]" in capsys.readouterr().err
    assert command.main([str(folder / "in" / "b.gif"), "--quiet"]) == 0


def test_ctrl_c_in_the_command(folder, capsys, monkeypatch):
    flag = run.InterruptFlag()
    flag.raised = True
    monkeypatch.setattr(run, "InterruptFlag", lambda: flag)
    output = folder / "out.mp4"
    assert command.main([str(folder / "in" / "a.mp4"), "--output", str(output)]) == 130
    assert len(read(output)[0]) == 1 and "stopped" in capsys.readouterr().err

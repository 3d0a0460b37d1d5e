"""Clips in and out, without a network."""

import clips
import numpy as np
import pytest
from clips import SIZE, pan, read, sound_of, times, turn, write, write_tone
from PIL import Image

from emojax.errors import EmojaxError, InputError
from emojax.video.frames import ClipInfo
from emojax.video.options import VideoOptions
from emojax.video.read import is_ours, open_clip, planned_count
from emojax.video.threads import Consumer
from emojax.video.write import write_clip

av = pytest.importorskip("av", reason="clips need PyAV: pip install 'emojax[video]'")
VARIABLE = [40, 40, 60, 100, 20, 40, 300, 40]
"""milliseconds"""


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif", "a.webp"])
def test_times_and_pictures_survive(tmp_path, name):
    pictures = pan(8)
    frames, clip = read(write(tmp_path / name, pictures, VARIABLE))
    assert times(frames) == [0, 40, 80, 140, 240, 260, 300, 600]
    assert [round(1000 * frame.duration) for frame in frames][:-1] == VARIABLE[:-1]
    assert clip.info.size == SIZE and not clip.notes
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.abs(frame.pixels.astype(int) - picture).mean() < 9  # chroma is stored at half the size
    assert is_ours(str(tmp_path / name))


def test_colours_survive(tmp_path):
    """Flat patches, which lose nothing by chroma at half the size; small and large clips have other colour matrices."""
    for size in (SIZE, (720, 1280)):
        picture = np.zeros((*size, 3), np.uint8)
        colours = [(200, 30, 30), (30, 180, 60), (40, 60, 220), (230, 200, 40)]
        for index, colour in enumerate(colours):
            picture[:, index * size[1] // 4 : (index + 1) * size[1] // 4] = colour
        (frame, *_), _ = read(write(tmp_path / f"{size[0]}.mp4", [picture] * 2))
        found = frame.pixels[size[0] // 2, size[1] // 8 :: size[1] // 4]
        assert np.abs(found.astype(int) - colours).max() <= 3


def test_it_is_h264_that_everything_plays(tmp_path):
    with av.open(str(write(tmp_path / "a.mp4", pan(3)))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playing begins before all is there


def test_odd_sides_get_an_edge(tmp_path):
    picture = pan(1, size=(31, 45))[0]
    (frame, *_), clip = read(write(tmp_path / "a.mp4", [picture] * 2))
    assert frame.pixels.shape == (32, 46, 3) and clip.info.size == (32, 46)
    (frame, *_), _ = read(write(tmp_path / "a.gif", [picture] * 2))
    assert frame.pixels.shape == picture.shape


@pytest.mark.parametrize(("degrees", "turns"), [(90, -1), (180, 2), (270, 1)])
def test_clips_are_upright(tmp_path, degrees, turns):
    pictures = pan(2)
    plain, _ = read(path := write(tmp_path / "a.mp4", pictures))
    turn(path, degrees)
    frames, clip = read(path)
    np.testing.assert_array_equal(frames[0].pixels, np.rot90(plain[0].pixels, turns))
    assert clip.info.size == frames[0].pixels.shape[:2]


def test_a_part_of_a_clip(tmp_path):
    path = write(tmp_path / "a.mp4", pan(20))
    frames, clip = read(path, start=0.2, end=0.6)
    assert times(frames) == list(range(0, 400, 40))
    assert float(clip.origin) == pytest.approx(0.2) and round(1000 * frames[-1].duration) == 40
    frames, clip = read(path, every=7)
    assert times(frames) == [0, 280, 560] and [round(1000 * frame.duration) for frame in frames] == [280, 280, 240]
    assert clip.info.count == 3


def test_how_many_frames_will_come():
    assert planned_count(100, 4.0, VideoOptions()) == 100
    assert planned_count(100, 4.0, VideoOptions(start=1, end=2)) == 25
    assert planned_count(100, 4.0, VideoOptions(start=3, end=9, every=10)) == 3


def test_a_gif_has_at_most_50_frames_a_second(tmp_path):
    """Others are left out: viewers would show them for a tenth of a second. The clip takes as long."""
    frames, _ = read(write(tmp_path / "a.gif", pan(60), [16, 17, 17] * 20))
    assert 28 <= len(frames) <= 50 and min(frame.duration for frame in frames) >= clips.Fraction(2, 100)
    assert round(1000 * (frames[-1].time + frames[-1].duration)) == pytest.approx(1000, abs=15)


def test_animations_keep_loops_and_transparency(tmp_path):
    alpha = np.zeros(SIZE, np.uint8)
    alpha[:, 20:] = 255
    for name in ("a.gif", "a.webp"):
        frames, clip = read(write(tmp_path / name, pan(3), 90, alpha=alpha, loops=3))
        assert clip.info.loops == 3
        np.testing.assert_array_equal(frames[1].alpha, alpha)
        assert (frames[1].pixels[:, :20] == 255).all()  # over white
    Image.fromarray(pan(1)[0]).save(tmp_path / "one.gif")
    assert len(read(tmp_path / "one.gif")[0]) == 1


# --- sound


def test_sound_is_copied(tmp_path):
    tone = write_tone(tmp_path / "tone.m4a", 1.2)
    for name in ("a.mp4", "a.mkv", "a.mov"):
        codec, packets = sound_of(write(tmp_path / name, pan(30), sound=tone))
        assert codec == "aac" and packets == sound_of(tone)[1][: len(packets)] and len(packets) >= 50


def test_sound_is_encoded_only_where_it_has_to_be(tmp_path):
    tone = write_tone(tmp_path / "tone.m4a", 1.2)
    output = tmp_path / "a.webm"
    info = ClipInfo(SIZE, clips.Fraction(25), clips.Fraction(1, 1000), 30)
    notes = write_clip(output, clips.timed(pan(30)), info, 20, tone)
    assert sound_of(output)[0] == "opus" and any("opus" in note and "aac" in note for note in notes)
    with av.open(str(output)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / 48000 == pytest.approx(1.2, abs=0.1)


def test_a_part_has_the_sound_of_that_part(tmp_path):
    tone = write_tone(tmp_path / "tone.m4a", 3)
    info = ClipInfo(SIZE, clips.Fraction(25), clips.Fraction(1, 1000), 10)
    write_clip(tmp_path / "a.mp4", clips.timed(pan(10)), info, 20, tone, clips.Fraction(1))
    codec, packets = sound_of(tmp_path / "a.mp4")
    assert codec == "aac" and 0.3 < len(packets) * 1024 / 44100 < 0.6
    everything = sound_of(tone)[1]
    assert everything.index(packets[2]) == pytest.approx(44100 / 1024, abs=4)


# --- mistakes


def test_what_is_no_clip(tmp_path):
    (tmp_path / "text.mp4").write_text("nothing to see")
    tone = write_tone(tmp_path / "tone.m4a", 0.2)
    for path in (tmp_path / "text.mp4", tmp_path / "missing.mp4", tone, tmp_path / "missing.gif"):
        with pytest.raises(InputError, match=str(path)):
            read(path)
    with pytest.raises(EmojaxError, match="max_megapixels"):
        open_clip(write(tmp_path / "a.mp4", pan(2)), VideoOptions(), max_megapixels=0.001).__enter__()


def test_a_damaged_clip_is_read_as_far_as_it_goes(tmp_path):
    path = write(
        tmp_path / "a.mkv", [np.asarray(Image.effect_noise((64, 48), 90 + i).convert("RGB")) for i in range(30)]
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, _ = read(path)
    assert 3 < len(frames) < 29


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "`start` -1"),
        ({"start": 3, "end": 2}, "`end` 2"),
        ({"every": 0}, "`every` 0"),
        ({"crf": 60}, "`crf` 60"),
        ({"steady": 1.0}, "`steady` 1"),
    ],
)
def test_options(options, message):
    with pytest.raises(InputError, match=message):
        VideoOptions(**options)


# --- threads


def test_work_behind():
    worker = Consumer(lambda items: [item * item for item in items], 2)
    for index in range(5):
        worker.put(index)
    assert worker.finish() == [0, 1, 4, 9, 16]

    def fails(items):
        next(items)
        raise KeyError("early")

    worker = Consumer(fails, 1)
    with pytest.raises(KeyError, match="early"):
        [worker.put(index) for index in range(10)]
    with pytest.raises(KeyError, match="early"):
        worker.finish()

"""Clips in, painted clips out.

    read -> motion, key frames (seen) -> tracks, painter -> write, sound        all in threads that `run` joins

Frames are uint8 [H, W, 3], sRGB, upright. Times are seconds since the start of the painted part. They are `Fraction`s, so that
rounding does not shift any frame. Video needs PyAV (`pip install 'emojax[video]'`); animated GIF and WebP need only Pillow.
"""

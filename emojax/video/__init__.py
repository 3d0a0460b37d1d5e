"""Clips in, painted clips out.

    read -> motion, key frames (seen) -> tracks, painter -> write, sound        all in threads that `run` joins

Frames are uint8 [H, W, 3], sRGB, upright. Times are seconds since the start of what is painted, as `Fraction`s, so that no
frame moves. Video needs PyAV (`pip install emojax[video]`); animated GIF and WebP need Pillow alone.
"""

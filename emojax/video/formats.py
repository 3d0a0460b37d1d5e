"""File formats of clips: which suffixes are read and written. Only names; no file is opened."""

from __future__ import annotations

ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}
"""suffix -> Pillow's name of an animation that is read and written"""
CODECS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".webm": "libvpx-vp9",
}
"""suffix -> FFmpeg's name of the encoder for it"""
WRITTEN = (*CODECS, *ANIMATIONS)
CLIP_SUFFIXES = frozenset(
    """
    .3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .m2t .m2ts .m2v .m4v .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nut .ogm
    .ogv .qt .rm .rmvb .ts .vob .webm .webp .wmv .y4m
    """.split()  # noqa: SIM905  a list would take a line each
)
"""suffixes of the clips in a folder; a file that is given by its path may have any suffix"""
DEFAULT_SUFFIX = ".mp4"

"""Photos in and out. Every conversion of range, layout and dtype of a picture lives in this package.

    pixels   uint8   [H, W, 3]   0..255, sRGB, upright, channels last: what is decoded, passed around and encoded
    alpha    uint8   [H, W]      0 (transparent)..255 (opaque), beside the pixels of a photo that has transparency
    unit     float32 [..., 3]    0..1, the same picture for the networks (VGG16 takes 0..255, see `emojax.nets.vgg16`)

The networks see a transparent photo composited over white. The stylized picture gets its alpha back if the output format
supports it (PNG, WebP, TIFF, AVIF, JPEG 2000); in other formats, the picture is composited over white.

The modules import each other as follows; `sizes` and `units` are at the bottom:

    read -> mend, metadata, colour -> declared -> spaces, opening -> signatures -> isobmff, formats
    write -> metadata, colour, opening, formats    mask -> read

The package does not import JAX, so that planning a batch starts fast.
"""

from emojax.images.colour import srgb_profile
from emojax.images.formats import FORMATS, IMAGE_SUFFIXES, PHOTO_SUFFIXES, UNMARKED, format_of
from emojax.images.mask import MaskLike, read_mask, resize_mask
from emojax.images.opening import read_bounded, refusal
from emojax.images.read import ArrayLike, Photo, PhotoLike, read_photo, read_size
from emojax.images.sizes import (
    MAX_MEGAPIXELS,
    STYLE_SCALES,
    check_style_scale,
    rescale,
    resize,
    resize_like,
    scaled_size,
)
from emojax.images.units import to_255, to_grey, to_picture, to_signed, to_uint8, to_unit
from emojax.images.write import MARK, Stream, encode, is_ours, write_image

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "MARK",
    "MAX_MEGAPIXELS",
    "PHOTO_SUFFIXES",
    "STYLE_SCALES",
    "UNMARKED",
    "ArrayLike",
    "MaskLike",
    "Photo",
    "PhotoLike",
    "Stream",
    "check_style_scale",
    "encode",
    "format_of",
    "is_ours",
    "read_bounded",
    "read_mask",
    "read_photo",
    "read_size",
    "refusal",
    "rescale",
    "resize",
    "resize_like",
    "resize_mask",
    "scaled_size",
    "srgb_profile",
    "to_255",
    "to_grey",
    "to_picture",
    "to_signed",
    "to_uint8",
    "to_unit",
    "write_image",
]

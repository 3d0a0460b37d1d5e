"""Boxes of ISO base media files (AVIF, HEIF) and of JPEG 2000: brands and declared colours.

Only headers are read here; no pixel is touched. Every function accepts damaged bytes, and then finds less.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

_MAX_META = 1 << 24  # bytes; a real `meta` box has some kilobytes
_MAX_BOXES = 10_000


@runtime_checkable
class SeekableFile(Protocol):
    """An open, seekable binary file."""

    def read(self, size: int = ..., /) -> bytes: ...
    def seek(self, offset: int, whence: int = ..., /) -> int: ...
    def tell(self) -> int: ...


def boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yields the (type, content) of each box that is complete in the data."""
    for _ in range(_MAX_BOXES):
        head = _box_head(data[start : start + 16])
        if head is None:
            return
        kind, header, size = head
        end = start + size if size else len(data)
        if end > len(data):
            return
        yield kind, data[start + header : end]
        start = end


def find(data: bytes, *path: bytes) -> bytes | None:
    """Returns the content of the first box at a path of types, such as find(data, b"iprp", b"ipco")."""
    for kind in path:
        found = next((content for name, content in boxes(data) if name == kind), None)
        if found is None:
            return None
        data = found
    return data


def top_box(file: SeekableFile, wanted: bytes) -> bytes | None:
    """Returns the content of a file's first box of a type, without reading the others."""
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        head = _box_head(file.read(16))
        if head is None:
            return None
        kind, header, size = head
        if kind == wanted:
            file.seek(position + header)
            content = file.read(min(size - header, _MAX_META) if size else _MAX_META)
            return content
        if not size:
            return None
        position += size
    return None


def brands(head: bytes) -> frozenset[bytes]:
    """Returns the brands of an ISO base media file, the major one included; none for other files."""
    box = _box_head(head[:16])
    if box is None or box[0] != b"ftyp":
        return frozenset()
    content = head[box[1] : box[2] or None]
    return frozenset(content[at : at + 4] for at in (0, *range(8, len(content) - 3, 4)))


def declared_cicp(meta: bytes) -> tuple[int, int, bool] | None:
    """Returns (primaries, transfer, full range) of the primary picture of an AVIF or HEIF, from its `meta` box.

    The numbers are those of ITU-T H.273. The result is None where no `nclx` colour is declared.
    """
    meta = meta[4:]  # version and flags
    container = find(meta, b"iprp", b"ipco")
    if container is None:
        return None
    properties = list(boxes(container))
    own = _properties_of_primary(meta)
    chosen = [properties[index - 1] for index in own if 0 < index <= len(properties)] or properties
    for kind, content in [*chosen, *properties]:
        if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 11:
            primaries, transfer, _, full_range = struct.unpack(">HHHB", content[4:11])
            return primaries, transfer, bool(full_range >> 7)
    return None


def jpeg2000_colour(header: bytes) -> bytes | int | None:
    """Returns the ICC profile, or the number of the colour space, that the `jp2h` box of a JPEG 2000 declares."""
    colour = find(header, b"colr")
    if colour is None or len(colour) < 7:
        return None
    if colour[0] in (2, 3):
        return colour[3:]
    return int.from_bytes(colour[3:7], "big") if colour[0] == 1 else None


def _box_head(head: bytes) -> tuple[bytes, int, int] | None:
    """Returns (type, bytes of the header, bytes of the box or 0 for "to the end"); None if there is no box."""
    if len(head) < 8:
        return None
    size, kind = int.from_bytes(head[:4], "big"), head[4:8]
    header = 8
    if size == 1:
        size, header = int.from_bytes(head[8:16], "big"), 16
    return None if 0 < size < header else (kind, header, size)


def _properties_of_primary(meta: bytes) -> list[int]:
    """Returns the numbers, from 1, of the properties of the primary item."""
    primary, associations = find(meta, b"pitm"), find(meta, b"iprp", b"ipma")
    if not primary or not associations:
        return []
    try:
        wanted = int.from_bytes(primary[4 : 6 if primary[0] == 0 else 8], "big")
        long_ids, long_indices = associations[0] >= 1, associations[3] & 1
        (count,) = struct.unpack_from(">I", associations, 4)
        at = 8
        for _ in range(min(count, _MAX_BOXES)):
            item = int.from_bytes(associations[at : at + (4 if long_ids else 2)], "big")
            at += 4 if long_ids else 2
            number, at = associations[at], at + 1
            step = 2 if long_indices else 1
            indices = [int.from_bytes(associations[i : i + step], "big") for i in range(at, at + number * step, step)]
            if item == wanted:
                return [index & (0x7FFF if long_indices else 0x7F) for index in indices]
            at += number * step
    except (struct.error, IndexError):
        pass
    return []

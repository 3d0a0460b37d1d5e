"""The actor, which holds one model and paints batches of rows. JAX is imported only when the actor starts.

A row has a photo in the column "bytes" or "path". Painting adds the columns of `PAINTED` and removes "bytes".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileSystem

from emojax.cli.job import reason, style_name
from emojax.cli.media import PHOTOS
from emojax.cli.report import reading
from emojax.emotions import EMOTIONS, PHOTO, style_weights
from emojax.errors import EmojaxError, InputError
from emojax.images import FORMATS, encode
from emojax.options import StylizeOptions
from emojax.util.files import PACKAGED_STYLES
from emojax.util.numbers import check_range
from emojax.weights.style_file import StyleFile

PAINTED = pa.schema(
    [
        ("painted", pa.large_binary()),  # the encoded picture; null for a photo that failed or was skipped
        ("suffix", pa.string()),  # its format, such as ".jpg"
        ("style", pa.string()),  # the style used, such as "happy" or "happy+surprise"
        ("reading", pa.string()),  # what was read, as JSON: the entries of `emojax stylize --json`
        ("error", pa.string()),  # why there is no picture, in one line
    ]
)
FETCHED_AT_ONCE = 8
"""number of files that an actor reads from a remote file system at the same time"""


@dataclass(frozen=True)
class ActorSettings:
    """The settings of an actor.

    Raises:
        InputError: a number out of range, an unknown style or format, or a missing checkpoint.
    """

    options: StylizeOptions
    styles: str | None = None
    """see `emojax.load`"""
    classifier: str | None = None
    style_files: tuple[StyleFile, ...] = ()
    suffix: str | None = None
    """the format of all pictures; None: that of the photo's path if emojax writes it, else .png"""
    filesystem: FileSystem | None = None
    """the file system of the paths; None: local, or the one that a path such as s3://bucket/photo.jpg names"""
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        check_range("cpus", self.cpus, above=0)
        check_range("gpus", self.gpus, least=0)
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise InputError(f"`gpus` {self.gpus}: a fraction of one, or whole ones", "gpus")
        if self.suffix is not None and self.suffix.lower() not in FORMATS:
            raise InputError(f"`suffix` {self.suffix!r}: choose from {' '.join(FORMATS)}", "suffix")
        if self.options.style_given is not None and self.styles is None:
            style_weights(self.options.style_given, (*EMOTIONS, PHOTO, *(style.name for style in self.style_files)))
        if self.styles is not None and self.styles not in PACKAGED_STYLES and not os.path.exists(self.styles):
            raise InputError(f"`styles` {self.styles}: no such checkpoint", "styles")
        if self.classifier is not None and not os.path.exists(self.classifier):
            raise InputError(f"`classifier` {self.classifier}: no such checkpoint", "classifier")


class BatchPainter:
    """A model that paints batches."""

    def __init__(self, settings: ActorSettings) -> None:
        """Loads the model.

        Raises:
            CheckpointError: see `emojax.load`.
            ResourceError: a GPU that JAX cannot use.
        """
        # Set these before JAX is imported. A process gets as many threads as its actor has cores, so that actors share none.
        os.environ["JAX_PLATFORMS"] = "cuda" if settings.gpus else "cpu"
        os.environ["PJRT_NPROC"] = str(max(1, round(settings.cpus)))
        if 0 < settings.gpus < 1:  # several actors share its memory
            os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        from emojax.pipeline import load
        from emojax.util.compiling import enable_cache

        enable_cache()  # the actors of a machine share compiled programs
        self._settings = settings
        self._options = {field.name: getattr(settings.options, field.name) for field in fields(StylizeOptions)}
        self._filesystems: dict[str, tuple[FileSystem, str]] = {}
        try:
            model = load(settings.styles, settings.classifier)
        except RuntimeError as error:
            if not settings.gpus or "backend" not in str(error):
                raise
            raise InputError(f"no GPU for JAX ({' '.join(str(error).split())[:100]}): leave out `gpus`") from None
        self._model = model.with_style_files(settings.style_files) if settings.style_files else model

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Returns the rows with the columns of `PAINTED`; raises InputError for rows without "bytes" and "path"."""
        column = next((name for name in ("bytes", "path") if name in batch.column_names), None)
        if column is None:
            raise InputError(f"rows have {', '.join(batch.column_names)}: they need a column 'bytes' or 'path'")
        found = batch[column].to_pylist()
        names = batch["path"].to_pylist() if "path" in batch.column_names else [None] * len(found)
        with ThreadPoolExecutor(FETCHED_AT_ONCE) as fetchers, ThreadPoolExecutor(1) as encoder:
            photos = list(fetchers.map(self._fetch, found))
            results = self._paint([photo for photo in photos if not isinstance(photo, EmojaxError)])
            rows = [
                encoder.submit(self._row, name, photo if isinstance(photo, EmojaxError) else next(results))
                for name, photo in zip(names, photos, strict=True)
            ]
        painted = pa.Table.from_pylist([row.result() for row in rows], PAINTED)
        kept = batch.drop_columns([name for name in batch.column_names if name in {"bytes", *PAINTED.names}])
        for name in PAINTED.names:
            kept = kept.append_column(PAINTED.field(name), painted[name])
        return kept

    def _fetch(self, photo: Any) -> Any:
        """The photo as `Model.stylize_many` takes it: bytes or a local path; an error if the file cannot be read."""
        if photo is None:
            return InputError("the row has no photo")
        if isinstance(photo, bytes) or (self._settings.filesystem is None and "://" not in photo):
            return photo
        try:
            filesystem, path = self._locate(photo)
            with filesystem.open_input_file(path) as file:
                return file.read()
        except (OSError, pa.ArrowException) as error:
            return InputError(f"cannot read {photo}: {reason(error)}")

    def _locate(self, path: str) -> tuple[FileSystem, str]:
        """The file system of a path, and the path in it. Opening a file system takes a request, so each is opened once."""
        if self._settings.filesystem is not None:
            return self._settings.filesystem, path
        scheme, _, rest = path.partition("://")
        bucket, _, key = rest.partition("/")
        start = f"{scheme}://{bucket}"
        if start not in self._filesystems:
            self._filesystems[start] = FileSystem.from_uri(f"{start}/" if scheme == "file" else start)
        filesystem, base = self._filesystems[start]
        return filesystem, f"{base.rstrip('/')}/{key}"

    def _paint(self, photos: Sequence[Any]) -> Iterator[Any]:
        """`Model.stylize_many`, but it continues with the next photo if there is not enough memory for one."""
        from emojax.pipeline import Result

        done = 0
        while done < len(photos):
            try:
                for result in self._model.stylize_many(photos[done:], **self._options):
                    done += 1
                    yield result
            except EmojaxError as error:  # an option that is wrong for the network, and so for every photo
                done += 1
                yield Result(None, [], None, None, error=str(error))
            except (MemoryError, OSError, RuntimeError) as error:
                done += 1
                yield Result(None, [], None, None, error=f"{type(error).__name__}: {reason(error)}"[:300])

    def _row(self, name: str | None, result: Any) -> dict[str, Any]:
        """The columns of `PAINTED` for the result of a photo."""
        if isinstance(result, EmojaxError):
            return {"error": str(result)}
        if result.error is not None:
            return {"error": result.error}
        row: dict[str, Any] = {}
        size = None if result.image is None else list(result.image.size)
        row["reading"] = json.dumps({"size": size, **reading(result)}, allow_nan=False)
        if result.image is not None:
            suffix = self._settings.suffix or written_suffix(name or "")
            try:
                row["painted"] = encode(result.image, FORMATS[suffix.lower()])
            except EmojaxError as error:
                return {"error": str(error)}
            row |= {"suffix": suffix, "style": style_name(result.style)}
        return row


def written_suffix(name: str) -> str:
    """The suffix of the picture of a photo, as `emojax stylize` chooses it: the photo's own, or .png."""
    suffix = PurePosixPath(name).suffix
    return suffix if suffix.lower() in PHOTOS.keeps else PHOTOS.default

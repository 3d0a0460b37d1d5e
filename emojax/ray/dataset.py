"""`stylize`: a Ray data set of photos becomes one of pictures and readings."""

from __future__ import annotations

from collections.abc import Sequence

from pyarrow.fs import FileSystem
from ray.data import ActorPoolStrategy, Dataset

from emojax.errors import InputError
from emojax.options import StylizeOptions
from emojax.ray.painter import ActorSettings, BatchPainter
from emojax.util.numbers import check_range
from emojax.weights.style_file import StyleFile

SHARE = 0.9
"""share of its cores that an actor requests from Ray; the rest is for reading and writing tasks, which would otherwise never
be scheduled"""
RETRIES = 3
"""how often a batch is retried after its actor died; with Ray's default (no limit), a photo that kills its actor would be
retried for ever"""


def stylize(
    dataset: Dataset,
    options: StylizeOptions | None = None,
    *,
    actors: int | tuple[int, int] = 1,
    cpus: float = 1.0,
    gpus: float = 0.0,
    batch_size: int = 16,
    styles: str | None = None,
    classifier: str | None = None,
    style_files: Sequence[StyleFile] = (),
    suffix: str | None = None,
    filesystem: FileSystem | None = None,
) -> Dataset:
    """Repaints the photos of a data set in actors that hold one model each. Nothing is done until the result is read.

    Every photo is padded to one of a few sizes for which programs are compiled (`emojax.pipeline.sizes.Buckets`); the actors
    of a machine share the compiled programs on disk. A photo that fails does not stop the others; its row has the reason. If
    an actor dies, another one paints its batch again.

    Args:
        dataset: rows with a photo each, encoded in the column "bytes", or a file in "path": a local one, s3://..., gs://...
        options: how photos are repainted.
        actors: how many, or the fewest and the most.
        cpus: cores of an actor.
        gpus: GPUs of an actor; a fraction for several actors on one.
        batch_size: rows that are painted together.
        styles, classifier: see `emojax.load`; paths that exist on every machine.
        style_files: further styles.
        suffix: the format of all pictures, such as ".jpg"; None: that of "path" if emojax writes it, else .png.
        filesystem: the file system of the paths, with its credentials; None: local, or the one that a path's URI names.

    Returns:
        The data set without "bytes" and with the columns of `emojax.ray.painter.PAINTED`: "painted", "suffix", "style",
        "reading" (JSON, the entries of `emojax stylize --json`) and "error".

    Raises:
        InputError: a number out of range, an unknown style or format, a missing checkpoint, or rows without a photo (if the
            columns are known).
    """
    options = StylizeOptions() if options is None else options
    fewest, most = (actors, actors) if isinstance(actors, int) else actors
    if not 1 <= fewest <= most:
        raise InputError(f"`actors` {actors}: at least 1, or the fewest and the most", "actors")
    check_range("batch_size", batch_size, least=1, whole=True)
    settings = ActorSettings(options, styles, classifier, tuple(style_files), suffix, filesystem, cpus, gpus)
    columns = dataset.columns(fetch_if_missing=False)
    if columns and not {"bytes", "path"} & set(columns):
        raise InputError(f"rows have {', '.join(columns)}: they need a column 'bytes' or 'path'")
    return dataset.map_batches(
        BatchPainter,
        fn_constructor_args=(settings,),
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=ActorPoolStrategy(min_size=fewest, max_size=most),
        num_cpus=SHARE * cpus,
        num_gpus=gpus,
        udf_modifying_row_count=False,
        max_task_retries=RETRIES,
    )

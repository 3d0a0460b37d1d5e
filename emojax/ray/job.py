"""Paints a folder with `stylize`, and records the result of every photo."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayError

from emojax.errors import InputError, ResourceError
from emojax.options import StylizeOptions
from emojax.ray.dataset import stylize
from emojax.ray.folder import Record, open_folder, plan, write_pictures
from emojax.util.words import tell

BLOCK = 256
"""largest number of photos that an actor takes at once; they are painted again if it dies"""
WRITING = 0.1
"""cores of a task that writes pictures"""


@dataclass(frozen=True)
class Actors:
    """How many actors paint, and what each of them has.

    Raises:
        InputError: fewer than one.
    """

    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"`actors` {self.count}: at least 1", "actors")


def paint_folder(
    photos: str, output: str, options: StylizeOptions, actors: Actors, made: Mapping[str, Any], **networks: Any
) -> int:
    """Paints the photos that earlier runs have not painted; see `emojax.ray.folder`.

    Args:
        photos, output: folders, local or URIs.
        made: how the pictures are made, as JSON types; a later run with other values is refused.
        networks: `styles`, `classifier` and `style_files` of `stylize`.

    Returns:
        0, or 1 if some photos failed.

    Raises:
        InputError: see `plan` and `stylize`.
        ResourceError: Ray cannot start, or stopped.
    """
    source, target = open_folder(photos), open_folder(output)
    planned = plan(source, target, made)
    if planned.done:
        tell(f"emojax: {planned.done} photos are done already")
    with Record(target) as record:
        for name, problem in planned.problems.items():
            record.add(json.dumps({"input": name, "output": None, "error": problem}))
            tell(f"emojax: error: {problem}")
        failed = len(planned.problems)
        if planned.photos:
            rows = _in_blocks([source.file(name) for name in planned.photos], actors.count)
            filesystem = None if source.is_local else source.filesystem
            resources: dict[str, Any] = {"actors": actors.count, "cpus": actors.cpus, "gpus": actors.gpus}
            painted = stylize(rows, options, filesystem=filesystem, **resources, **networks)
            where = {"photos": source, "output": target}
            write: Any = write_pictures  # Ray's type does not allow further arguments
            lines = painted.map_batches(write, batch_format="pyarrow", fn_kwargs=where, num_cpus=WRITING)
            failed += _collect(lines, planned.photos, record)
    count = len(planned.photos) + len(planned.problems)
    tell(f"emojax: {count - failed} photos are done, {failed} failed")
    return int(failed > 0)


def _in_blocks(paths: Sequence[str], actors: int) -> ray.data.Dataset:
    """Paths in blocks, if possible at least four per actor, so that all actors finish at about the same time."""
    try:
        ray.init(ignore_reinit_error=True, log_to_driver=False)
    except (
        Exception
    ) as error:  # Ray has no error class for an address that does not answer, or for a start that takes too long
        raise ResourceError(f"cannot start Ray: {' '.join(str(error).split())[:200]}") from None
    # A block that keeps failing is left out and counted at the end, so that the others do not wait for it.
    ray.data.DataContext.get_current().max_errored_blocks = -1
    size = min(BLOCK, math.ceil(len(paths) / (4 * actors)))
    return ray.data.from_arrow(
        [pa.table({"path": list(paths[start : start + size])}) for start in range(0, len(paths), size)]
    )


def _collect(lines: ray.data.Dataset, names: Sequence[str], record: Record) -> int:
    """Records the lines as they come; returns how many photos failed."""
    failed, missing = 0, set(names)
    try:
        for row in lines.iter_rows():
            line = json.loads(row["line"])
            record.add(row["line"])
            missing.discard(line["input"])
            if "error" in line:
                failed += 1
                tell(f"emojax: error: {line['input']}: {line['error']}")
    except RayError as error:
        raise ResourceError(f"Ray stopped: {' '.join(str(error).split())[-300:]}") from None
    if missing:
        example = min(missing)
        tell(f"emojax: error: {len(missing)} photos are lost, such as {example}: run this again")
    return failed + len(missing)

"""Thousands of hostile photos and command lines through `emojax stylize`: `python -m tests.fuzz.run --count 10000`.

A stand-in inverts the photos, so that what surrounds the networks is tried quickly: parsing, planning, reading, mending,
colours, metadata, writing. `--model packaged` paints with the networks of the package instead.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from PIL import Image

from emojax.cli import stylize as program
from emojax.util.files import TEMPORARY
from tests import fakes
from tests.fuzz.corpus import corpus
from tests.fuzz.hostile import flags, mutate, name_for

EXIT_CODES = {0, 1, 2, 130}
SECONDS, BYTES = 20, 2 << 30
"""of the processor's time for a case; of memory"""
PATIENCE = 300
"""seconds of waiting for anything but the processor, which may be busy with other programs"""


class Hang(BaseException):
    """A case that took too long; no `except Exception` swallows it."""


def cases(seed: int):
    """Yields (seed, files by name, argv) for ever; a seed gives the same case again."""
    sound = corpus()
    while True:
        rng = random.Random(seed)
        count = rng.choice((1, 1, 1, 1, 2, 4))
        files = {}
        for name in rng.sample(sorted(sound), count):
            files[name_for(rng, name)] = mutate(rng, sound[name], list(sound.values()))
        argv = flags(rng, Path("in"))
        inputs = [f"in/{name}" for name in files] if rng.random() < 0.7 else ["in"]
        inputs = inputs if rng.random() < 0.97 else [*inputs, "-"]
        yield seed, files, rng.choice(([*argv, "--", *inputs], [*inputs, *argv], ["--input", *inputs, *argv]))
        seed += 1


def attempt(files: dict[str, bytes], argv: list[str]) -> tuple[str, list[str]]:
    """Runs one case in an empty folder; returns how it ended, and what is wrong with that."""
    faults, here = [], os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for file, data in files.items():
            (folder / "in" / file).write_bytes(data)
        taken = fakes.write_photo(folder / "taken.png").read_bytes()
        out, errors = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
        os.chdir(folder)
        try:
            code = _call(argv, out, errors)
        except Hang:
            return "hang", [f"longer than {SECONDS} s"]
        except BaseException:
            return "exception", [traceback.format_exc()]
        finally:
            os.chdir(here)
        out.flush()
        errors.flush()
        lines = errors.buffer.getvalue().decode("utf-8").splitlines()
        faults += [f"exit code {code}"] if code not in EXIT_CODES else []
        faults += [f"stderr: {line[:300]!r}" for line in lines if not line.startswith("emojax: ")]
        problems = [line for line in lines if line.startswith("emojax: error: ")]
        faults += [f"{len(problems)} errors for {len(files)} files"] if len(problems) > len(files) + 1 else []
        faults += ["a failure without a word"] if code in (1, 2) and not problems else []
        faults += ["an error, and exit code 0"] if code == 0 and problems else []
        faults += _left(folder, files, taken, "--force" in argv)
        if "--json" in argv and code in (0, 1):
            faults += _json_faults(out.buffer.getvalue().decode())
    return f"exit {code}", faults


def _call(argv, out, errors):
    def ring(*_):
        raise Hang

    before = signal.signal(signal.SIGALRM, ring), signal.signal(signal.SIGPROF, ring)
    signal.alarm(PATIENCE)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    stdin = io.TextIOWrapper(io.BytesIO(b"no photo"))
    try:
        with _stderr_of_libraries(errors), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            sys.stdin, stdin = stdin, sys.stdin
            try:
                return program.main(argv)
            finally:
                sys.stdin = stdin
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGPROF, before[1])


@contextlib.contextmanager
def _stderr_of_libraries(errors):
    """Adds what C libraries print to what Python prints."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            errors.write(file.read().decode("utf-8", "replace"))


def _left(folder, files, taken, force):
    """What is wrong with the files after a case: inputs are as before, and outputs are whole."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(TEMPORARY) for part in name.parts):
            yield f"{name} is left"
        elif path.is_dir():
            continue
        elif name.parent == Path("in") and name.name in files:
            if path.read_bytes() != files[name.name]:
                yield f"the input {name} was changed"
        elif str(name) == "taken.png" and not force:
            if path.read_bytes() != taken:
                yield "taken.png was replaced"
        else:
            try:
                with Image.open(path) as image:
                    image.load()
            except Exception as error:
                yield f"the output {name} cannot be read: {error}"


def _json_faults(text):
    for line in text.splitlines():
        try:
            json.loads(line)
        except ValueError:
            yield f"no JSON: {line[:200]!r}"


def run(count: int, seed: int = 0, keep_going: bool = True) -> tuple[Counter, dict[int, list[str]]]:
    """Runs so many cases; returns how they ended, and the faults by the case's seed."""
    ends, faults = Counter(), {}
    for number, files, argv in cases(seed):
        if number >= seed + count:
            return ends, faults
        end, wrong = attempt(files, argv)
        ends[end] += 1
        if wrong:
            faults[number] = [f"argv {argv!r:.500}", *wrong]
            if not keep_going:
                return ends, faults


def fake_model(options, style_files, style, jobs):
    """Stands in for `program._load`."""
    return lambda photo, *_: fakes.result(photo, style or "happy", faces=0 if style else 1), []


def main() -> int:
    """The command; returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", choices=("stand-in", "packaged"), default="stand-in")
    args = parser.parse_args()
    if args.model == "stand-in":
        program._load = fake_model
    start, ends, faults = time.monotonic(), Counter(), {}
    slowest = 0.0
    for first in range(args.seed, args.seed + args.count, 100):
        begun = time.monotonic()
        some, wrong = run(min(100, args.seed + args.count - first), first)
        slowest = max(slowest, time.monotonic() - begun)
        ends += some
        faults |= wrong
        for number, lines in wrong.items():
            print(f"case {number}:", *lines, sep="\n  ")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    told = ", ".join(f"{end}: {number}" for end, number in sorted(ends.items()))
    print(
        f"{args.count} cases from seed {args.seed}: {told}; {len(faults)} faults; at most {memory / 1e6:.0f} MB; "
        f"{time.monotonic() - start:.0f} s, the slowest hundred {slowest:.1f} s"
    )
    return int(bool(faults) or memory > BYTES)


if __name__ == "__main__":
    sys.exit(main())

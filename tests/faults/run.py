"""Kills, full disks, two processes at once and a clock that jumps: `python -m tests.faults.run --times 100`.

Each trial is a forked process, so that nothing is imported anew; JAX starts in the children only.
"""

import argparse
import functools
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from emojax.cli import stylize as program
from emojax.util import commandline as commands
from emojax.util.files import TEMPORARY
from emojax.util.program_cache import ProgramCache
from emojax.weights import store
from tests.fuzz.run import fake_model
from tests.train import toy

PHOTOS, STEPS = 8, 30
LOOP = toy.LoopConfig(log_every=1, evaluate_every=0, save_every=3)


def start(work, log: Path) -> int:
    """Runs a function in a child; its return value is the exit code, its output goes to `log`. Returns the process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(number, 1)
        os.dup2(number, 2)
        code = work() or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(pid: int) -> int:
    """Waits for a child; returns its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def duration(work, log: Path) -> float:
    """Seconds that a child takes."""
    begun = time.monotonic()
    code = finish(start(work, log))
    assert code == 0, (code, log.read_text())
    return time.monotonic() - begun


def killed_after(work, log: Path, seconds: float) -> bool:
    """Starts a child and kills it after so long; returns whether it was still at work."""
    pid = start(work, log)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return finish(pid) == -signal.SIGKILL


# --- a folder of photos


def make_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for index in range(PHOTOS):
        Image.fromarray(rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)).save(folder / f"{index}.png")


def paint(photos: Path, output: Path, *flags: str) -> int:
    program._load = fake_model
    return program.main([str(photos), "--output", str(output), *flags])


def pictures(output: Path) -> dict[str, bytes]:
    """The outputs, all of which can be read; raises if one cannot."""
    found = {}
    for path in sorted(output.glob("*")):
        if path.name.startswith(TEMPORARY):
            continue
        with Image.open(path) as image:
            image.load()
        found[path.name] = path.read_bytes()
    return found


def kill_folder_runs(root: Path, times: int, rng: random.Random) -> Counter:
    """Kills folder runs, each of which goes on with what the one before has left."""
    make_photos(root / "in")
    before = pictures(root / "in")
    whole = duration(lambda: paint(root / "in", root / "whole"), root / "log")
    expected, counts = pictures(root / "whole"), Counter()
    output = root / "out0"
    while counts["kills"] < times:
        work = lambda output=output: paint(root / "in", output, "--skip-existing")  # noqa: E731
        if killed_after(work, root / "log", rng.uniform(0, whole)):
            counts["kills"] += 1
        found = pictures(output) if output.exists() else {}
        assert all(expected[name] == data for name, data in found.items())
        assert pictures(root / "in") == before
        if len(found) == PHOTOS:
            counts["finished runs"] += 1
            output = root / f"out{counts['finished runs']}"
    assert finish(start(lambda: paint(root / "in", output, "--skip-existing"), root / "log")) == 0
    assert pictures(output) == expected
    return counts


def fill_disk_of_folder_runs(root: Path, times: int, rng: random.Random) -> Counter:
    """No file may be longer than a limit: photos that do not fit fail alone, and nothing is half-written."""
    make_photos(root / "in")
    assert finish(start(lambda: paint(root / "in", root / "whole"), root / "log")) == 0
    expected, counts = pictures(root / "whole"), Counter()
    sizes = sorted(map(len, expected.values()))
    for number in range(times):
        limit, output = rng.randint(sizes[0] - 200, sizes[-1] + 200), root / f"out{number}"

        def limited(limit=limit, output=output):
            _limit_files(limit)
            return paint(root / "in", output)

        code = finish(start(limited, root / "log"))
        found, lines = pictures(output), (root / "log").read_text().splitlines()
        fit = {name for name, data in expected.items() if len(data) <= limit}
        assert set(found) == fit and all(expected[name] == data for name, data in found.items())
        failed = [line for line in lines if line.startswith("emojax: error: ")]
        assert code == (1 if failed else 0) and len(failed) == PHOTOS - len(fit), lines
        assert not list(output.glob(f"{TEMPORARY}*"))
        counts["full disks"] += 1
        counts["photos that failed alone"] += len(failed)
    return counts


def _limit_files(limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def two_at_once(root: Path, times: int, rng: random.Random) -> Counter:
    """Two processes paint the same photos to the same folder, and use the same cache of programs."""
    make_photos(root / "in")
    assert finish(start(lambda: paint(root / "in", root / "whole"), root / "log")) == 0
    expected, counts = pictures(root / "whole"), Counter()
    for number in range(times):
        output, seed = root / f"out{number}", rng.random()

        def work(output=output, seed=seed):
            cache, own = ProgramCache(root / "cache", largest=20_000), random.Random(seed)
            for _ in range(50):
                key = str(own.randrange(20))
                cache.put(key, key.encode() * 1500)
                if cache.get(key) not in (None, key.encode() * 1500):
                    return 98
            return paint(root / "in", output, "--force")

        (root / "cache").mkdir(exist_ok=True)
        children = [start(work, root / f"log{index}") for index in range(2)]
        codes = [finish(child) for child in children]
        assert codes == [0, 0], [(root / f"log{index}").read_text() for index in range(2)]
        assert pictures(output) == expected
        counts["pairs"] += 1
    return counts


# --- a training run


def train(folder: Path) -> int:
    def work() -> int:
        state = toy.train(folder, STEPS, loop=LOOP)
        np.save(folder / "params.npy", state.params["w"])
        return 0

    return commands.run(work)


def outcome(folder: Path):
    """The losses of a finished run, its steps and its parameters, to the last bit."""
    checkpoint = store.read_checkpoint(store.checkpoints_in(folder)[-1], "styles")
    return toy.rows(folder), checkpoint.step, np.load(folder / "params.npy").tobytes()


@functools.cache
def reference(folder: Path) -> float:
    """Trains a run that nothing disturbs, once for all faults; returns the seconds that it takes."""
    seconds = duration(lambda: train(folder), folder.with_suffix(".log"))
    assert outcome(folder)[1] == STEPS
    return seconds


def kill_training_runs(root: Path, times: int, rng: random.Random) -> Counter:
    """Kills training runs, each of which resumes where the one before was; all end with the same losses and parameters."""
    undisturbed, counts = root.parent / "undisturbed", Counter()
    whole = reference(undisturbed)
    run = root / "run0"
    while True:
        last = counts["kills"] >= times
        if last:
            code = finish(start(lambda run=run: train(run), root / "log"))
            assert code == 0, (root / "log").read_text()
        elif killed_after(lambda run=run: train(run), root / "log", rng.uniform(0.2, 1) * whole):
            counts["kills"] += 1
            steps = [store.read_checkpoint(path, "styles").step for path in store.checkpoints_in(run)]
            counts["kills before the first checkpoint"] += not steps
            continue
        text = (root / "log").read_text()
        assert "Traceback" not in text, text
        assert outcome(run) == outcome(undisturbed)
        assert not list(run.glob(".step_*"))
        counts["finished runs"] += 1
        if last:
            return counts
        run = root / f"run{counts['finished runs']}"


def fill_disk_of_training_runs(root: Path, times: int, rng: random.Random) -> Counter:
    """No file may be longer than a limit: the run ends with one line, and resumes when there is room again."""
    undisturbed, counts, run = root.parent / "undisturbed", Counter(), root / "run"
    reference(undisturbed)
    for _ in range(times):
        limit = int(10 ** rng.uniform(1.5, 4))

        def limited(limit=limit):
            _limit_files(limit)
            return train(run)

        code = finish(start(limited, root / "log"))
        text = (root / "log").read_text()
        assert code in (0, 2) and "Traceback" not in text, (code, text)
        lines = [line for line in text.splitlines() if line.startswith("emojax: error: ")]
        no_room = len(text.encode()) >= limit  # the log is as long as a file may be
        assert code == 0 or len(lines) == 1 or no_room, text
        counts["full disks"] += code == 2
        counts["runs that had room"] += code == 0
        for path in store.checkpoints_in(run)[-1:]:  # the best one before it has lost its training state
            store.load_position(store.read_checkpoint(path, "styles"))
    assert finish(start(lambda: train(run), root / "log")) == 0
    assert outcome(run) == outcome(undisturbed)
    return counts


def jump_the_clock(root: Path, times: int, rng: random.Random) -> Counter:
    """The clock of the system jumps by hours, backwards and forwards, while a run trains."""
    undisturbed = root.parent / "undisturbed"
    reference(undisturbed)
    for number in range(times):
        own = random.Random(rng.random())

        def work(own=own, number=number):
            now = time.time
            time.time = lambda: now() + own.uniform(-1e6, 1e6)
            return train(root / f"run{number}")

        assert finish(start(work, root / "log")) == 0, (root / "log").read_text()
        assert outcome(root / f"run{number}") == outcome(undisturbed)
    return Counter({"runs": times})


FAULTS = {
    "kill -9 in a folder run": kill_folder_runs,
    "kill -9 in a training run": kill_training_runs,
    "a disk that fills, folder": fill_disk_of_folder_runs,
    "a disk that fills, training": fill_disk_of_training_runs,
    "two processes at once": two_at_once,
    "a clock that jumps": jump_the_clock,
}
FOLDERS = {kill_folder_runs, fill_disk_of_folder_runs, two_at_once}
SHARE = {fill_disk_of_folder_runs: 0.3, fill_disk_of_training_runs: 0.3, two_at_once: 0.3, jump_the_clock: 0.05}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="kills of each kind; full disks are 0.3 times as many")
    parser.add_argument("--trainings", type=int, help="the same for training runs, which take longer; as --times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only faults with this in their name")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, fault) in enumerate(FAULTS.items()):
            if args.only not in name:
                continue
            begun, root = time.monotonic(), Path(folder) / str(index)
            root.mkdir()
            asked = args.times if fault in FOLDERS or args.trainings is None else args.trainings
            counts = fault(root, max(1, round(asked * SHARE.get(fault, 1))), random.Random(args.seed))
            told = ", ".join(f"{count} {what}" for what, count in counts.items())
            print(f"{name}: {told}; nothing lost or damaged ({time.monotonic() - begun:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One step on one device, sharded over two, by pmap, and on two hosts: always the same training.

styles/test_style_training.py and faces/test_face_training.py prove it for the real steps; here is the machinery.
"""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from emojax.errors import EmojaxError
from emojax.nets.classifier_config import ClassifierConfig
from emojax.train.parallel import Parallel, check_batch_size, initialize_hosts, mean_over
from emojax.train.state import TrainState
from emojax.weights.store import save_checkpoint

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = [sys.executable, "-m", "emojax"]
OPTIMIZER = optax.adam(0.1)


def step(state, constants, batch, axis_name):
    def loss_of(params):
        return jnp.square(batch["x"] @ params["w"] - batch["y"]).mean()

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    loss, gradients = mean_over(axis_name, (loss, gradients))
    updates, opt_state = OPTIMIZER.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state), {"loss": loss}


def run(parallel):
    rng = np.random.default_rng(0)
    state = parallel.place_state(TrainState.create({"w": np.ones(3, np.float32)}, OPTIMIZER, 0))
    compiled, losses = parallel.compile(step), []
    for _ in range(5):
        batch = {"x": rng.normal(size=(8, 3)).astype(np.float32), "y": rng.normal(size=8).astype(np.float32)}
        state, metrics = compiled(state, None, parallel.place_batch(batch))
        losses.append(parallel.fetch_metrics(metrics)["loss"])
    return losses, parallel.fetch_state(state)


def test_one_device_two_devices_and_pmap_agree():
    assert jax.device_count() == 2
    expected_losses, expected = run(Parallel("jit", jax.devices()[:1]))
    for parallel in (Parallel("jit"), Parallel("pmap")):
        losses, state = run(parallel)
        np.testing.assert_allclose(losses, expected_losses, rtol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state, expected)


def test_the_batch_is_really_spread():
    placed = Parallel("jit").place_batch({"x": np.zeros((8, 3), np.float32)})
    assert {shard.data.shape for shard in placed["x"].addressable_shards} == {(4, 3)}
    assert Parallel("pmap").place_batch({"x": np.zeros((8, 3))})["x"].shape == (2, 4, 3)


def test_uneven_batches_are_refused():
    check_batch_size(4)
    with pytest.raises(EmojaxError, match="batch size 5 on 2 devices"):
        check_batch_size(5)
    check_batch_size(8, group=2)
    with pytest.raises(EmojaxError, match="batch size 6 on 2 devices: choose a multiple of 4"):
        check_batch_size(6, group=2)


def test_hosts_need_a_number_and_an_index(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    initialize_hosts()  # one host: nothing to do
    with pytest.raises(EmojaxError, match="`hosts` and `host`"):
        initialize_hosts("localhost:1")
    with pytest.raises(EmojaxError, match="`host` 1 without `coordinator`"):
        initialize_hosts(None, 2, 1)
    with pytest.raises(EmojaxError, match="`host` 2 of `hosts` 2"):
        initialize_hosts("localhost:1", 2, 2)
    with pytest.raises(EmojaxError, match="cannot join the hosts at 'nonsense'"):
        initialize_hosts("nonsense", 2, 0)
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(EmojaxError, match="JAX_NUM_PROCESSES='two'"):
        initialize_hosts("localhost:1")


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def losses_of(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if row["split"] == "train"]


@pytest.fixture(scope="module")
def tiny_run(tiny_face_data, tmp_path_factory):
    """The words of an `emojax train` without its output, and the losses of one process.

    Of the classifier, which has most that could differ: augmentation, batch norm and dropout.
    """
    root, model = tmp_path_factory.mktemp("run"), ClassifierConfig(widths=(4,), dense=8, size=16)
    save_checkpoint(root / "start", "classifier", model, tiny.classifier_variables(model))
    flags = ["--batch_size", "4", "--model.widths", "4", "--initial", str(root / "start")]
    words = ["classifier", "tiny", *tiny_face_data, *flags]
    finish(start([*PYTHON, "train", *words, "--output", str(root / "one")]))
    return words, losses_of(root / "one")


def start(command, **environment):
    kept = ("PATH", "PYTHONPATH", "EMOJAX_CACHE", "JAX_PLATFORMS", "JAX_DISABLE_MOST_OPTIMIZATIONS")
    flags = [
        flag for flag in os.environ["XLA_FLAGS"].split() if "device_count" not in flag
    ]  # one device in each process
    given = {name: os.environ[name] for name in kept if name in os.environ}
    environment = {**given, "XLA_FLAGS": " ".join(flags), **environment}
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(*processes):
    for process in processes:
        _, messages = process.communicate(timeout=600)
        assert process.returncode == 0, messages


@pytest.mark.slow
def test_two_processes_train_to_the_loss_of_one(tiny_run, tmp_path):
    words, expected = tiny_run
    hosts = ["--output", str(tmp_path), "--coordinator", f"127.0.0.1:{free_port()}", "--hosts", "2", "--host"]
    finish(*(start([*PYTHON, "train", *words, *hosts, str(index)]) for index in range(2)))
    assert len(expected) == 4
    np.testing.assert_allclose(losses_of(tmp_path), expected, rtol=1e-4)


SRUN = """#!/usr/bin/env bash
# What Slurm's own does, for two hosts that are this machine.
[ "$1" = --kill-on-bad-exit ] && shift
for number in 0 1; do SLURM_PROCID=$number "$@" & processes+=($!); done
for process in "${processes[@]}"; do wait "$process" || exit 1; done
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_recipe_for_slurm_trains_on_two_processes(tiny_run, tmp_path):
    words, expected = tiny_run
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {
        "srun": SRUN,
        "scontrol": '#!/usr/bin/env bash\n[ "$*" = "show hostnames local[1-2]" ] && printf "127.0.0.1\\n127.0.0.2\\n"\n',
        "python": f'#!/usr/bin/env bash\nexec {sys.executable} "$@"\n',
    }.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "local[1-2]", "SLURM_NTASKS": "2", "EMOJAX_PORT": str(free_port())}
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "configs/train.slurm", *words, "--output", str(tmp_path / "run")]
    finish(start(command, PATH=path, **slurm))
    np.testing.assert_allclose(losses_of(tmp_path / "run"), expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_recipe_for_kubernetes_trains_in_two_pods(tiny_run, tmp_path):
    """Its container's command with its environment, but for the address, and with words of a tiny run."""
    yaml = pytest.importorskip("yaml")
    words, expected = tiny_run
    spec = yaml.safe_load((ROOT / "configs" / "train_jobset.yaml").read_text())["spec"]
    (job,) = spec["replicatedJobs"]
    pods = job["template"]["spec"]
    (container,) = pods["template"]["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment["JAX_NUM_PROCESSES"] == str(pods["completions"]) == str(pods["parallelism"]) == "2"
    assert environment["JAX_COORDINATOR_ADDRESS"].startswith(f"emojax-{job['name']}-0-0.emojax:")
    environment["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{free_port()}"
    (script,) = container["args"]
    begin, _ = script.split(" styles ")
    script = f"{begin} {shlex.join([*words, '--output', str(tmp_path)])}".replace("python", sys.executable)
    pods = [
        start([*container["command"], script], JOB_COMPLETION_INDEX=str(index), **environment) for index in range(2)
    ]
    finish(*pods)
    np.testing.assert_allclose(losses_of(tmp_path), expected, rtol=1e-4)

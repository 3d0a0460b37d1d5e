"""Data parallelism: one step, run on one device, on a mesh (`jit`) or by `pmap`, on one host or on several.

A step is a pure function `step(state, constants, batch, axis_name) -> (state, metrics)`. State and constants are replicated.
Under `jit` the batch is sharded over the mesh, and means are automatically global (axis_name is None). Under `pmap` the step
takes means over `axis_name`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeVar

import flax.jax_utils
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from emojax.errors import InputError, ResourceError
from emojax.util.compiling import compiler_options, start_backend

Mode = Literal["jit", "pmap"]
AXIS = "data"
State = TypeVar("State")
Step = Callable[..., tuple[Any, Any]]


def initialize_hosts(coordinator: str | None = None, hosts: int | None = None, host: int | None = None) -> None:
    """Joins the other hosts through `jax.distributed`, if arguments or environment variables name them.

    Call it before anything else touches a device. `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`
    are used for arguments that are None. Without arguments and variables, nothing happens.

    Raises:
        InputError: a coordinator without the number of hosts or this host's index.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    if coordinator is None:
        if hosts is not None or host is not None:
            raise InputError(
                f"`hosts` {hosts} and `host` {host} without `coordinator`: give the address:port of the first host"
            )
        return
    hosts = hosts if hosts is not None else _environment_int("JAX_NUM_PROCESSES")
    host = host if host is not None else _environment_int("JAX_PROCESS_ID")
    if hosts is None or host is None:
        raise InputError(
            f"coordinator {coordinator!r} without `hosts` and `host`: give their number and this one's index"
        )
    if not 0 <= host < hosts:
        raise InputError(f"`host` {host} of `hosts` {hosts}: hosts are counted from 0")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(coordinator, hosts, host)
    except Exception as error:  # jax raises no common error for a malformed address
        raise ResourceError(
            f"cannot join the hosts at {coordinator!r} ({error}): give `coordinator` as address:port"
        ) from None


def _environment_int(name: str) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise InputError(f"{name}={text!r}: it has to be a whole number")
    return int(text)


def check_batch_size(batch_size: int, group: int = 1) -> None:
    """Raises InputError unless the devices can share a batch evenly, in groups of `group` examples that stay together."""
    if batch_size % (group * jax.device_count()):
        raise InputError(
            f"batch size {batch_size} on {jax.device_count()} devices: choose a multiple of {group * jax.device_count()}"
        )


class Parallel:
    """Runs a step over all devices: places states and batches on them, and compiles the step."""

    def __init__(self, mode: Mode = "jit", devices: list[jax.Device] | None = None) -> None:
        self.mode = mode
        self.devices = devices or start_backend()
        mesh = Mesh(np.array(self.devices), (AXIS,), axis_types=(AxisType.Auto,))
        self._sharded = NamedSharding(mesh, PartitionSpec(AXIS))
        self._replicated = NamedSharding(mesh, PartitionSpec())

    def place_state(self, state: State) -> State:
        """A copy of a state, or of constants, on every device."""
        if self.mode == "pmap":
            return flax.jax_utils.replicate(state, self.devices)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._replicated, np.asarray(x)), state)

    def fetch_state(self, state: State) -> State:
        """One copy of a placed state, as NumPy arrays."""
        if self.mode == "pmap":
            return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], state)
        return jax.tree.map(lambda x: np.asarray(x.addressable_data(0)), state)

    def on_one_device(self, placed: State) -> State:
        """A placed state for a computation on one device; under `jit`, the copy on this host's first device."""
        if self.mode == "pmap":
            return self.fetch_state(placed)
        return jax.tree.map(lambda x: x.addressable_data(0), placed)

    def place_batch(self, batch: Any) -> Any:
        """This host's part of a batch (leaves [N, ...]), sharded over its devices."""
        if self.mode == "pmap":
            local = [d for d in self.devices if d.process_index == jax.process_index()]
            return jax.tree.map(lambda x: x.reshape(len(local), -1, *x.shape[1:]), batch)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self._sharded, x), batch)

    def compile(self, step: Step) -> Step:
        """`step(state, constants, batch)` over all devices; the state is donated, metrics are those of the whole batch."""
        if self.mode == "pmap":
            mapped = jax.pmap(partial(step, axis_name=AXIS), AXIS, devices=self.devices, donate_argnums=0)
            return mapped
        platform = self.devices[0].platform
        options = compiler_options(platform)
        step = partial(step, axis_name=None)
        return jax.jit(
            step, donate_argnums=0, compiler_options=options, out_shardings=(self._replicated, self._replicated)
        )

    def examples(self, batch: Any) -> int:
        """The number of examples in a batch of `place_batch`, over all hosts."""
        shape = jax.tree.leaves(batch)[0].shape
        return shape[0] * shape[1] * jax.process_count() if self.mode == "pmap" else shape[0]

    def count_flops(self, compiled: Step, *arguments: Any) -> float:
        """Floating-point operations of a compiled step over all devices, as XLA counts them before it optimizes; 0: unknown."""
        lowered: Any = getattr(compiled, "lower")(*arguments)  # noqa: B009 (a Step has no such attribute to mypy)
        flops = (lowered.cost_analysis() or {}).get("flops", 0.0)
        return flops * len(self.devices) if self.mode == "pmap" else flops

    def fetch_metrics(self, metrics: Any) -> dict[str, float]:
        """Metrics as Python floats; this waits for the device."""
        return {name: float(np.asarray(x.addressable_data(0)).reshape(-1)[0]) for name, x in metrics.items()}


def max_over_hosts(value: int) -> int:
    """The largest of the hosts' values. All hosts have to call it at the same step; they wait for each other."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.array(value)).max())


def mean_over(axis_name: str | None, tree: Any) -> Any:
    """The mean over the devices of a `pmap`. Under `jit` means are global already, and the tree is returned unchanged."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

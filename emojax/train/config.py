"""What the configs of both trainings have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from emojax.train.hooks import LoopConfig
from emojax.train.optimizer import OptimizerConfig
from emojax.train.parallel import Mode
from emojax.train.progress import Length
from emojax.util.numbers import check_range


@dataclass(frozen=True)
class TrainingConfig:
    """A training run: its folder, length, precision, seed and machines."""

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        *("output", "steps", "epochs", "loop"),
        *("parallel", "coordinator", "hosts", "host"),
    )
    """fields that may differ when a run is resumed"""

    output: str = ""
    """the run's folder; empty: runs/PRESET"""
    batch_size: int = 4
    """photos or faces per step, over all devices"""
    epochs: float = 5.0
    """passes over the data; ignored if steps is given"""
    steps: int | None = None
    """total number of steps; none: as many as the epochs take"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """precision of the network; parameters, norm statistics and losses are float32"""
    seed: int = 0
    """seed of the initialization, of the order of the data, and of all that is random in a step"""
    parallel: Mode = "jit"
    """how devices share a batch: jit (sharded arrays) or pmap"""
    coordinator: str | None = None
    """with several hosts: address:port of the first host"""
    hosts: int | None = None
    """with several hosts: their number"""
    host: int | None = None
    """with several hosts: the index of this host, from 0"""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        check_range("batch_size", self.batch_size, least=1, whole=True)
        check_range("epochs", self.epochs, above=0)
        if self.steps is not None:
            check_range("steps", self.steps, least=1, whole=True)

    def length(self) -> Length:
        """How long to train."""
        return Length(steps=self.steps, epochs=None if self.steps else self.epochs)

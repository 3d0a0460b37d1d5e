"""The config of a training run of the classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from emojax.emotions import EMOTIONS
from emojax.errors import InputError
from emojax.nets.classifier_config import ClassifierConfig
from emojax.nets.mobilefacenet import BLOCKS
from emojax.train.config import TrainingConfig
from emojax.train.faces.augment import AugmentConfig
from emojax.train.faces.sources import FaceConfig
from emojax.util.numbers import check_range


@dataclass(frozen=True)
class ClassifierTraining(TrainingConfig):
    """A training run of the classifier."""

    MAY_CHANGE: ClassVar = (*TrainingConfig.MAY_CHANGE, "initial", "vgg16", "features")

    batch_size: int = 128
    epochs: float = 50.0
    """passes over the data, each of as many draws as there are training faces; ignored if steps is given"""
    mixup: float = 0.0
    """alpha of mixup: pairs of faces are mixed with a weight from Beta(alpha, alpha); 0: no mixup"""
    ema_decay: float = 0.0
    """decay of the exponential moving average of the weights, which is then evaluated and released; 0: no average"""
    initial: str = ""
    """a classifier's checkpoint to start from, or MobileFaceNet's .safetensors for that architecture; empty: VGG16 for the
    architecture vgg16, else at random"""
    vgg16: str | None = None
    """weights file for the architecture vgg16, or the word random; none: $EMOJAX_VGG16, then the packaged ones"""
    frozen: tuple[str, ...] = ()
    """layers that are not trained, such as conv1_1"""
    begin: int = 0
    """mobilefacenet: the first block that is trained; the outputs of the blocks before it are computed once for each face (and
    for its mirror image, if augment.flip is on and the source has few faces), so there is no other augmentation"""
    readout: float = 0.0
    """mobilefacenet: weight of the squared norm of the last layer's kernel; above 0, only the last layer is fitted, to its
    optimum"""
    features: str = ""
    """with begin, the folder of the computed features; empty: features/ in the run's folder"""
    class_weights: tuple[float, ...] = ()
    """factor of the loss for each of the seven classes; empty: 1 each"""
    data: FaceConfig = field(default_factory=FaceConfig)
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("mixup", self.mixup, least=0)
        check_range("ema_decay", self.ema_decay, least=0, below=1)
        if self.vgg16 is not None and (self.initial or self.model.architecture != "vgg16"):
            raise InputError(f"`vgg16` {self.vgg16}: only the architecture vgg16 starts from it, without `initial`")
        if self.initial.endswith(".safetensors") and self.model.architecture != "mobilefacenet":
            raise InputError(f"`initial` {self.initial}: only the architecture mobilefacenet starts from such a file")
        if not 0 <= self.begin <= BLOCKS or (self.begin and self.model.architecture != "mobilefacenet"):
            raise InputError(
                f"`begin` {self.begin}: 0 to {BLOCKS}, and only mobilefacenet can begin behind its first layer", "begin"
            )
        if self.begin and (self.frozen or self.class_weights):
            raise InputError(
                "`begin` freezes layers itself and weighs no classes: leave out `frozen` and `class_weights`"
            )
        if self.readout < 0 or (self.readout and self.model.architecture != "mobilefacenet"):
            raise InputError(
                f"`readout` {self.readout}: at least 0, and only the last layer of mobilefacenet is fitted so",
                "readout",
            )
        domains = max(self.data.domains, default=0)
        if domains >= self.model.domains:
            raise InputError(f"`data.domains` {domains}: this network has the domains 0 to {self.model.domains - 1}")
        if self.mixup and self.batch_size % 2:
            raise InputError(
                f"`batch_size` {self.batch_size} with `mixup`, which mixes pairs: choose an even one", "batch_size"
            )
        if self.class_weights and (len(self.class_weights) != len(EMOTIONS) or min(self.class_weights) < 0):
            raise InputError(
                f"`class_weights` {self.class_weights}: give {len(EMOTIONS)} that are not negative, or none",
                "class_weights",
            )

"""The presets of `emojax train classifier`; see `emojax.train.presets.classifier`."""

from emojax.train.presets.classifier import DEFAULT, EXPW, FINETUNE, LAYERS21, PRESETS, READOUT, TINY, VGG16

__all__ = ["DEFAULT", "EXPW", "FINETUNE", "LAYERS21", "PRESETS", "READOUT", "TINY", "VGG16"]

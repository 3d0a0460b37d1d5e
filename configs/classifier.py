"""The presets of `emojax train classifier`, for `from configs.classifier import PRESETS`.

They are defined, with their commands, hardware and scores, in `emojax/train/presets/classifier.py`, which is also installed.
"""

from emojax.train.presets.classifier import DEFAULT, EXPW, FINETUNE, LAYERS21, PRESETS, READOUT, TINY, VGG16

__all__ = ["DEFAULT", "EXPW", "FINETUNE", "LAYERS21", "PRESETS", "READOUT", "TINY", "VGG16"]

"""The training presets of `emojax.train.presets`, at the place of version 0.1."""

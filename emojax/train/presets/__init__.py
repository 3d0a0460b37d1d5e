"""Named training presets, with the commands and hardware that they were measured with."""

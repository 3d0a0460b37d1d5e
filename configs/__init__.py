"""Named presets, one module per training script."""

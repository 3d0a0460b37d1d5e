"""Presets under their names of version 0.1, and scripts that start a training on a cluster."""

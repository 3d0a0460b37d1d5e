"""Checkpoints and style files: what is stored, how it is checked, and the networks that travel in the package."""

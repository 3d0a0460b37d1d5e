"""Checkpoints and style files: their formats and checks, and the packaged networks."""

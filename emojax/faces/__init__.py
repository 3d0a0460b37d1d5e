"""Faces: where they are, how they are turned, and their crops."""

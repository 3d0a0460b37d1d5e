"""Faces: detection, orientation, alignment and crops."""

"""Measurements of emojax's speed; no part of the package."""

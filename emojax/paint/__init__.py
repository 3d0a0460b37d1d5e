"""Painting of a picture by optimizing its pixels."""

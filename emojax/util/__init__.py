"""Helpers for all other packages: atomic writing, Ctrl-C, compiling, progress, the machine's limits."""

"""Rasters, windows and class maps; no torch, no MMEngine."""

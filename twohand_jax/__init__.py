"""Reconstruction of two interacting hands from one image, in JAX."""

__version__ = "0.1.0"

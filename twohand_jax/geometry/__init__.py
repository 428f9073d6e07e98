"""Rotations, cameras, boxes, affine crops, viewing directions and alignment."""

from twohand_jax.geometry import affine, alignment, boxes, cameras, rotations, view

__all__ = ["affine", "alignment", "boxes", "cameras", "rotations", "view"]

"""Rotations, cameras, boxes, affine crops and alignment."""

from twohand_jax.geometry import affine, alignment, boxes, cameras, rotations

__all__ = ["affine", "alignment", "boxes", "cameras", "rotations"]

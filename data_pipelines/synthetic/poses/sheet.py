"""A contact sheet of the pose library on both hands of the open hand.

    python -m twohand_jax.pipelines.synthetic.poses.sheet --out SHEET.jpg

Each tile shows one pose: the right hand's back and, beside it, the left hand's palm.
"""

import argparse
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from twohand_jax import files, mano
from twohand_jax.geometry import rotations
from twohand_jax.mano.topology import close_wrist
from twohand_jax.pipelines.synthetic.poses import angles, library
from twohand_jax.types import LEFT, RIGHT, Camera, ManoModel
from twohand_jax.viz import render

TILE = 170
PAPER, INK = (248, 247, 244), (70, 70, 70)
# Model axes (fingers -x, palm -y, thumb +z) to a view with fingers up, palm forward.
R_VIEW_RIGHT = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
R_VIEW_LEFT = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
TILT = np.deg2rad(-18.0)


def posed(model: ManoModel, name: str) -> Float[np.ndarray, "2 778 3"]:
    """Both hands in a library pose, turned as they are shown, about the origin."""
    right = angles.to_matrices(angles.skeleton(model), jnp.asarray(library.named(name)))
    flip = jnp.array([-1.0, 1.0, 1.0])
    pose = jnp.stack([right, right * flip[:, None] * flip])
    turn = np.asarray(rotations.axis_angle_to_matrix(jnp.array([0.0, TILT, 0.0])))
    away = np.diag([-1.0, 1.0, -1.0])
    orient = jnp.asarray(np.stack([turn @ R_VIEW_RIGHT, turn @ away @ R_VIEW_LEFT]))
    geometry = mano.forward_matrices(
        model, orient, pose, jnp.zeros((2, 10)), jnp.zeros((2, 3))
    )
    vertices = np.asarray(geometry.vertices)
    return vertices - (vertices.max(axis=1) + vertices.min(axis=1))[:, None] / 2


def tile(model: ManoModel, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """One pose on paper, with its name below."""
    parts = []
    vertices = posed(model, name) + [0.0, 0.0, 0.9]
    camera = Camera(np.full(2, 4.0 * TILE), np.full(2, TILE / 2))
    for side in (RIGHT, LEFT):
        faces = close_wrist(np.asarray(model.faces[side]))
        mesh = render.Mesh(vertices[side], faces, render.HAND_COLORS[side])
        picture = render.render(
            render.RayScene([mesh]), camera, height=TILE, width=TILE
        )
        paper = np.full((TILE, TILE, 3), PAPER, np.uint8)
        parts.append(render.paste(picture.rgba, paper))
    both = np.concatenate(parts, axis=1)
    place, font = (8, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(both, name, place, font, 0.42, INK, 1, cv2.LINE_AA)
    return both


def main() -> None:
    """Entry point of ``python -m``."""
    parser = argparse.ArgumentParser(description="Draw the pose library.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=5)
    args = parser.parse_args()
    model = mano.load()
    tiles = [tile(model, name) for name in library.NAMES]
    blank = np.full_like(tiles[0], PAPER)
    tiles += [blank] * (-len(tiles) % args.columns)
    rows = [
        np.concatenate(tiles[i : i + args.columns], axis=1)
        for i in range(0, len(tiles), args.columns)
    ]
    sheet = np.concatenate(rows)
    with files.replacing(args.out) as beside:
        Image.fromarray(sheet).save(beside)
    print(f"Wrote {len(library.NAMES)} poses to {args.out}.")


if __name__ == "__main__":
    main()

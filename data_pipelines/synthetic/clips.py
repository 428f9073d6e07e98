"""Rendered clips of two moving hands, with what is true of every frame.

    python -m twohand_jax.pipelines.synthetic.clips --out data/clips --count 4

writes CLIP.mp4 and CLIP.npz for each. Poses of the library, orientations and places are
knots, one a second; splines through them move the hands, which the synthetic set's
renderer then draws in one scene a clip. `twohand benchmark video` measures with them.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from twohand_jax import arguments, files, mano, paths
from twohand_jax.mano.loading import OPEN_HAND
from twohand_jax.pipelines.synthetic.poses import angles as anatomy
from twohand_jax.pipelines.synthetic.poses import draw, sheet
from twohand_jax.pipelines.synthetic.poses.pair import Pair, to_params
from twohand_jax.pipelines.synthetic.render.hand_mesh import load_hand_mesh
from twohand_jax.pipelines.synthetic.render.renderer import Renderer
from twohand_jax.pipelines.synthetic.render.sample_scene import Scene, sample_scene
from twohand_jax.types import Camera, HandGeometry, ManoModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """What clips are drawn.

    Attributes:
        seconds: length of a clip.
        rate: frames a second.
        size: height and width, pixels.
        seed: the same seed gives the same clips.
        turn: spread of the hands' orientations about fingers up, radians.
        sway: spread of the wrists about their places, metres (x, y, z).
    """

    seconds: float = 4.0
    rate: float = 30.0
    size: tuple[int, int] = (720, 1280)
    seed: int = 0
    turn: float = 0.35
    sway: tuple[float, float, float] = (0.03, 0.04, 0.05)


class Truth(NamedTuple):
    """Hands of every frame of a clip, camera frame, metres, right first."""

    geometry: HandGeometry
    camera: Camera


# Where the right wrist is (the left one's x has the other sign), and the focal length
# in picture widths.
PLACE, FOCAL = (-0.13, 0.1, 0.7), 1.0


def truth(config: ClipsConfig, number: int, model: ManoModel) -> Truth:
    """The hands of a clip by its number."""
    rng = np.random.default_rng([config.seed, number, 0])
    count = max(1, round(config.seconds * config.rate))
    knots = int(np.ceil(config.seconds)) + 2
    at, when = np.arange(knots) - 0.5, np.arange(count) / config.rate
    likely = draw.blends(rng, 2 * knots, config=draw.DrawConfig())
    angles = CubicSpline(at, likely.reshape(knots, 2, -1))(when)
    away = np.diag([-1.0, 1.0, -1.0]) @ sheet.R_VIEW_LEFT
    sway = rng.normal(0.0, config.sway, (knots, 2, 3))
    wrists = sway + [PLACE, np.multiply(PLACE, [-1, 1, 1])]
    turns = []
    for upright in (sheet.R_VIEW_RIGHT, np.diag([-1.0, 1.0, -1.0]) @ away):
        random = Rotation.from_rotvec(rng.normal(0.0, config.turn, (knots, 3)))
        spline = RotationSpline(at, random * Rotation.from_matrix(upright))
        turns.append(spline(when).as_matrix())
    betas = draw.shapes(rng, 1, config=draw.DrawConfig(shape_noise=0.0))
    pair = Pair(
        angles=anatomy.clamp_angles(jnp.asarray(angles, jnp.float32)),
        wobble=jnp.zeros((count, 2, 15, 3)),
        betas=jnp.asarray(np.repeat(betas, count, axis=0), jnp.float32),
        orient=jnp.asarray(np.stack(turns, axis=1), jnp.float32),
        wrist=jnp.asarray(CubicSpline(at, wrists)(when), jnp.float32),
    )
    params = to_params(model, anatomy.skeleton(model), pair)
    height, width = config.size
    camera = Camera(
        np.full(2, FOCAL * width, np.float32),
        np.array([(width - 1) / 2, (height - 1) / 2], np.float32),
    )
    geometry = mano.forward(model, params)
    return Truth(HandGeometry(*(np.asarray(leaf) for leaf in geometry)), camera)


def scene(config: ClipsConfig, number: int) -> Scene:
    """The appearance of a clip: nothing in front of the hands, no faulty camera."""
    rng = np.random.default_rng([config.seed, number, 1])
    drawn = sample_scene(rng)
    effects = drawn.effects._replace(grey=False, motion=np.zeros(2), reduction=1.0)
    return drawn._replace(occluders=(), effects=effects)


def pictures(
    config: ClipsConfig, number: int, known: Truth
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The frames of a clip, each with noise of its own."""
    renderer = Renderer(load_hand_mesh(OPEN_HAND.parent), config.size)
    look = scene(config, number)
    vertices: Float[np.ndarray, "f 2 778 3"] = np.asarray(known.geometry.vertices)
    for frame, hands in enumerate(vertices):
        own = look.effects._replace(seed=look.effects.seed + frame)
        yield renderer.render(look._replace(effects=own), hands, known.camera).image


def write(folder: Path, config: ClipsConfig, number: int, model: ManoModel) -> Path:
    """Render a clip and write it and its truth; returns the video's path."""
    known = truth(config, number, model)
    path = folder / f"clip_{number}.mp4"
    height, width = config.size
    with files.replacing(path) as beside:
        code = cv2.VideoWriter.fourcc(*"mp4v")
        video = cv2.VideoWriter(str(beside), code, config.rate, (width, height))
        for image in pictures(config, number, known):
            video.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        video.release()
    arrays = {"joints_cam": known.geometry.joints, **known.camera._asdict()}
    files.write_npz(path.with_suffix(".npz"), arrays)
    return path


def main() -> None:
    """Entry point of ``python -m``."""
    default = ClipsConfig()
    parser = argparse.ArgumentParser(description="Render clips of two moving hands.")
    option = parser.add_argument
    option("--out", type=paths.given, required=True)
    option("--count", type=arguments.positive, default=1)
    option("--seconds", type=float, default=default.seconds)
    option("--seed", type=arguments.seed, default=default.seed)
    args = parser.parse_args()
    config = ClipsConfig(seconds=args.seconds, seed=args.seed)
    model = mano.load()
    for number in range(args.count):
        print(f"wrote {write(args.out, config, number, model)}", flush=True)


if __name__ == "__main__":
    main()

"""How the shipped model does on InterHand2.6M's pictures, beside MediaPipe.

    python -m twohand_jax.pipelines.interhand26m.check ROOT --max-samples 10

Hands' boxes come from the annotations. For each hand: PA-MPJPE (mm) over the labelled
joints of MediaPipe's world landmarks, of the network, of network and keypoint fit with
MediaPipe's keypoints, and the same two with the annotated 2D joints as keypoints.
"""

import argparse
import itertools
import sys

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from twohand_jax import metrics
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.errors import InputError
from twohand_jax.inference.images import read_image
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.pipelines.interhand26m import dataset
from twohand_jax.types import SIDES

COLUMNS = ("MediaPipe world", "network", "fit", "network, true 2D", "fit, true 2D")


def pa_mpjpe(
    estimate: Float[np.ndarray, "21 3"],
    target: Float[np.ndarray, "21 3"],
    valid: Bool[np.ndarray, "21"],
) -> float:
    """Procrustes-aligned mean joint error of one hand, millimetres."""
    record = metrics.pa_mpjpe(
        *(jnp.asarray(x)[None, None] for x in (estimate, target, valid))
    )
    return float(record.value())


def judge(
    sample: dataset.InterHandSample,
    reconstructor: Reconstructor,
    detector: MediaPipeHands,
) -> dict[str, dict[str, float]]:
    """Errors by hand and column."""
    image = read_image(sample.image)
    present = [side for side in (0, 1) if sample.joints_2d_valid[side].any()]
    keypoints = np.concatenate(
        [sample.joints_2d, sample.joints_2d_valid[..., None]], axis=-1
    )
    boxes: list = [None, None]
    for side in present:
        points = sample.joints_2d[side, sample.joints_2d_valid[side]]
        low, high = points.min(axis=0), points.max(axis=0)
        grow = 0.1 * (high - low)
        boxes[side] = np.concatenate([low - grow, high + grow]).tolist()
    focal = float(sample.camera.focal.mean())
    seen = reconstructor.detailed(image, boxes=boxes, focal=focal)
    known = [keypoints[side] if side in present else None for side in (0, 1)]
    told = reconstructor.detailed(image, keypoints=known, focal=focal)
    sources = [seen.network, seen.prediction, told.network, told.prediction]
    rows = {}
    for side in present:
        truth, valid = sample.joints_3d[side], sample.joints_2d_valid[side]
        world = detector(image, np.asarray([boxes[side]]), [side])
        row = {COLUMNS[0]: pa_mpjpe(world[0].world, truth, valid) if world else np.nan}
        for column, source in zip(COLUMNS[1:], sources, strict=True):
            row[column] = pa_mpjpe(
                np.asarray(source.geometry.joints[side]), truth, valid
            )
        rows[SIDES[side]] = row
    return rows


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", help="folder with annotations/ and images/")
    parser.add_argument("--split", default="test")
    parser.add_argument("--max-samples", type=int, default=10)
    parser.add_argument("--checkpoint", help="model directory; the shipped one")
    args = parser.parse_args()
    try:
        reconstructor = Reconstructor.load(args.checkpoint)
        detector = MediaPipeHands()
        print("| picture, hand | " + " | ".join(COLUMNS) + " |\n" + "|---" * 6 + "|")
        samples = dataset.read_records(args.root, args.split)
        for sample in itertools.islice(samples, args.max_samples):
            for hand, row in judge(sample, reconstructor, detector).items():
                cells = " | ".join(f"{row[column]:.1f}" for column in COLUMNS)
                print(f"| {sample.image.stem}, {hand} | {cells} |")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

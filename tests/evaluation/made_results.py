"""Results of methods that never were, for tests of what is made of results."""

import numpy as np

from twohand_jax.evaluation.results import Result, Scores
from twohand_jax.types import Mean

KINDS = ("apart", "near", "clasped", "single")


def joint_metrics(joints_mm: np.ndarray) -> dict[str, Mean]:
    """MPJPE a split, hand and joint, as protocol wrist keeps it, and a PCK curve."""
    known = np.isfinite(joints_mm)
    both = known.any(axis=-1).all(axis=-1)
    splits = np.stack([~both, both], axis=-1)[..., None, None] & known[:, None]
    errors = np.where(known, joints_mm, 0.0)
    right = (errors[..., None] <= np.linspace(0, 50, 100)) & known[..., None]
    number = known.sum(axis=(-2, -1))
    return {
        "MPJPE": Mean(np.where(splits, errors[:, None], 0.0), splits * 1.0),
        "PCK-J": Mean(right.sum(axis=(1, 2)), np.repeat(number[:, None], 100, axis=1)),
    }


def made(
    *, method: str = "a", records: int = 60, seed: int = 0, scale: float = 1.0
) -> Result:
    """Records of two hands, every fourth of a right hand alone.

    The seed draws which records are hard, so results of one seed are correlated; the
    first joint is the root. Overlaps and hidden shares run through all their bins.
    """
    rng = np.random.default_rng(seed)
    hard = rng.gamma(4.0, 4.0, (records, 1, 1))
    noise = np.random.default_rng([seed, len(method)])
    joints = scale * hard * noise.uniform(0.5, 1.5, (records, 2, 21))
    joints[..., 0] = 0.0
    single = np.arange(records) % 4 == 3
    joints[single, 1] = np.nan
    vertices = joints.mean(axis=-1) + 1.0
    counts = np.isfinite(vertices) * 778.0
    metrics = joint_metrics(joints)
    metrics["MPVPE"] = Mean(
        np.where(counts > 0, vertices * counts, 0.0).sum(axis=-1), counts.sum(axis=-1)
    )
    return Result(
        method=method,
        protocol="wrist",
        dataset="synthetic_benchmark",
        split="test",
        record=np.arange(records),
        image_id=np.array([f"test-{i:05d}" for i in range(records)]),
        subset=np.array(KINDS)[np.arange(records) % 4],
        scores=Scores(
            metrics=metrics,
            joints_mm=joints,
            vertices_mm=vertices,
            overlap=np.where(single, np.nan, (np.arange(records) // 4) % 5 / 10),
            occluded=np.where(
                single[:, None],
                np.nan,
                np.stack([np.arange(records) // 4 % 5 * 0.2, np.zeros(records)], -1),
            ),
        ),
    )

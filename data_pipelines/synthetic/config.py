"""What a synthetic set is made of. Everything that decides its bytes is here."""

import dataclasses

VERSION = "1.1.0"
SPLIT_STREAMS = {"train": 0, "test": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CueNoise:
    """How far the cues are from the truth, so that training sees what extractors do.

    Attributes:
        keypoint: standard deviation of a visible joint's error, of its hand's box side.
        keypoint_shift: the same for an error that a whole hand shares.
        occluded_factor: how much larger a hidden joint's error is.
        dropout: probability that a visible joint is not found; hidden: three times.
        finger_swap: probability that two neighbouring fingers of a hand change places.
        hand_swap: probability that right and left change places (both hands shown).
        hand_missing: probability that a hand's keypoints are not found.
        boundary: standard deviation of the labels' shift along their boundary, pixels
            of a 256-pixel picture.
        morphology: probability that the labels are grown or shrunk by a pixel.
        clean: share of pictures whose maps are exact.
        depth_smooth_m: standard deviation of depth's smooth error.
        depth_fine_m: of its fine error.
        depth_hand_m: of an error that each hand has of its own.
    """

    keypoint: float = 0.018
    keypoint_shift: float = 0.008
    occluded_factor: float = 2.5
    dropout: float = 0.015
    finger_swap: float = 0.02
    hand_swap: float = 0.015
    hand_missing: float = 0.015
    boundary: float = 1.0
    morphology: float = 0.4
    clean: float = 0.25
    depth_smooth_m: float = 0.004
    depth_fine_m: float = 0.0015
    depth_hand_m: float = 0.006


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """A synthetic set.

    Attributes:
        size: side of the square pictures in pixels.
        seed: of everything; splits and shards draw from disjoint streams of it.
        train: pictures of the training split.
        test: pictures of the test split.
        shard_size: pictures a shard.
        views: pictures of each pose, from different cameras in different scenes.
        kinds: kinds of placement to draw from (``poses.sampler.KINDS``); empty for all.
        jpeg_quality: of the stored pictures.
        noise: of the cues.
        min_visible: a shown hand with fewer visible pixels (of a 256-pixel picture)
            makes the picture be rejected.
        min_joints: so does a shown hand with fewer joints inside of the picture.
    """

    size: int = 256
    seed: int = 0
    train: int = 4096
    test: int = 512
    shard_size: int = 512
    views: int = 4
    kinds: tuple[str, ...] = ()
    jpeg_quality: int = 92
    noise: CueNoise = CueNoise()
    min_visible: int = 40
    min_joints: int = 8

"""The shipped model: MediaPipe's hand landmark network as it is, and heads upon it.

    twohand data build synthetic --out data/open --train 8192 --test 512 --seed 1
    twohand train --config configs/open.py --workdir workdirs/open

Cost and result are in the model card, twohand_jax/assets/open_regressor/card.md.
The backbone has learned from real hands and stays as it is (frozen_stages), so that
synthetic pictures can't take that away; cue encoders, fusion and heads are trained. The
mean of its widest map goes to the heads directly (summary): MediaPipe reads joints from
it, and so do they after a few hundred steps.
Crops are MediaPipe's: 224 pixels, fingers up, somewhat wider than the hand. Cues are
encoded at half of that, which costs a quarter of the time.
Keypoints are not gated: the open keypoint source is all a newcomer has, and the
network learns from noisy keypoints how far to trust them. The 3D terms weigh twice
and the 2.5D terms five times as much as the paper's, since training is short.
Rotations are those of the hand as its crop sees it (crop_view), so a hand away from the
middle looks like one in it. Hands are placed by their 2D joints (placed_by).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The experiment."""
    resnet = {"bottleneck": False, "last_stride": 1}
    config = ConfigDict()
    config.model = {
        "image": {"output_stride": 32, "expanded": True, "frozen_stages": 6},
        "cue": resnet | {"depths": (1, 1, 1, 1), "width": 16},
        "cue_shrink": 2,
        "fusion": {"layers": 2, "width": 192, "heads": 4, "mlp": 512},
        "transnet": {
            "grid": 32,
            "depth": 32,
            "sigma": 1.25,
            "resnet": resnet | {"depths": (1, 1, 1, 1), "width": 16},
            "hidden": 256,
        },
        "head_channels": 256,
        "rotation_channels": 64,
        "summary": 512,
        "position_std": 0.05,
    }
    config.crop = {
        "crop_size": 224,
        "cells": 7,
        "crop_scale": 1.35,
        "gate": (),
        "crop_view": True,
        "fingers_up": True,
        "placed_by": "joints",
    }
    config.augment = {
        "scale": 0.15,
        "box_jitter": 0.06,
        "angle_jitter": 0.25,
        "noise": 0.02,
        "grey_probability": 0.1,
        "cue_dropout": {"keypoints": 0.4, "segmentation": 0.5, "depth": 0.5},
    }
    config.loss = {
        "joint_3d": 20.0,
        "mesh": 20.0,
        "shape": 0.5,
        "joint_25d": 5.0,
        "mano_25d": 5.0,
    }
    config.optim = {
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": 60,
        "weight_decay": 0.01,
        "clip_norm": 5.0,
        "ema_decay": 0.998,
    }
    config.train = {
        "total_steps": 4000,
        "batch_size": 8,
        "seed": 0,
        "log_every": 20,
        "save_every": 100,
        "evaluate_every": 4000,
    }
    config.init = {"image": "mediapipe"}
    config.data = {"train": "data/open", "test": "data/open", "canvas_size": 320}
    return config

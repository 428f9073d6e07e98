"""A small ResNet that starts from nothing: what shipped before the landmark network.

    twohand data build synthetic --out data/open --train 16384 --test 1024 --seed 1
    twohand train --config configs/scratch.py --workdir workdirs/scratch

Cost: 53 minutes on two CPU cores. On synthetic pictures it knows what configs/open.py
knows with all cues; of real skin it knows nothing (docs/results.md). The ablation of
the cues (configs/ablation.py) is of this network.
Keypoints are not gated: the open keypoint source is all a newcomer has, and the
network learns from noisy keypoints how far to trust them. The 3D terms weigh twice
and the 2.5D terms five times as much as the paper's, since training is short and
starts from nothing. Rotations are those of the hand
as its crop sees it (crop_view), so a hand away from the middle looks like one in it.
Crops are tight (1.3 instead of 2 boxes), so that 96 pixels show the fingers.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The experiment."""
    resnet = {"bottleneck": False, "last_stride": 1}
    config = ConfigDict()
    config.model = {
        "image": resnet | {"depths": (2, 2, 2, 2), "width": 24},
        "cue": resnet | {"depths": (1, 1, 1, 1), "width": 16},
        "fusion": {"layers": 2, "width": 128, "heads": 4, "mlp": 512},
        "transnet": {
            "grid": 32,
            "depth": 32,
            "sigma": 1.25,
            "resnet": resnet | {"depths": (1, 1, 1, 1), "width": 16},
        },
        "head_channels": 256,
        "rotation_channels": 64,
        "position_std": 0.05,
    }
    config.crop = {
        "crop_size": 96,
        "cells": 6,
        "crop_scale": 1.3,
        "gate": (),
        "crop_view": True,
    }
    config.augment = {
        "scale": 0.15,
        "box_jitter": 0.06,
        "grey_probability": 0.1,
        "cue_dropout": {"keypoints": 0.2, "segmentation": 0.5, "depth": 0.5},
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
        "warmup_steps": 100,
        "weight_decay": 0.01,
        "clip_norm": 5.0,
        "ema_decay": 0.998,
    }
    config.train = {
        "total_steps": 7000,
        "batch_size": 8,
        "seed": 0,
        "log_every": 20,
        "save_every": 300,
        "evaluate_every": 3500,
    }
    config.data = {"train": "data/open", "test": "data/open", "canvas_size": 256}
    return config

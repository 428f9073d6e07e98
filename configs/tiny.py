"""A toy for tests and first steps: learns nothing useful, in seconds.

    twohand data build synthetic --out data/tiny --train 64 --test 16 --seed 0
    twohand train --config configs/tiny.py --workdir workdirs/tiny

Cost: under a minute on two CPU cores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The experiment."""
    resnet = {"depths": (1, 1, 1, 1), "width": 4, "last_stride": 1}
    config = ConfigDict()
    config.model = {
        "image": resnet,
        "cue": resnet,
        "fusion": {"layers": 1, "width": 16, "heads": 2, "mlp": 16},
        "transnet": {"grid": 16, "depth": 16, "sigma": 1.0, "resnet": resnet},
        "head_channels": 16,
        "rotation_channels": 8,
    }
    config.crop = {"crop_size": 64, "cells": 4}
    config.augment = {
        "cue_dropout": {"keypoints": 0.2, "segmentation": 0.2, "depth": 0.2}
    }
    config.loss = {}
    config.optim = {"learning_rate": 1e-3, "schedule": "constant", "ema_decay": 0.9}
    config.train = {
        "total_steps": 20,
        "batch_size": 4,
        "log_every": 5,
        "save_every": 10,
        "evaluate_every": 20,
    }
    config.data = {"train": "data/tiny", "test": "data/tiny", "canvas_size": 128}
    return config

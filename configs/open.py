"""The shipped model: small, trained on the synthetic set, runs on a laptop.

    twohand data build synthetic --out data/open --train 16000 --test 1000 --seed 1
    twohand train --config configs/open.py --workdir workdirs/open

Cost and result are in the model card, twohand_jax/assets/open_regressor/card.md.
Keypoints are not gated: the open keypoint source is all a newcomer has, and the
network learns from noisy keypoints how far to trust them.
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
        "crop_size": 128,
        "head_channels": 256,
        "rotation_channels": 64,
    }
    config.crop = {
        "crop_size": 128,
        "gate_keypoints": False,
        "gate_segmentation": False,
    }
    config.augment = {
        "box_jitter": 0.06,
        "grey_probability": 0.1,
        "cue_dropout": (0.15, 0.4, 0.4),
    }
    config.loss = {}
    config.optim = {
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.01,
        "clip_norm": 5.0,
        "ema_decay": 0.998,
    }
    config.train = {
        "total_steps": 3000,
        "batch_size": 16,
        "seed": 0,
        "log_every": 20,
        "save_every": 250,
        "evaluate_every": 1000,
    }
    config.data = {"train": "data/open", "test": "data/open", "canvas_size": 256}
    return config

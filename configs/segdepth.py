"""The shipped network of the segmentation and depth cues, trained on the synthetic set.

    twohand data build synthetic --out data/open --train 12288 --test 1024 --seed 1
    twohand train --config configs/segdepth.py --workdir workdirs/segdepth

Cost and result are in its card, twohand_jax/assets/open_segdepth/card.md; the last line
of WORKDIR/metrics.jsonl holds the scores on the held-out pictures. Every size is chosen
for half an hour on two CPU cores: the first stage has no blocks, since at half of the
region's resolution they cost the most and pictures seen count for more.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The experiment."""
    config = ConfigDict()
    config.experiment = "segdepth"
    config.model = {"widths": (16, 24, 48, 96, 192), "depths": (0, 2, 2, 2, 2)}
    config.crop = {"crop_size": 160, "crop_scale": 1.5}
    config.augment = {
        "rotation_deg": 15.0,
        "scale": 0.15,
        "box_jitter": 0.06,
        "color": 0.25,
        "noise": 0.03,
    }
    config.loss = {"depth": 0.5}
    config.optim = {
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.01,
        "clip_norm": 5.0,
        "ema_decay": 0.998,
    }
    config.train = {
        "total_steps": 10000,
        "batch_size": 8,
        "log_every": 50,
        "save_every": 500,
        "evaluate_every": 10000,
    }
    config.data = {"train": "data/open", "test": "data/open", "canvas_size": 256}
    return config

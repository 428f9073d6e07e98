"""FreiHAND: one right hand a picture, so no relative translation and no prior.

    twohand train --config configs/freihand.py --workdir workdirs/freihand
    twohand evaluate --model workdirs/freihand/model --dataset data/freihand

The camera's range is that of a 0.4 m object (METHOD §2) instead of 0.6 m; everything
else is the paper's recipe on 32,560 x 4 pictures. Converted backbones as in paper.py.
Expected result: PA-MPJPE 5.1 mm, PA-MPVPE 5.2 mm (the paper's); not reached here for
want of the data.
"""

from ml_collections import ConfigDict

BATCH, EPOCHS = 48, 7
EPOCH_STEPS = round(4 * 32_560 / BATCH)
CAMERA_3D_SIZE, FOCAL, CROP = 0.4, 5000.0, 256


def get_config() -> ConfigDict:
    """The experiment."""
    config = ConfigDict()
    config.model = {
        "transnet": None,
        "camera_range": FOCAL * CAMERA_3D_SIZE / CROP,
        "conv_std": 0.001,
        "dtype": "bfloat16",
    }
    config.crop = {}
    # A mirrored right hand is a left one: never here.
    config.augment = {"flip_probability": 0.0}
    config.loss = {"mean": "all", "joints": "regressed", "rel_trans": 0.0}
    config.optim = {
        "learning_rate": 1e-4,
        "schedule": "step",
        "milestones": (4 * EPOCH_STEPS,),
        "factor": 0.1,
        "decays": "all",
    }
    config.train = {
        "total_steps": EPOCHS * EPOCH_STEPS,
        "batch_size": BATCH,
        "log_every": 50,
        "save_every": 1000,
        "evaluate_every": EPOCH_STEPS,
        "picture_every": 2000,
        "best_metric": "+ depth/PA-MPJPE",
    }
    config.data = {
        "train": "data/freihand",
        "test": "data/freihand",
        "canvas_size": 256,
        "workers": 16,
    }
    config.init = {"image": "weights/resnet50", "cue": "weights/resnet18"}
    return config

"""The paper's recipe at full size: five training sets, 7 epochs, batches of 48.

    twohand weights convert torchvision --arch resnet50 FILE --out weights/resnet50
    twohand weights convert torchvision --arch resnet18 FILE --out weights/resnet18
    twohand train --config configs/paper.py --dry-run
    twohand train --config configs/paper.py --workdir workdirs/paper

The ablation's rows are ``configs/paper.py:baseline``, ``:keypoints``, ``:segmentation``
and ``:depth`` (all cues, the default); each has encoders for its cues only.

Sets with 3D labels and the set with 2D labels only are mixed one to one. An epoch is
one pass over InterHand2.6M's training pictures, counting all 3D records as such; set
train.total_steps and optim.milestones for other data. Expected result: the paper's
Table 4. It was not reached here, where neither its data nor its weights are.
"""

from ml_collections import ConfigDict

CUES = {
    "baseline": (),
    "keypoints": ("keypoints",),
    "segmentation": ("keypoints", "segmentation"),
    "depth": ("keypoints", "segmentation", "depth"),
}
OPTIONS = tuple(CUES)
BATCH, EPOCHS = 48, 7
PICTURES_2D = 0.5  # share of each batch with 2D labels only
EPOCH_STEPS = round(1_361_062 / ((1 - PICTURES_2D) * BATCH))


def get_config(cues: str = "depth") -> ConfigDict:
    """The experiment; ``cues`` names the last cue of the ablation's row."""
    config = ConfigDict()
    config.model = {"cues": CUES[cues], "conv_std": 0.001, "dtype": "bfloat16"}
    config.crop = {}
    config.augment = {}
    config.loss = {"mean": "all", "joints": "regressed"}
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
        "save_every": 2000,
        "evaluate_every": EPOCH_STEPS,
        "picture_every": 5000,
        "best_metric": f"{'image' if cues == 'baseline' else f'+ {cues}'}/MPJPE",
    }
    config.data = {
        # In proportion to their pictures, but for the set without 3D labels.
        "train": (
            {"directory": "data/interhand26m", "weight": 0.34},
            {"directory": "data/reinterhand", "weight": 0.12},
            {"directory": "data/freihand", "weight": 0.02},
            {"directory": "data/ho3d", "weight": 0.02},
            {"directory": "data/coco_wholebody", "weight": PICTURES_2D},
        ),
        "test": "data/interhand26m",
        "canvas_size": 512,
        "workers": 16,
    }
    config.init = {
        "image": "weights/resnet50",
        "cue": "weights/resnet18",
        "transnet": "weights/resnet18",
    }
    return config

"""InterWild's network and training (Moon, CVPR 2023), without its detector.

    twohand weights convert torchvision --arch resnet50 FILE --out weights/resnet50
    twohand weights convert torchvision --arch resnet18 FILE --out weights/resnet18
    twohand train --config configs/interwild.py --workdir workdirs/interwild

The network and the meaning of its numbers are those of a converted checkpoint
(``twohand weights convert interwild``; docs/models.md lists them). Adam, batches of
128, pictures with 3D labels and those with 2D labels one to one, as in its released
code; docs/method.md says what differs. Expected result: InterWild's 7.85 mm (MPJPE of
InterHand2.6M). It was not reached here, where neither its data nor MANO are.
"""

from ml_collections import ConfigDict

BATCH, EPOCHS = 128, 7
PICTURES_2D = 0.5  # share of each batch with 2D labels only
EPOCH_STEPS = round(1_361_062 / ((1 - PICTURES_2D) * BATCH))


def get_config() -> ConfigDict:
    """The experiment."""
    config = ConfigDict()
    config.model = {
        "cues": (),
        "fusion": None,
        "conv_std": 0.001,
        "image_mean": (0.0, 0.0, 0.0),
        "image_std": (1.0, 1.0, 1.0),
    }
    config.crop = {
        "gate": (),
        "placed_by": "transnet",
        "center": "half",
        "flat_hand_mean": False,
        "wrist": "regressed",
    }
    config.augment = {}
    config.loss = {"mean": "all", "joints": "regressed"}
    config.optim = {
        "learning_rate": 1e-4,
        "schedule": "step",
        "milestones": (4 * EPOCH_STEPS,),
        "factor": 0.1,
        "weight_decay": 0.0,
    }
    config.train = {
        "total_steps": EPOCHS * EPOCH_STEPS,
        "batch_size": BATCH,
        "log_every": 50,
        "save_every": 2000,
        "evaluate_every": EPOCH_STEPS,
        "picture_every": 5000,
        "best_metric": "image/MPJPE",
    }
    config.data = {
        "train": (
            {"directory": "data/interhand26m", "weight": 0.5},
            {"directory": "data/coco_wholebody", "weight": PICTURES_2D},
        ),
        "test": "data/interhand26m",
        "canvas_size": 512,
        "workers": 16,
        "hand": "mano",
        "mano": "mano",
    }
    config.init = {"image": "weights/resnet50", "transnet": "weights/resnet18"}
    return config

"""Networks trained with some of the cues each, for the ablation of docs/results.md.

    twohand data build synthetic --out data/open --train 16384 --test 1024 --seed 1
    twohand train --config configs/ablation.py:image --workdir workdirs/ablation-image

The argument names the cues of the network: ``image`` (none), ``keypoints``,
``segmentation`` (keypoints too) or ``depth`` (all three). Everything else is that of
configs/scratch.py, but for the length, and no cue is ever withheld. Cost on two CPU
cores beside other jobs: ``image`` 17 minutes, ``keypoints`` 17, ``segmentation`` 21,
``depth`` 18 to 22.
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

CUES = {
    "image": (),
    "keypoints": ("keypoints",),
    "segmentation": ("keypoints", "segmentation"),
    "depth": ("keypoints", "segmentation", "depth"),
}

OPTIONS = tuple(CUES)


def get_config(cues: str = "depth") -> ConfigDict:
    """The experiment of a network with these cues."""
    config = runpy.run_path(str(Path(__file__).with_name("scratch.py")))["get_config"]()
    config.model.cues = CUES[cues]
    config.augment.cue_dropout = {}
    config.train.total_steps = 2400
    config.train.evaluate_every = 2400
    return config

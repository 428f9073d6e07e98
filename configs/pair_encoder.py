"""The pair encoder, in which the prior is judged, trained on the prior's pose set.

    twohand data build poses --out data/poses --train 65536 --test 4096 --seed 7
    twohand train --config configs/pair_encoder.py --workdir workdirs/pair_encoder

Cost and result are in its card, twohand_jax/assets/open_pair_encoder/card.md.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The experiment."""
    config = ConfigDict()
    config.experiment = "pair_encoder"
    config.model = {"points": 98, "widths": (32, 128), "features": 64}
    config.loss = {"noise": 0.002}
    config.optim = {
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "warmup_steps": 100,
        "weight_decay": 1e-4,
        "clip_norm": 1.0,
        "ema_decay": 0.99,
    }
    config.train = {
        "total_steps": 3000,
        "batch_size": 128,
        "log_every": 100,
        "save_every": 1000,
        "evaluate_every": 1000,
    }
    config.data = {"train": "data/poses", "test": "data/poses"}
    return config

"""The shipped two-hand prior: a diffusion model of one hand given the other.

    twohand data build poses --out data/poses --train 65536 --test 4096 --seed 7
    twohand train --config configs/prior.py --workdir workdirs/prior

Cost and result are in the model card, twohand_jax/assets/open_prior/card.md. The
network is InterHandGen's (METHOD §5) with a fifth of its width; its three tokens
attend to each other, and numbers are divided by their standard deviation.
``configs/prior.py:paper`` has the published sizes, attention and schedule of rates.
"""

from ml_collections import ConfigDict

WIDTHS = {
    "open": {"embedding": 128, "hidden": 512, "mlp": 256, "attention": "tokens"},
    "paper": {"embedding": 512, "hidden": 2056, "mlp": 2048, "attention": "tokens"},
}

OPTIONS = tuple(WIDTHS)


def get_config(name: str = "open") -> ConfigDict:
    """The experiment; ``name`` is "open" or "paper"."""
    config = ConfigDict()
    config.experiment = "prior"
    config.model = {"heads": 4, "layers": 2, "blocks": 7} | WIDTHS[name]
    config.diffusion = {
        "timesteps": 129,
        "beta_start": 1e-4,
        "beta_end": 1e-2,
        "hand": "open-hand-1",
    }
    config.loss = {"unconditional": 0.2}
    config.optim = {
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": 500,
        "weight_decay": 1e-4,
        "clip_norm": 4.0,
        "ema_decay": 0.999,
    }
    config.train = {
        "total_steps": 16000,
        "batch_size": 256,
        "log_every": 100,
        "save_every": 2000,
        "evaluate_every": 2000,
        "best_metric": "conditional/mse",
    }
    config.data = {"train": "data/poses", "test": "data/poses"}
    return config

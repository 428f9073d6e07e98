"""The shipped two-hand prior: a diffusion model of one hand given the other.

    twohand data build poses --out data/poses --train 65536 --test 4096 --seed 7
    twohand train --config configs/prior.py --workdir workdirs/prior
    twohand train --config configs/prior.py:apart --workdir workdirs/apart

Cost and result are in the model card, twohand_jax/assets/open_prior/card.md. Noise ends
where samples start, in no signal at all; residual blocks see both hands' joints beside
their numbers. ``apart`` goes on from the first run's model for a little while, and
estimates that reach into the other hand cost more there: squared errors alone take
millimetres inside a hand for as good as millimetres outside. ``paper`` is InterHandGen
as it is trained (METHOD §5): its network and sizes, its linear noise, numbers divided
by their variance, the anchor hand denoised without condition; only its attention runs
over the tokens.
"""

from ml_collections import ConfigDict

MODELS = {
    "open": {"width": 512, "residual_blocks": 6, "geometry": True},
    "paper": {
        "embedding": 512,
        "hidden": 2056,
        "mlp": 2048,
        "heads": 4,
        "layers": 2,
        "blocks": 7,
        "attention": "tokens",
    },
}
NOISES = {
    "open": {"timesteps": 129, "schedule": "cosine", "hand": "open-hand-1"},
    "paper": {
        "timesteps": 129,
        "schedule": "linear",
        "beta_start": 1e-4,
        "beta_end": 1e-2,
        "normalise": "variance",
        "precondition": False,
        "hand": "open-hand-1",
    },
}
LOSSES = {
    "open": {"unconditional": 0.2, "weighting": "velocity"},
    "apart": {"unconditional": 0.2, "weighting": "velocity", "collision": 8e-4},
    "paper": {"branch": "anchor", "unconditional": 0.0},
}
OPTIONS = tuple(LOSSES)


def get_config(name: str = "open") -> ConfigDict:
    """The experiment; ``name`` is "open", "apart" or "paper"."""
    config = ConfigDict()
    config.experiment = "prior"
    config.model = MODELS["paper" if name == "paper" else "open"]
    config.diffusion = NOISES["paper" if name == "paper" else "open"]
    config.loss = LOSSES[name]
    config.optim = {
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": 500,
        "weight_decay": 1e-4,
        "clip_norm": 4.0,
        "ema_decay": 0.999,
    }
    config.train = {
        "total_steps": 40000,
        "batch_size": 256,
        "log_every": 100,
        "save_every": 1000,
        "evaluate_every": 2000,
        "best_metric": "conditional/mse",
    }
    config.data = {"train": "data/poses", "test": "data/poses"}
    if name == "apart":
        config.init = {"model": "workdirs/prior/model"}
        config.optim.update(learning_rate=1.5e-4, warmup_steps=100)
        config.train.update(total_steps=2000, save_every=500, evaluate_every=500)
    return config

"""Copy a trained model directory in half precision, as it ships with the package.

    python -m twohand_jax.pipelines.ship_model MODEL twohand_jax/assets/open_regressor

Statistics stay in single precision; the card beside the weights is left alone. Weights
of MediaPipe's network that were frozen are left out: they ship in a file of their own.
"""

import argparse
from pathlib import Path

from twohand_jax import experiments
from twohand_jax.models import apply
from twohand_jax.weights import native


def main() -> None:
    """Entry point of ``python -m``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="model directory")
    parser.add_argument("target", type=Path, help="model directory, made or replaced")
    args = parser.parse_args()
    config = native.load_config(args.source)
    experiment = experiments.parse(config)
    network = experiments.network(experiment)
    variables = native.load(args.source, apply.shapes(network))
    native.save(args.target, variables, config, dtype="float16", omit=experiment.frozen)
    size = (args.target / native.WEIGHTS).stat().st_size / 1e6
    print(f"Wrote {args.target}, weights {size:.1f} MB.")


if __name__ == "__main__":
    main()

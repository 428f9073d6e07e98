"""Copy a trained model directory in half precision, as it ships with the package.

    python -m data_pipelines.ship_model MODEL twohand_jax/assets/open_regressor

Statistics stay in single precision; the card beside the weights is left alone.
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
    network = experiments.network(experiments.parse(config))
    variables = native.load(args.source, apply.shapes(network))
    native.save(args.target, variables, config, dtype="float16")
    size = (args.target / native.WEIGHTS).stat().st_size / 1e6
    print(f"Wrote {args.target}, weights {size:.1f} MB.")


if __name__ == "__main__":
    main()

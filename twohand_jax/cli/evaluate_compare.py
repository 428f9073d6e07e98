"""``twohand evaluate --compare``: paired differences of two methods' figures."""

import argparse


def run(args: argparse.Namespace) -> None:
    """Print paired differences of figures, with intervals by bootstrap."""
    from twohand_jax.evaluation import bootstrap, outputs, results

    first, second = (results.load(path) for path in args.compare)
    found = bootstrap.difference(first, second)
    print(
        f"{args.compare[0]} minus {args.compare[1]}: {len(first):,} records, protocol "
        f"{first.protocol}\n\n{outputs.differences(found, first.protocol)}"
    )

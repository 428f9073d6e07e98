"""``twohand prior``: draw pairs of hands from a prior, and judge it."""

import argparse
from pathlib import Path
from typing import Any

from twohand_jax.cli import prior_refine


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser("prior", help="samples and figures of a prior")
    actions = parser.add_subparsers(dest="action", required=True)
    sample = actions.add_parser(
        "sample",
        help="draw pairs of hands",
        description="Draw pairs of hands. Writes poses.npz (MANO parameters, metres), "
        "pair_NN.glb and contact_sheet.png of the first 16.",
    )
    sample.add_argument("--n", type=int, default=16, help="pairs; 16 by default")
    sample.add_argument("--out", type=Path, required=True, help="output folder")
    sample.add_argument("--guided", action="store_true", help="steer out of collisions")
    sample.set_defaults(run=_sample)
    judge = actions.add_parser(
        "evaluate",
        help="figures against held-out pairs",
        description="Compare samples with held-out pairs, with half of these pairs "
        "among themselves (the best that can be reached) and with hands of different "
        "pairs (a model of single hands).",
    )
    judge.add_argument("--data", type=Path, required=True, help="pose or record set")
    judge.add_argument("--split", default="test")
    judge.add_argument("--n", type=int, default=1000, help="pairs of each set")
    judge.add_argument("--features", type=Path, metavar="DIR", help="feature network")
    judge.add_argument("--out", type=Path, help="folder for the table")
    judge.set_defaults(run=_evaluate)
    prior_refine.add(actions)
    for action in (sample, judge):
        action.add_argument("--seed", type=int, default=0)
    for action in actions.choices.values():
        action.add_argument("--prior", type=Path, metavar="DIR", help="the shipped one")


def _sample(args: argparse.Namespace) -> None:
    """Draw, write and name the files."""
    import jax

    from twohand_jax.cli import common
    from twohand_jax.diffusion.cascade import Collision, Walk
    from twohand_jax.inference import samples
    from twohand_jax.inference.prior import Prior

    common.enable_compilation_cache()
    prior = Prior.load(args.prior)
    walk = Walk(energy=Collision()) if args.guided else Walk()
    drawn = prior.sample(jax.random.key(args.seed), args.n, config=walk)
    for path in samples.write(args.out, prior.model, drawn):
        print(f"wrote {path}")


def _evaluate(args: argparse.Namespace) -> None:
    """Print the table and write it."""
    import jax

    from twohand_jax.cli import common
    from twohand_jax.data import poses
    from twohand_jax.evaluation import report
    from twohand_jax.evaluation.prior import pair_features, prior_table
    from twohand_jax.inference.prior import Prior

    common.enable_compilation_cache()
    prior, encoder = Prior.load(args.prior), pair_features.Encoder.load(args.features)
    data = poses.load(args.data, args.split)
    config = prior_table.TableConfig(pairs=args.n)
    key = jax.random.key(args.seed)
    rows = prior_table.table(prior, encoder, data, key, config=config)
    found = dict(common.progress(rows, unit="set"))
    name = args.prior or "The shipped prior"
    title = f"{name} against {args.data} ({args.split})"
    shown: Any = {"columns": prior_table.COLUMNS}
    print(f"{title}\n\n{report.markdown(found, **shown)}")
    if args.out is not None:
        for path in report.write(found, args.out, name="prior", title=title, **shown):
            print(f"wrote {path}")

"""``twohand prior``: draw pairs of hands from a prior, judge it, compare refinement."""

import argparse
import dataclasses
from typing import Any

from twohand_jax import arguments, paths
from twohand_jax.progress import Bar, say, show

SAMPLERS = ("default", "interhandgen")  # of diffusion.cascade.PRESETS


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "prior",
        help="samples and figures of a prior",
        examples=(
            "twohand prior sample --out samples",
            "twohand prior evaluate --data data/poses",
        ),
    )
    actions = parser.add_subparsers(dest="action", required=True)
    sample = actions.add_parser(
        "sample",
        help="draw pairs of hands",
        description="Draw pairs of hands. Writes poses.npz (MANO parameters, metres), "
        "pair_NN.glb and contact_sheet.png of the first 16.",
        examples=(
            "twohand prior sample --n 16 --out samples",
            "twohand prior sample --n 1000 --guided --seed 1 --out samples",
        ),
    )
    sample.add_argument(
        "--n", type=arguments.whole(1, 10**6), default=16, help="pairs; 16 by default"
    )
    sample.add_argument("--out", type=paths.given, required=True, help="output folder")
    sample.add_argument("--guided", action="store_true", help="steer out of collisions")
    sample.add_argument(
        "--preset",
        choices=SAMPLERS,
        default="default",
        help="interhandgen: its released sampler, guided as there",
    )
    text = "replace files that no earlier run made, too"
    sample.add_argument("--overwrite", action="store_true", help=text)
    sample.set_defaults(run=_sample)
    judge = actions.add_parser(
        "evaluate",
        help="figures against held-out pairs",
        description="Compare samples with held-out pairs, with half of these pairs "
        "among themselves (the best that can be reached) and with hands of different "
        "pairs (a model of single hands).",
        examples=(
            "twohand prior evaluate --data data/poses",
            "twohand prior evaluate --prior workdirs/prior/model --data data/poses \\\n"
            "      --n 500 --out results/prior",
        ),
    )
    judge.add_argument(
        "--data", type=paths.given, required=True, help="pose or record set"
    )
    judge.add_argument("--split", default="test")
    judge.add_argument(
        "--n", type=arguments.whole(1, 10**6), default=1000, help="pairs of each set"
    )
    judge.add_argument(
        "--features", type=paths.given, metavar="DIR", help="pair encoder"
    )
    judge.add_argument("--out", type=paths.given, help="folder for the table")
    judge.set_defaults(run=_evaluate)
    add_compare(actions)
    for action in (sample, judge):
        action.add_argument("--seed", type=arguments.seed, default=0)
    for action in actions.choices.values():
        action.add_argument(
            "--prior", type=paths.given, metavar="DIR", help="the shipped one"
        )


def _sample(args: argparse.Namespace) -> None:
    """Draw, write and name the files."""
    import jax

    from twohand_jax.cli import common
    from twohand_jax.diffusion.cascade import PRESETS, Collision
    from twohand_jax.inference import result
    from twohand_jax.inference.prior import Prior

    common.enable_compilation_cache()
    prior = Prior.load(args.prior)
    walk = PRESETS[args.preset]
    if args.guided and walk.energy is None:
        walk = dataclasses.replace(walk, energy=Collision())
    drawn = prior.sample(jax.random.key(args.seed), args.n, config=walk)
    for path in result.write_samples(
        args.out, prior.model, drawn, overwrite=args.overwrite
    ):
        say(f"wrote {path}")


def _evaluate(args: argparse.Namespace) -> None:
    """Print the table and write it."""
    import jax

    from twohand_jax.cli import common
    from twohand_jax.data import poses
    from twohand_jax.evaluation import outputs
    from twohand_jax.evaluation.prior import plausibility, prior_table
    from twohand_jax.inference.prior import Prior

    common.enable_compilation_cache()
    prior, encoder = (
        Prior.load(args.prior),
        plausibility.TrainedPairEncoder.load(args.features),
    )
    data = poses.load(args.data, args.split)
    config = prior_table.TableConfig(pairs=args.n)
    key = jax.random.key(args.seed)
    rows = prior_table.table(prior, encoder, data, key, config=config)
    found = dict(Bar(total=None, unit="set", delay_s=5.0).count(rows))
    name = args.prior or "The shipped prior"
    title = f"{name} against {args.data} ({args.split})"
    shown: Any = {"columns": prior_table.COLUMNS}
    show(f"{title}\n\n{outputs.markdown(found, **shown)}")
    if args.out is not None:
        for path in outputs.write_table(
            found, args.out, name="prior", title=title, **shown
        ):
            say(f"wrote {path}")


def add_compare(actions: Any) -> None:
    """The flags."""
    parser = actions.add_parser(
        "compare",
        help="estimates before and after refinement",
        description="What refinement does to a regressor's estimates of overlapping "
        "hands, to true pairs with one hand disturbed, and to hidden fingers: beside "
        "plain descent on the collision energy, a prior with random weights, and the "
        "paper's way.",
        examples=(
            "twohand prior compare --dataset data/open",
            "twohand prior compare --dataset data/open --pairs 100 --out results/prior",
        ),
    )
    option = parser.add_argument
    option(
        "--dataset", type=paths.given, required=True, metavar="DIR", help="of records"
    )
    option("--split", default="test")
    option("--model", type=paths.given, metavar="DIR", help="the shipped one")
    option("--mano", type=paths.given, help="folder or .npz of the hand model")
    option("--pairs", type=arguments.positive, default=500, help="how many hands")
    option(
        "--gate",
        choices=("auto", "always"),
        default="auto",
        help="refine what the gate lets through, or every pair",
    )
    option("--out", type=paths.given, help="folder for the tables")
    parser.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> None:
    """Print and write what refinement does to the estimates."""
    from twohand_jax import assets, experiments
    from twohand_jax.cli import common
    from twohand_jax.diffusion.gate import GateConfig
    from twohand_jax.evaluation import outputs
    from twohand_jax.evaluation.prior import (
        disturbances,
        pairs,
        plausibility,
        refinement,
    )
    from twohand_jax.experiments import data
    from twohand_jax.experiments.regressor import RegressorExperiment
    from twohand_jax.inference.prior import Prior
    from twohand_jax.inference.refinement import DEFAULT
    from twohand_jax.mano import load
    from twohand_jax.models import apply
    from twohand_jax.weights import native

    common.enable_compilation_cache()
    directory = args.model or assets.REGRESSOR
    experiment = experiments.parse_as(
        RegressorExperiment, native.load_config(directory)
    )
    network = experiments.network(experiment)
    variables = native.load(directory, apply.shapes(network))
    reader = data.reader(experiment, str(args.dataset), args.split, shuffle=False)
    model = load(args.mano)
    prior = Prior.load(args.prior, model=model)
    encoder = plausibility.TrainedPairEncoder.load(model=model)
    estimates = pairs.collect(
        network,
        variables,
        reader.once(),
        model,
        crop=experiment.crop,
        count=args.pairs,
    )
    title = (
        f"{len(estimates.keypoints)} pairs of overlapping hands of {args.dataset} "
        f"({args.split}), protocol wrist; errors and depths in mm, volumes in cm³"
    )
    show(title)
    config = dataclasses.replace(DEFAULT, gate=GateConfig(when=args.gate))
    compared = refinement.ways(prior, config)
    judged = {"estimates of the network": estimates}
    judged |= disturbances.cases(estimates, model)
    for name, one in judged.items():
        rows = refinement.table(compared, model, one, features=encoder)
        show(f"\n{name}\n\n{outputs.markdown(rows, columns=refinement.COLUMNS)}")
        if args.out is not None:
            for path in outputs.write_table(
                rows,
                args.out,
                name="refine-" + name.replace(",", "").replace(" ", "-"),
                title=f"{title}: {name}",
                columns=refinement.COLUMNS,
            ):
                say(f"wrote {path}")

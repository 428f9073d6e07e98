"""``twohand evaluate --table``: a table of the paper, published rows beside ours."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twohand_jax.cli import common

if TYPE_CHECKING:
    from twohand_jax.evaluation.results import Result
    from twohand_jax.evaluation.tables.filling import Job
    from twohand_jax.evaluation.tables.record_sets import Missing
    from twohand_jax.inference.prior import Prior
    from twohand_jax.types import ManoModel

RESULTS = Path("results")


def run(args: argparse.Namespace) -> None:
    """Say what is missing, evaluate the rest, print and write the table."""
    from twohand_jax import assets, mano
    from twohand_jax.evaluation import methods
    from twohand_jax.evaluation import run as evaluation
    from twohand_jax.evaluation.tables import filling, layout, needs, rendering
    from twohand_jax.evaluation.tables.record_sets import Missing
    from twohand_jax.train import distributed

    table = layout.get(args.table)
    hand = mano.load(args.mano)
    checkpoint = needs.read_checkpoint(args.model or assets.REGRESSOR)
    prior = _prior(args, hand)
    out = args.out or RESULTS
    subject = f"{checkpoint.name}, hand model {hand.name}"
    jobs = filling.plan(table, args.data, checkpoint=checkpoint, hand=hand, prior=prior)

    def evaluate(job: "Job") -> Sequence["Result"]:
        refine = None
        if not isinstance(prior, Missing) and methods.DIFFUSION in job.rows:
            refine = prior
        name = job.name if refine is None else f"{job.name}-refined"
        return evaluation.evaluate_set(
            checkpoint.directory,
            args.data / job.block.records.directory,
            job.block.records.split,
            job.protocol,
            hand=hand,
            refine=refine,
            out=out / name,
            batch_size=args.batch,
        ).results

    if distributed.is_first():
        common.say(f"{subject}: {rendering.outlook(jobs)}")
    sections = filling.fill(jobs, evaluate)
    if not distributed.is_first():
        return
    print(rendering.markdown(table, sections, subject=subject))
    for path in rendering.write(table, sections, out, subject=subject):
        print(f"wrote {path}")


def _prior(args: argparse.Namespace, hand: "ManoModel") -> "Prior | Missing":
    """The prior of the refined row, or why there is none."""
    from twohand_jax.errors import InputError
    from twohand_jax.evaluation.tables.record_sets import Missing
    from twohand_jax.inference.prior import Prior

    if not args.refine:
        return Missing("Refinement by the two-hand prior takes --refine.")
    try:
        return Prior.load(args.prior, model=hand)
    except InputError as error:
        return Missing(str(error))

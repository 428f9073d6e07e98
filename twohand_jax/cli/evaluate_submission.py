"""``twohand evaluate --submission``: estimates for a benchmark's server."""

import argparse

# Toolboxes of FreiHAND and HO-3D, db_size: pictures of their evaluation splits.
EXPECTED = {"freihand": "3,960", "ho3d": "11,524 (version 2) or 20,137 (version 3)"}


def run(args: argparse.Namespace) -> None:
    """Estimate every right hand of the split and write them in the server's format."""
    import jax

    from twohand_jax import assets, build, mano
    from twohand_jax.errors import InputError
    from twohand_jax.evaluation import submissions
    from twohand_jax.models import apply
    from twohand_jax.weights import native

    benchmark = args.protocol
    if benchmark not in EXPECTED:
        raise InputError(
            f"Protocol {benchmark!r} has no server to submit to; --submission goes "
            f"with --protocol {' or '.join(EXPECTED)}."
        )
    directory = args.model or assets.REGRESSOR
    experiment = build.experiment(native.load_config(directory))
    network = build.regressor(experiment.model)
    variables = native.load(directory, apply.shapes(network))
    reader = build.reader(experiment, str(args.dataset), args.split, shuffle=False)
    if reader.split.dataset != benchmark:
        raise InputError(
            f"{args.dataset} holds records of {reader.split.dataset}, which the "
            f"{benchmark} server does not take: give the test split of {benchmark}."
        )
    if benchmark == "ho3d" and args.list is None:
        raise InputError(
            "The HO-3D server expects the order of its evaluation.txt: give that file "
            "with --list."
        )
    if jax.process_count() > 1:
        raise InputError("A submission is one file: write it with one process.")
    names = submissions.image_ids(reader.rows())
    if benchmark == "ho3d":
        order = submissions.ho3d_order(args.list)
    else:
        order = submissions.freihand_order(list(names.values()))
    found = submissions.estimate(
        network,
        variables,
        reader.once(),
        names,
        mano.load(args.mano),
        crop=experiment.crop,
        benchmark=benchmark,
        relative=experiment.model.transnet is not None,
    )
    submissions.write(args.submission, found, order, benchmark=benchmark)
    print(
        f"wrote {args.submission}: {len(order):,} pictures; the server expects "
        f"{EXPECTED[benchmark]}, zipped"
    )

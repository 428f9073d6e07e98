"""Several models on the same records: one table, and paired differences."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twohand_jax.errors import InputError
from twohand_jax.evaluation import bootstrap, methods, run
from twohand_jax.evaluation.bootstrap import Difference
from twohand_jax.evaluation.outputs import ResultTable
from twohand_jax.evaluation.results import Result


def labels(directories: Sequence[Path]) -> list[str]:
    """Short names that tell model directories apart: the ends of their paths.

    Raises:
        InputError: a directory stands there twice.
    """
    paths = [directory.resolve() for directory in directories]
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise InputError(
                f"--model {directories[number]} is given twice; give each model once."
            )
    length = 1
    while len({path.parts[-length:] for path in paths}) < len(paths):
        length += 1
    found = ["-".join(path.parts[-length:]).replace("/", "") for path in paths]
    # Joined names may coincide where the paths do not.
    repeated = {name for name in found if found.count(name) > 1}
    return [
        f"{number}-{name}" if name in repeated else name
        for number, name in enumerate(found, start=1)
    ]


def evaluate_set(
    models: Mapping[str, Path],
    *records: str | Path,
    labels: bool = False,
    out: Path,
    **settings: Any,
) -> dict[str, list[Result]]:
    """Scores of several models; rows of each, by its label.

    Args:
        models: model directories by their labels (``labels``).
        records: directory of records, split and protocol, as for ``run.evaluate_set``.
        labels: whether the first model's rows start with the records' own fits.
        out: keeps each model's scores in a folder of its label.
        settings: the other arguments of ``run.evaluate_set``.
    """
    found: dict[str, list[Result]] = {}
    for label, directory in models.items():
        found[label] = run.evaluate_set(
            directory,
            *map(str, records),
            labels=labels and not found,
            out=out / label,
            **settings,
        ).results
    return found


def table(results: Mapping[str, Sequence[Result]], *, title: str) -> ResultTable:
    """The rows of all models, with paired differences.

    Args:
        results: rows of each model, by its label.
        title: what was evaluated.
    """
    return ResultTable(
        joined(results),
        title=title,
        rate=float("nan"),
        differences=differences(results),
    )


def joined(results: Mapping[str, Sequence[Result]]) -> list[Result]:
    """All rows of all models, each named after its model.

    Args:
        results: rows of each model, by its label.
    """
    found = []
    for label, rows in results.items():
        own = [one for one in rows if one.method != methods.LABELS]
        found += [one for one in rows if one.method == methods.LABELS]
        found += [
            dataclasses.replace(one, method=_row(label, one.method, len(own)))
            for one in own
        ]
    return found


def differences(
    results: Mapping[str, Sequence[Result]],
) -> dict[str, dict[str, Difference]]:
    """The last row of each further model minus that of the first, from paired draws.

    Args:
        results: rows of each model, by its label.

    Raises:
        InputError: the models were not evaluated on the same records.
    """
    (first, rows), *others = results.items()
    return {
        f"{label} minus {first}": bootstrap.difference(found[-1], rows[-1])
        for label, found in others
    }


def _row(label: str, method: str, count: int) -> str:
    return label if count == 1 else f"{label}: {method}"

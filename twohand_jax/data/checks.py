"""Records that cannot be used, found before they reach a loss."""

from collections.abc import Callable, Mapping

import numpy as np

from twohand_jax.data import schema
from twohand_jax.data.decode import RecordFields


def settle_labels(fields: RecordFields) -> dict[int, str]:
    """Find labels that count and are NaN or infinite, and zero those that don't count.

    Args:
        fields: parsed records with a leading batch axis; values whose validity flag is
            cleared and that are not finite become 0 in place, since NaN times a mask
            of 0 is NaN.

    Returns:
        A sentence for each row with a label that is marked valid and not finite.
    """
    problems: dict[int, str] = {}
    for feature in schema.FEATURES:
        if feature.flag is None:
            continue
        values = fields[feature.name]
        finite = np.isfinite(values)
        if finite.all():
            continue
        counts = fields[feature.flag].astype(bool)
        counts = counts.reshape(*counts.shape, *(1,) * (values.ndim - counts.ndim))
        for row in np.flatnonzero((counts & ~finite).reshape(len(values), -1).any(1)):
            problems.setdefault(
                int(row),
                f"its {feature.name!r} is marked valid by {feature.flag!r} and holds "
                "NaN or infinity",
            )
        values[~finite] = 0.0
    return problems


def leave_out(
    problems: Mapping[int, str],
    records: np.ndarray,
    usable: np.ndarray,
    report: Callable[[int, str], None],
) -> None:
    """Report problems by row with the records' numbers, and mark the rows in place.

    Args:
        problems: a sentence for each bad row.
        records: number of each row's record.
        usable: cleared for the bad rows, unless ``report`` raises.
        report: called with a record's number and the sentence.
    """
    for row, problem in problems.items():
        report(int(records[row]), problem)
        usable[row] = False


def check_versions(
    versions: np.ndarray,
    records: np.ndarray,
    usable: np.ndarray,
    describe: Callable[[int], str],
) -> None:
    """Refuse usable rows of another schema version; ``describe`` says where one lies.

    Raises:
        InputError: there is one: the whole set is another, so nothing is skipped.
    """
    for row in np.flatnonzero(usable & (versions != schema.SCHEMA_VERSION)):
        schema.check_version(int(versions[row]), where=describe(int(records[row])))

"""Figures of parts of a set: they are those of the records alone, and fit the whole."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.made_results import made
from twohand_jax.evaluation import breakdown, outputs
from twohand_jax.evaluation.breakdown import OCCLUSION, OVERLAP
from twohand_jax.types import Mean


def under(protocol, **options):
    """A made result under another protocol: MPJPE pooled, as mcp and hic have it."""
    result = made(**options)
    joints = result.scores.joints_mm
    known = np.isfinite(joints)
    pooled = Mean(np.where(known, joints, 0.0).sum((1, 2)), known.sum((1, 2)))
    metrics = result.scores.metrics | {"MPJPE": pooled}
    scores = result.scores._replace(metrics=metrics)
    return dataclasses.replace(result, protocol=protocol, scores=scores)


def pairs_only(result):
    """Only pictures of two hands count, as in mcp where all are pairs."""
    pairs = np.isfinite(result.scores.overlap)
    metrics = {
        name: Mean(
            *(
                np.where(np.expand_dims(pairs, tuple(range(1, p.ndim))), p, 0)
                for p in mean
            )
        )
        for name, mean in result.scores.metrics.items()
    }
    scores = result.scores._replace(metrics=metrics)
    return dataclasses.replace(result, scores=scores)


@pytest.mark.parametrize(
    ("bins", "values", "places"),
    [
        (
            OVERLAP,
            [0, 1e-6, 0.1, 0.1001, 0.3, 0.31, 1, np.nan],
            [0, 1, 1, 2, 2, 3, 3, -1],
        ),
        (OCCLUSION, [0, 1 / 21, 0.25, 0.26, 0.5, 0.51, 1], [0, 1, 1, 2, 2, 3, 3]),
    ],
)
def test_a_range_has_its_upper_end_and_not_its_lower_one(bins, values, places):
    assert bins.of(np.array(values)).tolist() == places
    assert len(bins.labels) == len(bins.edges) + 1


def test_every_part_has_the_figures_of_its_records_alone():
    result = made()
    overlap = result.scores.overlap
    (part,) = [
        part
        for part in breakdown.parts(result)
        if (part.by, part.name) == (OVERLAP.name, "0.1–0.3")
    ]
    alone = result.take((overlap > 0.1) & (overlap <= 0.3))
    assert part.records == len(alone) > 0
    for name, value in part.figures.items():
        assert value == alone.figures()[name]


@pytest.mark.parametrize("by", [OVERLAP.name, OCCLUSION.name, "subset"])
def test_parts_hold_every_record_once_and_average_to_the_whole(by):
    result = made(records=80)
    if by != "subset":
        result = result.take(np.isfinite(result.scores.overlap))
    whole, *others = breakdown.parts(result)
    found = [part for part in others if part.by == by]
    assert len(found) == 4
    assert sum(part.records for part in found) == whole.records == len(result)
    shares = [result.take(_rows(result, part)) for part in found]
    counts = [share.scores.metrics["MPVPE"].count.sum() for share in shares]
    mean = np.average([part.figures["MPVPE"] for part in found], weights=counts)
    assert mean == pytest.approx(whole.figures["MPVPE"], rel=1e-5)


def _rows(result, part):
    if part.by == "subset":
        return result.subset == part.name
    overlaps = part.by == OVERLAP.name
    bins = OVERLAP if overlaps else OCCLUSION
    values = result.scores.overlap if overlaps else result.scores.occluded.max(-1)
    return bins.of(values) == bins.labels.index(part.name)


def test_the_more_hidden_hand_decides():
    result = made()
    swapped = result.scores._replace(occluded=result.scores.occluded[:, ::-1])
    swapped = dataclasses.replace(result, scores=swapped)
    for one in (result, swapped):
        found = [part for part in breakdown.parts(one) if part.by == OCCLUSION.name]
        assert [part.name for part in found] == list(OCCLUSION.labels)
        assert [part.records for part in found] == [9, 9, 9, 18]


def test_figures_of_the_hands_average_to_the_whole_under_wrist():
    result = made()
    right, left = breakdown.by_hand(result)
    assert (right.name, left.name) == ("right", "left")
    assert (right.records, left.records) == (60, 45)
    joints = result.scores.metrics["MPJPE"]
    # single hands are right ones: two means of a right joint, one of a left joint
    whole = (2 * right.figures["MPJPE"] + left.figures["MPJPE"]) / 3
    assert whole == pytest.approx(result.figures()["MPJPE"], rel=1e-5)
    assert np.shape(joints.total)[-2:] == (2, 21)
    weights = (right.records, left.records)
    mean = np.average([p.figures["MPVPE"] for p in (right, left)], weights=weights)
    assert mean == pytest.approx(result.figures()["MPVPE"], rel=1e-5)


@pytest.mark.parametrize("protocol", ["mcp", "hic"])
def test_figures_of_the_hands_average_to_the_whole_where_joints_are_pooled(protocol):
    result = under(protocol)
    found = breakdown.by_hand(result)
    for name in ("MPJPE", "MPVPE"):
        mean = np.average(
            [part.figures[name] for part in found],
            weights=[part.records for part in found],
        )
        assert mean == pytest.approx(result.figures()[name], rel=1e-5)


def test_hands_that_the_protocol_does_not_count_are_in_no_part():
    result = pairs_only(under("mcp"))
    found = breakdown.parts(result)
    assert found[0].records == 45
    assert [part.records for part in found if part.by == "hand"] == [45, 45]
    assert {part.name for part in found if part.by == "subset"} == {
        *("apart", "clasped", "near")
    }
    assert np.isfinite(result.scores.joints_mm[3, 0]).all()
    assert np.isnan(breakdown.joint_errors(result)[3]).all()


@pytest.mark.parametrize("protocol", ["mcp_scaled", "freihand", "ho3d"])
def test_hands_are_left_out_where_their_errors_are_not_the_protocols(protocol):
    assert breakdown.by_hand(under(protocol)) == []


def test_joint_errors_are_of_right_hands_and_of_joints_in_the_picture_only():
    result = under("freihand")
    metrics = result.scores.metrics | {"PA-MPJPE": result.scores.metrics["MPJPE"]}
    result = dataclasses.replace(result, scores=result.scores._replace(metrics=metrics))
    errors = breakdown.joint_errors(result)
    np.testing.assert_array_equal(errors[:, 0], result.scores.joints_mm[:, 0])
    assert np.isnan(errors[:, 1]).all()
    result = made()
    result.scores.metrics["MPJPE"].count[0, :, 1, 7] = 0.0
    assert np.isnan(breakdown.joint_errors(result)[0, 1]).tolist() == [
        joint == 7 for joint in range(21)
    ]


def test_sets_without_pairs_have_neither_overlap_nor_occlusion_nor_hands():
    single = made().take(np.arange(3, 60, 4))
    assert {part.by for part in breakdown.parts(single)} == {"all", "subset"}


def test_rows_are_a_table_with_the_number_of_records():
    rows = breakdown.rows(breakdown.parts(made(records=2000)))
    assert "all (n = 2,000)" in rows
    assert "IoU of the hands: over 0.3 (n = 300)" in rows
    assert "hand: left (n = 1,500)" in rows
    assert not any(np.isnan(v) for row in rows.values() for v in row.values())
    lines = outputs.markdown(rows, columns=("MPJPE", "MPVPE")).splitlines()
    assert len(lines) == 2 + len(rows) and "nan" not in "".join(lines)

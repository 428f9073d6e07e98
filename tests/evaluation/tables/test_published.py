"""Published figures, and which of them stand beside ours in the paper's tables."""

import pytest

from twohand_jax.errors import InputError
from twohand_jax.evaluation import protocols
from twohand_jax.evaluation.tables import layout, published


def figure(rows, method: str, metric: str) -> float:
    (row,) = (row for row in rows if row.method == method)
    return row.figures[metric]


@pytest.mark.parametrize(
    ("rows", "method", "metric", "value"),
    [
        (published.INTERHAND, "the paper", "MPJPE", 5.41),
        (published.INTERHAND, "its successor", "MRRPE", 21.60),
        (published.INTERHAND, "IntagHand", "MPVPE", 10.29),
        (published.INTERHAND, "ACR", "MPJPE", 8.09),
        (published.INTERHAND, "ACR", "MPVPE/single", 7.01),
        (published.INTERHAND, "Moon et al. 2020", "MPJPE/interacting", 16.02),
        (published.INTERHAND, "Zhang et al. 2021", "MPJPE/single", 11.73),
        (published.INTERHAND, "Ren et al.", "MRRPE", 28.98),
        (published.HIC, "IntagHand", "MRRPE", 73.04),
        (published.HIC, "4DHands", "MPVPE", 9.93),
        (published.FREIHAND, "METRO", "PA-MPVPE", 6.8),
        (published.FREIHAND, "AMVUR", "PA-MPJPE", 6.2),
        (published.FREIHAND, "HaMeR", "PA-MPVPE", 5.7),
        (published.FREIHAND, "the paper", "PA-MPJPE", 5.1),
        (published.ABLATION, "baseline", "MPVPE-Z", 4.63),
        (published.ABLATION, "+ depth", "MPJPE-Z", 3.31),
    ],
)
def test_published_figures_are_those_of_the_method_document(
    rows, method, metric, value
):
    assert figure(rows, method, metric) == value


def test_the_ablation_ends_where_the_comparison_stands():
    last = published.ABLATION[-1].figures
    for name in published.TWO_HAND_COLUMNS:
        assert last[name] == figure(published.INTERHAND, "the paper", name)
    moon = published.INTERHAND[0].figures
    assert set(moon) == {"MPJPE", "MPJPE/interacting", "MPJPE/single"}


def test_published_rows_name_source_and_a_known_protocol():
    for table in layout.TABLES:
        for block in table.blocks:
            for row in block.published:
                assert row.source and row.dataset == block.records.dataset
                known = protocols.get(row.protocol).columns
                assert set(row.figures) <= set(known) & set(block.columns)
                assert row.protocol in block.protocols
    certain = {row.method for row in published.INTERHAND if row.certain}
    assert certain == {"IntagHand", "ACR"}


def test_what_is_shown_exists_in_the_protocol():
    for table in layout.TABLES:
        for block in table.blocks:
            for name in block.protocols:
                assert set(block.columns) <= set(protocols.get(name).columns)


def test_drawn_pictures_never_stand_beside_published_figures():
    for number in ("1", "4"):
        *_, drawn = layout.get(number).blocks
        assert drawn.records is layout.SYNTHETIC
        assert not drawn.published


def test_there_is_no_fifth_table():
    with pytest.raises(InputError, match="no table '5'; choose 1"):
        layout.get("5")

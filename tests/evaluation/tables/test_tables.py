"""The paper's tables: published figures, what is missing in words, and filling."""

import dataclasses
import json
import math
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.data.consistent import Consistent
from tests.evaluation.made_results import made
from twohand_jax import assets, mano
from twohand_jax.cli import main as cli
from twohand_jax.cli.parsing import Parser
from twohand_jax.errors import InputError
from twohand_jax.evaluation.tables import filling, layout, rendering
from twohand_jax.evaluation.tables.filling import Checkpoint
from twohand_jax.evaluation.tables.layout import Missing, Records
from twohand_jax.pipelines import datasets, writer
from twohand_jax.types import ManoModel

ROOT = Path(__file__).parents[3]
NO_PRIOR = Missing("There is no prior.")
ALL = ("keypoints", "segmentation", "depth")
FULL = Checkpoint(directory=Path("model"), cues=ALL, dropout=dict.fromkeys(ALL, 0.2))
SHIPPED = filling.read_checkpoint(assets.REGRESSOR)
BENCHMARK = layout.SYNTHETIC


@pytest.fixture(scope="module")
def hand() -> ManoModel:
    return mano.load()


@pytest.fixture(scope="module")
def licensed(hand: ManoModel) -> ManoModel:
    """A hand that calls itself MANO."""
    return dataclasses.replace(hand, name="mano")


@dataclasses.dataclass(frozen=True)
class Miniature(Consistent):
    """Two records with cues in the frozen benchmark's name."""

    name = BENCHMARK.dataset

    @property
    def shard_sizes(self) -> dict[str, tuple[int, ...]]:
        return {"test": (self.count,)}


@pytest.fixture(scope="module")
def data(tmp_path_factory, hand: ManoModel) -> Path:
    """A data root that holds the synthetic benchmark and nothing else."""
    root = tmp_path_factory.mktemp("data")
    source = Miniature(hand, count=2)
    writer.write(source, root / BENCHMARK.directory, workers=0, progress=False)
    return root


def plan(number: int, root: Path, hand: ManoModel, **options) -> list:
    given = {"checkpoint": FULL, "prior": NO_PRIOR} | options
    return filling.plan(layout.get(str(number)), root, hand=hand, **given)


def reasons(jobs: list) -> list[Missing]:
    return [one for job in jobs for why in job.missing.values() for one in why]


def results(job) -> list:
    """Made-up errors of all methods, in the job's name."""
    return [
        dataclasses.replace(made(method=row, records=8), protocol=job.protocol)
        for row in layout.ROWS
    ]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_without_records_every_row_says_what_to_get_and_to_run(number, tmp_path, hand):
    jobs = plan(number, tmp_path, hand)
    for job in jobs:
        for missing in job.missing.values():
            path = tmp_path / job.block.records.directory
            assert f"record set {job.block.records.dataset} at {path}" in (
                missing[0].reason
            )
            assert missing[0].commands[-1].split(" --out ")[1].startswith(str(path))
            if not job.block.records.drawn:
                assert "--mano" in missing[1].reason


def test_commands_that_are_named_are_commands(tmp_path, hand, licensed):
    strict = dataclasses.replace(FULL, dropout={})
    jobs = [
        job
        for number in (1, 2, 3, 4)
        for options in ({"checkpoint": SHIPPED}, {"checkpoint": strict})
        for model in (hand, licensed)
        for job in plan(number, tmp_path / "a folder", model, **options)
    ]
    commands = {command for one in reasons(jobs) for command in one.commands}
    assert len(commands) > 8
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "twohand"
        args = cli.parser().parse_args(words)
        if words[:2] == ["data", "build"] and args.dataset in datasets.CONVERTED:
            parser = datasets.get(args.dataset).parser(Parser)
            assert parser.parse_args(args.options).source
        if args.command == "train":
            path, _, variant = str(args.config).partition(":")
            config = runpy.run_path(str(ROOT / path))["get_config"]
            config(*[variant] * bool(variant))


def test_the_shipped_model_is_no_model_of_mano(tmp_path, hand, licensed):
    for loaded in (hand, licensed):
        (job,) = plan(2, tmp_path, loaded, checkpoint=SHIPPED)
        text = " ".join(one.reason for one in job.missing["image"])
        assert "shipped model estimates the hand model 'open-hand-1'" in text
        assert ("'open-hand-1' is loaded: give its files" in text) is (loaded is hand)


def test_the_benchmark_is_filled_by_a_model_of_the_open_hand(data, hand, licensed):
    *_, job = plan(4, data, hand, checkpoint=SHIPPED)
    assert job.rows == layout.CUE_ROWS
    assert job.missing["+ diffusion"] == (NO_PRIOR,)
    *_, job = plan(4, data, licensed)
    assert job.rows == ()
    assert "without --mano" in job.missing["image"][0].reason


def test_records_are_looked_at(data):
    found = layout.find(BENCHMARK, data)
    assert isinstance(found, Records)
    assert found.hand_models == {"open-hand-1"}
    assert found.cues == ALL


def test_records_of_another_set_or_split_are_not_taken(data):
    wrong = dataclasses.replace(layout.HIC, directory=BENCHMARK.directory)
    found = layout.find(wrong, data)
    assert "'synthetic_benchmark' where 'hic' belongs" in found.reason
    absent = dataclasses.replace(BENCHMARK, split="val")
    assert "no split 'val'" in layout.find(absent, data).reason


@pytest.mark.parametrize(
    ("cues", "dropout", "filled", "reason"),
    [
        (ALL, dict.fromkeys(ALL, 0.1), layout.CUE_ROWS, None),
        ((), {}, ("image",), "no encoder of the key"),
        (("keypoints",), {}, ("+ keypoints",), "never trained with"),
        (ALL, {}, ("+ depth",), "paper.py:segmentation"),
        (ALL, dict.fromkeys(ALL[1:], 0.5), layout.CUE_ROWS[1:], "paper.py:baseline"),
    ],
)
def test_a_checkpoint_fills_the_rows_it_was_trained_for(cues, dropout, filled, reason):
    checkpoint = dataclasses.replace(FULL, cues=cues, dropout=dropout)
    found = Records(path=Path("d"), hand_models=frozenset(), cues=ALL)
    missing = {
        row: filling.row_needs(row, checkpoint, layout.HIC, found, NO_PRIOR)
        for row in layout.ROWS
    }
    assert tuple(row for row, why in missing.items() if not why) == filled
    text = str([why for why in missing.values() if why])
    assert reason is None or reason in text


def test_cues_that_records_lack_are_to_be_extracted():
    found = Records(path=Path("data/hic"), hand_models=frozenset(), cues=("keypoints",))
    missing = [
        filling.row_needs(row, FULL, layout.HIC, found, NO_PRIOR) for row in layout.ROWS
    ]
    assert missing[:2] == [(), ()]
    assert "no segmentation cue" in missing[2][0].reason
    assert missing[2] == missing[3] == missing[4][:1]
    assert "data cues data/hic_plain --out data/hic" in missing[2][0].commands[0]


def test_filled_rows_are_the_results_and_lie_in_their_intervals(data, hand):
    sections = filling.fill(plan(1, data, hand), results)
    assert [part.protocol for part in sections] == ["mcp", "wrist", "wrist"]
    assert sections[0].rows[-1].missing and not sections[1].rows[0].figures
    rows = {row.method: row for row in sections[-1].rows}
    expected = made(method="image", records=8).figures()
    assert rows["image"].figures == {
        name: expected[name] for name in ("MPJPE", "MPVPE")
    }
    for name, (low, high) in rows["image"].intervals.items():
        assert low <= rows["image"].figures[name] <= high
        assert low < high
    assert rows["image"].records == 8
    assert rows["+ diffusion"].missing == (NO_PRIOR,)


def test_an_evaluation_that_does_not_fit_is_told_in_its_rows(data, hand, tmp_path):
    jobs = plan(4, data, hand)
    ready = dataclasses.replace(jobs[0], missing={"image": ()})

    def evaluate(job) -> list:
        if job is ready:
            raise InputError("The split holds none.")
        return results(job)

    first, last = filling.fill([ready, jobs[-1]], evaluate)
    assert first.rows[-1].missing == (Missing("The split holds none."),)
    assert last.rows[0].figures
    with pytest.raises(InputError, match="holds none"):
        filling.fill([ready], evaluate)
    assert filling.fill(jobs[:1], evaluate)[0].rows[-1].missing


def test_the_wrist_protocol_is_of_what_people_annotated():
    whole = made(records=8)
    marked = dataclasses.replace(whole, subset=np.array(["H", "M"] * 4))
    block = layout.get("1").blocks[0]

    def filled(result, protocol: str) -> filling.TableRow:
        job = filling.SectionJob(block=block, protocol=protocol, missing={"a": ()})
        found = [dataclasses.replace(result, protocol=protocol)]
        *_, row = filling.fill([job], lambda job: found)[0].rows
        return row

    half = filled(marked, "wrist")
    assert (half.records, half.subset) == (4, "H")
    expected = whole.take(np.arange(0, 8, 2)).figures()
    assert half.figures["MPVPE"] == expected["MPVPE"] != whole.figures()["MPVPE"]
    for other in (filled(marked, "mcp"), filled(whole, "wrist")):
        assert (other.records, other.subset) == (8, "")


def test_figures_that_are_none_are_left_out():
    lonely = made(records=4).take(np.array([3]))
    (row,) = filling.fill(
        [
            filling.SectionJob(
                block=layout.get("1").blocks[0], protocol="wrist", missing={"a": ()}
            )
        ],
        lambda job: [lonely],
    )[0].rows
    assert set(row.figures) <= {"MPVPE", "MPJPE"} and row.intervals == {}
    assert all(map(math.isfinite, row.figures.values()))


def cells(text: str) -> list[list[str]]:
    """The rows of all grids in a Markdown text."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] != "method" and set(row[0]) != {"-"}]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_markdown_and_json_agree(number, data, hand, tmp_path):
    table = layout.get(str(number))
    sections = filling.fill(plan(number, data, hand), results)
    paths = rendering.write(table, sections, tmp_path, subject="a model")
    text, found = paths[0].read_text(), json.loads(paths[1].read_text())
    assert text == rendering.markdown(table, sections, subject="a model")
    shown = cells(text)
    rows = [(part, row) for part in found["sections"] for row in part["rows"]]
    assert len(shown) == len(rows)
    for line, (part, row) in zip(shown, rows, strict=True):
        ours = row["by"] == "this model"
        assert line[0] == ("ours: " if ours else "") + row["method"]
        assert (
            line[1]
            == ("" if row["protocol_certain"] else "probably ") + row["protocol"]
        )
        assert ("source" in row) is not ours
        assert ("missing" in row) == line[-1].startswith("not filled")
        for name, cell in zip(part["columns"], line[2:-1], strict=True):
            value = row.get("figures", {}).get(name)
            assert (cell == rendering.ABSENT) == (value is None)
            if value is not None:
                assert float(cell.split()[0]) == pytest.approx(value, abs=0.0051)
            if value is not None and ours:
                low, high = row["intervals_95"][name]
                assert cell.endswith(f"[{low:.2f}, {high:.2f}]")
    texts = {one["reason"] for _, row in rows for one in row.get("missing", [])}
    assert all(text.count(reason) == 1 for reason in texts)
    sources = {row["source"] for _, row in rows if "source" in row}
    assert all(text.count(source) == 1 for source in sources)

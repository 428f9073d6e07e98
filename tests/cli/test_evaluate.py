"""``twohand evaluate`` on miniatures: tables, submissions, and what it refuses."""

import contextlib
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.evaluation.made_results import made
from twohand_jax.cli import main as cli
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.evaluation import evaluator, methods, results, submissions
from twohand_jax.evaluation.protocols import PROTOCOLS
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.freihand import dataset as freihand
from twohand_jax.pipelines.freihand import fixture as freihand_fixture
from twohand_jax.pipelines.ho3d import dataset as ho3d
from twohand_jax.pipelines.ho3d import fixture as ho3d_fixture
from twohand_jax.pipelines.labelled import LabelledSource, ShardConfig
from twohand_jax.pipelines.own import fixture as own_fixture
from twohand_jax.pipelines.own.dataset import Own
from twohand_jax.types import RIGHT


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    """FreiHAND's evaluation split in miniature."""
    root = tmp_path_factory.mktemp("freihand")
    freihand_fixture.write(root / "source", count=4)
    source = LabelledSource(
        freihand.FreiHand(root / "source"), ShardConfig(splits=("test",))
    )
    writer.write(source, root / "records", workers=0, progress=False)
    return root / "records"


@pytest.fixture(scope="module")
def ho3d_records(tmp_path_factory) -> Path:
    """HO-3D's evaluation split in miniature; its source lies beside it."""
    root = tmp_path_factory.mktemp("ho3d")
    ho3d_fixture.write(root / "source", count=4)
    source = LabelledSource(ho3d.Ho3d(root / "source"), ShardConfig(splits=("test",)))
    writer.write(source, root / "records", workers=0, progress=False)
    return root / "records"


@pytest.fixture
def quick_to_compile():
    """Programs that run once for three pictures are not worth optimising."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def evaluate(checkpoint, records, quick_to_compile):
    def run(*words: object) -> int:
        given = ["--model", checkpoint, "--dataset", records, "--worst", "0", *words]
        return cli.main(["evaluate", *map(str, given)])

    return run


@pytest.mark.slow
def test_a_table_by_the_official_protocol(evaluate, tmp_path, capsys):
    assert evaluate("--protocol", "freihand", "--out", tmp_path, "--worst", 8) == 0
    rows = json.loads((tmp_path / "freihand.json").read_text())["rows"]
    columns = PROTOCOLS["freihand"].columns
    assert set(columns) == set(rows["+ depth"])
    assert np.isfinite([row[name] for row in rows.values() for name in columns]).all()
    assert "PA-MPJPE | PA-MPVPE |" in capsys.readouterr().out
    page = (tmp_path / "freihand.html").read_text()
    records = json.loads((tmp_path / "freihand.json").read_text())["records"]
    assert page.count("<figure") == records  # the estimate drawn over each
    assert all(name in page for name in rows)


@pytest.mark.slow
def test_the_labels_have_no_error_of_their_own(evaluate, tmp_path):
    words = ("--protocol", "freihand", "--labels", "--out", tmp_path)
    assert evaluate(*words) == 0
    found = json.loads((tmp_path / "freihand.json").read_text())
    first, *others = found["rows"]
    assert first == "labels" and others[-1] == "+ depth"
    row = found["rows"][first]
    assert row["found %"] == 100 and row["PA-MPVPE"] < 1e-2 and row["F@5"] == 1
    assert (tmp_path / "samples" / "labels.npz").exists()


@pytest.mark.slow
def test_labels_without_fits_are_none_found(evaluate, tmp_path, monkeypatch, capsys):
    labels = methods.labels

    def without_fits(model):
        def method(batch):
            estimate = labels(model)(batch)
            return estimate._replace(score=0.0 * estimate.score)

        return method

    monkeypatch.setattr(methods, "labels", without_fits)
    words = ("--protocol", "freihand", "--labels", "--no-plots", "--out", tmp_path)
    assert evaluate(*words) == 0
    rows = json.loads((tmp_path / "freihand.json").read_text())["rows"]
    assert rows["labels"]["found %"] == 0 and rows["labels"]["PA-MPVPE"] is None
    assert np.isfinite(rows["+ depth"]["PA-MPVPE"])
    assert "nan" not in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_there_is_not_computed_again(evaluate, tmp_path, capsys, monkeypatch):
    words = ("--protocol", "freihand", "--out", tmp_path / "out", "--no-plots")
    assert evaluate(*words) == 0
    first = json.loads((tmp_path / "out" / "freihand.json").read_text())
    monkeypatch.setattr(evaluator, "scored", None)
    assert evaluate(*words) == 0
    again = json.loads((tmp_path / "out" / "freihand.json").read_text())
    assert again == first | {"images_per_second": None}
    assert evaluate("--batch", 2, *words) == 2
    assert "another evaluation (batch_size differs)" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_evaluation_goes_on(evaluate, tmp_path, monkeypatch):
    words = ("--protocol", "freihand", "--batch", 1, "--no-plots", "--out")
    monkeypatch.setattr(evaluator, "BATCHES", 1)
    scored = evaluator.scored

    def interrupted(methods, score, batches, model, **options):
        parts = scored(methods, score, batches, model, **options)
        yield next(parts)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluator, "scored", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        evaluate(*words, tmp_path / "stopped")
    assert len(list((tmp_path / "stopped" / "parts").rglob("*.npz"))) == 1
    seen = []

    def counted(methods, score, batches, model, **options):
        for part in scored(methods, score, batches, model, **options):
            seen.append(part)
            yield part

    monkeypatch.setattr(evaluator, "scored", counted)
    assert evaluate(*words, tmp_path / "stopped") == 0
    assert evaluate(*words, tmp_path / "whole") == 0
    assert len(seen) == 1 + 2
    for name in ("image", "depth"):
        one, other = (
            results.load(tmp_path / way / "samples" / f"{name}.npz")
            for way in ("stopped", "whole")
        )
        jax.tree.map(np.testing.assert_array_equal, one.scores, other.scores)
        assert one.image_id.tolist() == other.image_id.tolist()
        assert one.image_id[0].startswith("evaluation/")


def test_two_methods_are_compared_in_pairs(tmp_path, capsys):
    paths = [tmp_path / f"{name}.npz" for name in ("first", "second")]
    for path, scale in zip(paths, (1.5, 1.0), strict=True):
        results.save(path, made(method=path.stem, records=40, scale=scale))
    assert cli.main(["evaluate", "--compare", *map(str, paths)]) == 0
    said = capsys.readouterr().out
    assert "40 records, protocol wrist" in said and "| MPJPE " in said
    paths[1].write_bytes(b"PK")
    assert cli.main(["evaluate", "--compare", *map(str, paths)]) == 2
    assert "second.npz cannot be read as results" in capsys.readouterr().err


@pytest.mark.slow
def test_a_submission_to_freihand_is_in_the_order_of_numbers(
    evaluate, tmp_path, capsys, monkeypatch
):
    def estimate(network, variables, batches, image_ids, model, **options):
        assert options["benchmark"] == "freihand"
        names = tuple(image_ids.values())
        number = np.array([int(name[-8:]) for name in names], np.float32)
        rows = number[:, None, None]
        return submissions.Estimates(
            names, rows + np.zeros((21, 3)), rows + np.zeros((778, 3))
        )

    monkeypatch.setattr(submissions, "estimate", estimate)
    path = tmp_path / "pred.json"
    assert evaluate("--protocol", "freihand", "--submission", path) == 0
    joints, vertices = map(np.array, json.loads(path.read_text()))
    assert joints.shape == (2, 21, 3) and vertices.shape == (2, 778, 3)
    assert joints[:, 0, 0].tolist() == vertices[:, 0, 0].tolist() == [0, 1]
    assert "2 pictures; the server expects 3,960" in capsys.readouterr().out


@pytest.mark.slow
def test_a_submission_to_ho3d_has_the_given_wrists(evaluate, ho3d_records, tmp_path):
    words = ("--dataset", ho3d_records, "--protocol", "ho3d")
    listing = ho3d_records.parent / "source" / "evaluation.txt"
    path = tmp_path / "pred.json"
    assert evaluate(*words, "--submission", path, "--list", listing) == 0
    joints, vertices = map(np.array, json.loads(path.read_text()))
    split = ReaderConfig(directory=str(ho3d_records), split="test", shuffle=False)
    (rows,) = Reader(split).rows()
    names = [name.decode() for name in rows.fields["image_id"][rows.usable]]
    order = [names.index(f"evaluation/{name}") for name in listing.read_text().split()]
    wrists = rows.fields["hands/joints_3d"][rows.usable][order, RIGHT, 0]
    np.testing.assert_allclose(joints[:, 0], wrists * [1, -1, -1], atol=2e-6)
    assert vertices.shape == (2, 778, 3) and (vertices[..., 2] < 0).all()


def test_ho3d_keeps_the_labels_of_its_evaluation_split(evaluate, ho3d_records, capsys):
    words = ("--dataset", ho3d_records, "--protocol", "ho3d")
    assert evaluate(*words) == 2
    assert "--submission" in capsys.readouterr().err
    assert evaluate(*words, "--submission", "x") == 2
    assert "evaluation.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--protocol", "pck"), "no protocol 'pck'"),
        (("--split", "train"), "no split 'train'"),
        (("--labels", "--peer", "mediapipe"), "--labels adds a row to our own"),
        (("--labels", "--table", "1"), "--labels adds a row to our own"),
        (("--protocol", "wrist", "--submission", "x"), "no server to submit to"),
        (("--protocol", "ho3d", "--submission", "x"), "does not take"),
    ],
)
def test_what_does_not_fit_is_one_sentence(evaluate, words, message, capsys):
    assert evaluate(*words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("twohand evaluate: ") and message in line


@pytest.mark.slow
def test_photographs_of_several_sets(tmp_path, checkpoint, capsys):
    sets = []
    for name in ("first", "second"):
        own_fixture.write(tmp_path / name / "source", count=2)
        source = LabelledSource(
            Own(tmp_path / name / "source" / "labels.json"),
            ShardConfig(splits=("test",)),
        )
        writer.write(source, tmp_path / name / "set", workers=0, progress=False)
        sets.append((tmp_path / name / "set").rename(tmp_path / f"{name}-set"))
    words = ["evaluate", "--model", checkpoint, "--photographs", *sets]
    words += ["--pictures", 1, "--no-plots", "--out", tmp_path / "out"]
    assert cli.main([str(word) for word in words]) == 0
    said = capsys.readouterr().out
    assert said.count("boxes given: 1 records, protocol photographs") == 2
    assert "sequence are much alike" in said and "| + fit " in said
    folder = tmp_path / "out" / "second-set-test-boxes-given"
    found = json.loads((folder / "photographs.json").read_text())
    assert list(found["rows"])[:3] == ["MediaPipe", "network", "+ fit"]
    assert found["rows"]["network"]["hands"] == 2.0 and "alike" in found["note"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--found"], "go with --photographs"),
        (["--pictures", "3"], "go with --photographs"),
        (["--photographs", "none", "--dataset", "none"], "leave out --dataset"),
        (["--photographs", "none", "--labels"], "--labels adds a row"),
        (["--photographs", "none", "--pictures", "0"], "must be at least 1"),
        (["--photographs", "none"], "none"),
    ],
)
def test_photographs_that_make_no_sense(words, message, checkpoint, capsys):
    assert cli.main(["evaluate", "--model", str(checkpoint), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_models_are_compared_side_by_side(evaluate, checkpoint, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    with np.load(other / "weights.npz") as file:
        arrays = {name: 1.02 * file[name] for name in file.files}
    np.savez(other / "weights.npz", **arrays)
    out = tmp_path / "out"
    words = ("--model", other, "--protocol", "freihand", "--no-plots", "--out", out)
    assert evaluate(*words) == 0
    found = json.loads((out / "freihand.json").read_text())
    what = f"other minus {checkpoint.name}"
    paired = found["differences"][what]["PA-MPJPE"]
    mine, theirs = (
        found["rows"][f"{name}: + depth"]["PA-MPJPE"]
        for name in ("other", checkpoint.name)
    )
    assert paired["value"] == pytest.approx(mine - theirs, abs=1e-5) != 0
    assert what in capsys.readouterr().out
    assert (out / "other" / "samples" / "depth.npz").exists()


@pytest.mark.parametrize(
    "words", [("--table", 1), ("--peer", "mediapipe"), ("--submission", "x")], ids=str
)
def test_several_models_need_a_record_set(evaluate, words, tmp_path, capsys):
    assert evaluate("--model", tmp_path, *words) == 2
    assert "Several --model are compared on" in capsys.readouterr().err

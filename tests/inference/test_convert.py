"""Conversions, posed by smplx as the other system does, give the same hands."""

import csv
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.inference.people import people
from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.cli import main as cli
from twohand_jax.inference import conventions, convert, result_file
from twohand_jax.mano import loading
from twohand_jax.mano.joints import CANONICAL_FROM_MODEL, FINGERTIPS
from twohand_jax.types import SIDES

torch = pytest.importorskip("torch")
smplx = pytest.importorskip("smplx")

TOLERANCE = 1e-5  # 0.01 mm
MIRROR = [-1.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """A random hand model whose left hand mirrors the right one, ours and smplx's."""
    right = fake_mano.random_fields(11)
    left = loading.mirrored(right)
    ours, theirs = (tmp_path_factory.mktemp(name) for name in ("ours", "smplx"))
    fake_mano.write_official(ours, right, left)
    fake_mano.write_plain(theirs, right, left)
    return ours, theirs


@pytest.fixture(scope="module")
def model(folders):
    return mano.load(folders[0])


@pytest.fixture(scope="module")
def results(tmp_path_factory, model) -> Path:
    """Result files of two photographs, three people each, and a file that is none."""
    folder = tmp_path_factory.mktemp("results")
    for number, name in enumerate(("a", "b")):
        content = result_file.to_json(
            people(model, number),
            result_file.PictureInfo(f"{name}.jpg", 480, 640),
            model=model.name,
            refined=[False] * 3,
            penetration=[None] * 3,
        )
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "boxes.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def truth(model) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of all six people, and which hands there are."""
    both = [people(model, number) for number in (0, 1)]
    vertices = [np.asarray(one.geometry.vertices) for one in both]
    return np.concatenate(vertices), np.concatenate([one.score for one in both]) > 0


@pytest.fixture
def arrays(results, folders, tmp_path, capsys):
    """The arrays that the command writes."""

    def run(*words: str) -> dict[str, np.ndarray]:
        out = tmp_path / "all.npz"
        given = ["convert", str(results), "--out", str(out), "--mano", str(folders[0])]
        assert cli.main([*given, *words]) == 0
        told = capsys.readouterr().out
        assert "8 hands of 2 pictures" in told and "boxes.json" in told
        with np.load(out) as file:
            return dict(file)

    return run


def module(folders, side: int, *, flat: bool = False):
    path = folders[1] / f"MANO_{SIDES[side].upper()}.pkl"
    return smplx.MANO(str(path), is_rhand=side == 0, use_pca=False, flat_hand_mean=flat)


def posed(hand, *, transl=None, **values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of smplx for a batch."""
    given = {name: torch.tensor(value) for name, value in values.items()}
    place = (
        np.zeros((len(values["betas"]), 3), np.float32) if transl is None else transl
    )
    with torch.no_grad():
        out = hand(**given, transl=torch.tensor(place))
    return out.vertices.numpy(), out.joints.numpy()


@pytest.mark.parametrize("form", [(), ("--flat",), ("--mirror-left",)], ids=str)
@pytest.mark.slow
def test_smplx(arrays, folders, truth, form) -> None:
    found = arrays("--convention", "smplx", *form)
    vertices, there = truth
    for side, name in enumerate(SIDES):
        present = found[f"{name}_present"]
        np.testing.assert_array_equal(present, there[:, side])
        mirrored = side == 1 and "--mirror-left" in form
        hand = module(folders, 0 if mirrored else side, flat="--flat" in form)
        fields = ("global_orient", "hand_pose", "betas")
        values = {field: found[f"{name}_{field}"][present] for field in fields}
        transl, wrist = (found[f"{name}_{f}"][present] for f in ("transl", "wrist"))
        expected = vertices[present, side] * (MIRROR if mirrored else 1.0)
        surface, _ = posed(hand, transl=transl, **values)
        np.testing.assert_allclose(surface, expected, atol=TOLERANCE)
        surface, joints = posed(hand, **values)
        about_wrist = surface - joints[:, :1] + wrist[:, None]
        np.testing.assert_allclose(about_wrist, expected, atol=TOLERANCE)


@pytest.mark.slow
def test_hamer(arrays, folders, truth) -> None:
    """As its demo: MANOLayer of the right hand, left hands mirrored afterwards."""
    found = arrays("--convention", "hamer")
    layer = smplx.MANOLayer(str(folders[1] / "MANO_RIGHT.pkl"), use_pca=False)
    given = {
        name: torch.tensor(found[name])
        for name in ("global_orient", "hand_pose", "betas")
    }
    with torch.no_grad():
        out = layer(**given)
    vertices = out.vertices.numpy()
    np.testing.assert_allclose(found["pred_vertices"], vertices, atol=TOLERANCE)
    tips = out.vertices[:, list(FINGERTIPS["smplx"])]
    joints = torch.cat([out.joints, tips], dim=1)[:, CANONICAL_FROM_MODEL].numpy()
    np.testing.assert_allclose(found["pred_keypoints_3d"], joints, atol=TOLERANCE)
    vertices[..., 0] *= (2 * found["right"] - 1)[:, None]
    placed = vertices + found["pred_cam_t_full"][:, None]
    expected, there = truth
    np.testing.assert_allclose(placed, expected[there], atol=TOLERANCE)
    assert found["image"].tolist() == ["a.jpg"] * 4 + ["b.jpg"] * 4


def test_interwild(arrays, folders, truth) -> None:
    """As its get_coord: roots are what the joint regressor finds in the mesh."""
    found = arrays("--convention", "interwild")
    vertices, there = truth
    for side, prefix in enumerate("rl"):
        hand, present = module(folders, side), there[:, side]
        surface, _ = posed(
            hand,
            global_orient=found[f"{prefix}mano_root_pose"][present],
            hand_pose=found[f"{prefix}mano_hand_pose"][present],
            betas=found[f"{prefix}mano_shape"][present],
        )
        root = np.einsum("v,nvk->nk", hand.J_regressor[0].numpy(), surface)[:, None]
        mesh = found[f"{prefix}mano_mesh_cam"][present]
        np.testing.assert_allclose(mesh, surface - root, atol=TOLERANCE)
        assert np.isnan(found[f"{prefix}mano_mesh_cam"][~present]).all()
    both = there.all(axis=1)
    right = found["rroot_cam"][both, None]
    left = found["lmano_mesh_cam"][both] + right + found["rel_trans"][both, None]
    np.testing.assert_allclose(left, vertices[both, 1], atol=TOLERANCE)


def test_left_hands_that_mirror_nothing_are_told_of(results, tmp_path) -> None:
    other = fake_mano.random_model(3)
    prediction = people(other)
    rows = jax.tree.map(np.asarray, prediction)
    content = result_file.to_json(
        rows,
        result_file.PictureInfo("a.jpg", 480, 640),
        model=other.name,
        refined=[False] * 3,
        penetration=[None] * 3,
    )
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    loaded = convert.load([path], other)
    (note,) = convert.write(tmp_path / "a.npz", loaded, other, convention="hamer")
    assert "off by up to" in note
    arrays = conventions.hamer(loaded, other)
    assert conventions.mirror_error(loaded, arrays) > 0.01


def test_csv_has_a_row_a_hand(results, folders, tmp_path, model) -> None:
    out = tmp_path / "all.csv"
    words = ["convert", str(results), "--out", str(out), "--mano", str(folders[0])]
    assert cli.main(words) == 0
    rows = list(csv.DictReader(out.open()))
    assert [row["side"] for row in rows] == ["right", "left", "right", "left"] * 2
    assert rows[0]["frame"] == "" and rows[2]["person"] == "1"
    one = people(model)
    for row, person, side in zip(rows, (0, 0, 1, 2), (0, 1, 0, 1), strict=False):
        pinky = [float(row[f"hand_pose_pinky_2_{axis}"]) for axis in "xyz"]
        expected = one.mano.hand_pose[person, side, 7]
        np.testing.assert_allclose(pinky, expected, atol=1e-5)
        tip = [float(row[f"joints_cam_thumb_4_{axis}"]) for axis in "xyz"]
        joints = one.geometry.joints[person, side]
        np.testing.assert_allclose(tip, joints[4], atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "a.xlsx"], "--out must end in .npz or .csv"),
        (["--out", "a.csv", "--convention", "hamer"], "written as NPZ"),
        (["--out", "a.npz", "--flat"], "forms of --convention smplx"),
        (["--out", "a.npz"], "is of the hand model 'mano', not 'open-hand-1'"),
    ],
    ids=str,
)
def test_refusals(results, tmp_path, words, message, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["convert", str(results), *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_not_replaced(results, tmp_path, capsys) -> None:
    (tmp_path / "a.npz").write_text("mine")
    assert cli.main(["convert", str(results), "--out", str(tmp_path / "a.npz")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "a.npz").read_text() == "mine"
    assert cli.main(["convert", str(tmp_path), "--out", str(tmp_path / "b.npz")]) == 2
    assert "holds no result" in capsys.readouterr().err

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data_pipelines import agreement
from twohand_jax import mano
from twohand_jax.data import decode
from twohand_jax.errors import InputError
from twohand_jax.mano.joint_set import POSED
from twohand_jax.pipelines.fixtures.scenes import scenes
from twohand_jax.pipelines.hic import fixture
from twohand_jax.pipelines.hic.dataset import MAX_BYTES, Hic, read_vertices
from twohand_jax.types import LEFT, RIGHT


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hic")
    fixture.write(root, count=3)
    return root


@pytest.fixture
def damaged(miniature, tmp_path) -> Path:
    return shutil.copytree(miniature, tmp_path / "copy")


def edit(root: Path, kind: str, **values) -> None:
    """Change the first image or annotation."""
    content = json.loads((root / "HIC.json").read_text())
    content[kind][0].update(values)
    (root / "HIC.json").write_text(json.dumps(content))


def test_records_read_back_hold_together(miniature, tmp_path):
    records = agreement.written(Hic(miniature), tmp_path / "out")
    shown = {name: example["hands/valid"].tolist() for name, example in records.items()}
    assert shown == {
        "01/1/rgb/000": [True, True],
        "08/1/rgb/000": [True, False],
        "19/1/rgb/000": [False, True],
    }
    for example in records.values():
        assert agreement.reprojection_error(example) < 1e-3
        error = agreement.posed_error(mano.load(), example, POSED)
        assert error < 1e-5
    kinds = [records[name]["hand_type"] for name in sorted(records)]
    assert kinds == ["interacting", "right", "left"]
    assert records["01/1/rgb/000"]["rel_trans_valid"]


def test_joints_and_parameters_are_those_of_the_scene(miniature):
    """Both come from the mesh alone."""
    scene = scenes(3, size=(8, 8))[0]
    example = agreement.first(Hic(miniature), "test")
    np.testing.assert_allclose(example["hands/joints_3d"], scene.joints, atol=1e-6)
    tolerance = {"betas": 2e-3}
    for name, value in scene.params._asdict().items():
        np.testing.assert_allclose(
            example[f"mano/{name}"], value, atol=tolerance.get(name, 1e-5), err_msg=name
        )


def test_the_lossless_picture_is_kept_almost_as_it_is(miniature):
    import cv2

    stored = decode.decode_jpeg(agreement.first(Hic(miniature), "test")["image"])
    drawn = cv2.imread(str(miniature / "01" / "1" / "rgb" / "000.png"))[..., ::-1]
    assert stored.shape == drawn.shape == (480, 640, 3)
    assert np.abs(stored.astype(float) - drawn).mean() < 1.0


def test_a_hand_without_a_mesh_has_no_labels(damaged):
    edit(damaged, "annotations", left_mano_path=None)
    example = agreement.first(Hic(damaged), "test")
    assert example["hand_type"] == "interacting"
    assert example["hands/valid"].tolist() == [True, False]
    assert not example["hands/joints_3d_valid"][LEFT].any()
    assert not example["rel_trans_valid"]


def test_a_mesh_of_another_hand_model_keeps_joints_without_parameters(damaged):
    scene = scenes(3, size=(8, 8))[0]
    path = next(damaged.rglob("*01___Model_Hand_R*/000.ply"))
    noise = np.random.default_rng(0).normal(0, 0.003, (778, 3))
    faces = np.asarray(mano.load().faces[RIGHT])
    fixture.write_ply(path, scene.vertices[RIGHT] + noise, faces)
    example = agreement.first(Hic(damaged), "test")
    assert example["mano/valid"].tolist() == [False, True]
    assert example["hands/joints_3d_valid"].all()


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        ("annotations", {"image_id": 99}, "unknown image"),
        ("annotations", {"image_id": [0]}, "unknown image"),
        ("annotations", {"image_id": 1}, None),
        ("annotations", {"hand_type": "both"}, "hand type"),
        ("annotations", {"right_mano_path": "../../x.ply"}, "source folder"),
        ("annotations", {"right_mano_path": 3}, "source folder"),
        ("annotations", {"right_mano_path": "01/none.ply"}, "mesh is missing"),
        (
            "annotations",
            {"right_mano_path": None, "left_mano_path": None},
            "no hand has a mesh",
        ),
        ("images", {"file_name": "/etc/passwd"}, "source folder"),
        ("images", {"file_name": None}, "no hand has a mesh"),
        ("images", {"file_name": "01/none.png"}, "the picture is missing"),
    ],
)
def test_a_bad_annotation_is_left_out_with_a_reason(damaged, kind, values, reason):
    edit(damaged, kind, **values)
    dataset = Hic(damaged)
    if reason is None:  # the second annotation of a picture is left out
        assert "more than once" in agreement.rejection(dataset, "test", 1)
    else:
        assert reason in agreement.rejection(dataset, "test", 0)


def test_a_mesh_shrunk_to_a_point_is_no_hand(damaged):
    path = next(damaged.rglob("*01___Model_Hand_R*/000.ply"))
    fixture.write_ply(path, np.full((778, 3), 0.5), np.zeros((2, 3), int))
    example = agreement.first(Hic(damaged), "test")
    assert example["hands/valid"].tolist() == [False, True]
    assert example["mano/valid"].tolist() == [False, True]


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "NaN"), (-0.5, "behind")])
def test_a_mesh_that_cannot_be_seen_is_left_out(damaged, value, reason):
    path = next(damaged.rglob("*01___Model_Hand_R*/000.ply"))
    fixture.write_ply(path, np.full((778, 3), value), np.zeros((2, 3), int))
    assert reason in agreement.rejection(Hic(damaged), "test", 0)


def test_a_picture_of_another_size_than_the_cameras_is_left_out(damaged):
    picture = np.zeros((48, 64, 3), np.uint8)
    (damaged / "01/1/rgb/000.png").write_bytes(decode.encode_jpeg(picture))
    assert "size" in agreement.rejection(Hic(damaged), "test", 0)


@pytest.mark.parametrize("key", ["images", "annotations"])
def test_duplicate_ids_are_refused(damaged, key):
    edit(damaged, key, id=2)
    with pytest.raises(InputError, match="id 2 more than once"):
        Hic(damaged).counts()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "HIC.json is missing"),
        ('{"images": [', "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[]", "no list of 'images'"),
        ('{"images": [], "annotations": [1]}', "no list of 'annotations'"),
    ],
)
def test_a_missing_or_damaged_annotation_file_is_refused(damaged, text, message):
    file = damaged / "HIC.json"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        Hic(damaged).counts()
    assert "Hand-Object-Capture" in str(error.value)


@pytest.mark.parametrize("folder", ["08", fixture.FITS])
def test_a_missing_folder_is_refused(damaged, folder):
    shutil.rmtree(damaged / folder)
    with pytest.raises(InputError, match=f"{folder} is missing, but HIC.json names"):
        Hic(damaged).counts()


def header(order: str, kind: str, count: int) -> str:
    return (
        f"ply\nformat {order} 1.0\ncomment by hand\nelement vertex {count}\n"
        f"property {kind} x\nproperty {kind} y\nproperty {kind} z\n"
        "property uchar red\nelement face 0\n"
        "property list uchar int vertex_indices\nend_header\n"
    )


POINTS = np.array([[1.0, 2.0, 3.0], [-4.0, 5.5, 6.25]])


ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["float", "double", "float32"])
def test_every_form_of_ply_gives_its_vertices(tmp_path, order, kind):
    if order == "ascii":
        body = "".join(f"{x} {y} {z} 7\n" for x, y, z in POINTS).encode()
    else:
        size = "f8" if kind == "double" else "f4"
        row = np.dtype(
            [(axis, ORDERS[order] + size) for axis in "xyz"] + [("red", "u1")]
        )
        table = np.zeros(2, row)
        for axis, column in zip("xyz", POINTS.T, strict=True):
            table[axis] = column
        body = table.tobytes()
    path = tmp_path / "hand.ply"
    path.write_bytes(header(order, kind, 2).encode() + body)
    np.testing.assert_array_equal(read_vertices(path, 2), POINTS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ply\n",
        b"solid hand",
        header("ascii", "float", 3).encode() + b"1 2 3 7\n" * 3,
        header("ascii", "float", 2).encode() + b"1 2 3 7\n",
        header("ascii", "float", 2).encode() + b"a b c d\n" * 2,
        header("binary_little_endian", "float", 2).encode() + bytes(20),
        header("ebcdic", "float", 2).encode() + bytes(26),
        header("ascii", "text", 2).encode() + b"1 2 3 7\n" * 2,
        b"ply\nformat ascii 1.0\nend_header\n",
        b"ply\nelement vertex 2\nend_header\n",
        b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\n"
        b"end_header\n1\n2\n",
        b"ply\nformat ascii 1.0\nelement\nend_header\n",
        b"ply\nformat ascii 1.0\nelement vertex 2\nproperty list uchar int x\n"
        b"end_header\n",
        header("ascii", "float", 2).encode() + b"1 2 3x 7\n" * 2,
        header("binary_big_endian", "float", 10**15).encode() + bytes(26),
        header("binary_little_endian", "float", 2).replace("face 0", "face 1").encode()
        + bytes(26)
        + b"\xff",
        header("ascii", "float", 2).replace("by hand", "long " * 900).encode()
        + b"1 2 3 7\n" * 2,
    ],
    ids=range(18),
)
def test_what_is_no_mesh_of_two_vertices_is_refused(tmp_path, data):
    path = tmp_path / "hand.ply"
    path.write_bytes(data)
    with pytest.raises(InputError, match="hand.ply is not a PLY mesh of 2 vertices"):
        read_vertices(path, 2)


def test_vertices_keep_their_order_where_texture_would_split_them(tmp_path):
    path = tmp_path / "hand.ply"
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\n"
        "property float y\nproperty float z\nelement face 2\n"
        "property list uchar int vertex_indices\nproperty list uchar float texcoord\n"
        "end_header\n3 0 0\n2 0 0\n2 0 0\n0 0 0\n"
        "3 2 1 0 6 0 0 0 1 1 1\n3 0 1 3 6 1 0 .5 .5 1 0\n"
    )
    assert read_vertices(path, 4)[:, 0].tolist() == [3, 2, 2, 0]


def test_files_that_a_mesh_names_are_not_opened(tmp_path, caplog):
    path = tmp_path / "hand.ply"
    named = header("ascii", "float", 2).replace("by hand", f"TextureFile {path}")
    path.write_text(named + "1 2 3 7\n" * 2)
    assert read_vertices(path, 2).tolist() == [[1, 2, 3]] * 2
    assert not caplog.records


def test_a_file_too_large_is_not_read(tmp_path):
    path = tmp_path / "hand.ply"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="files of its kind are smaller"):
        read_vertices(path, 2)

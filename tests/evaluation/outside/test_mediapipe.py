"""MediaPipe as a peer: its hands of the demo picture, and going on after a stop."""

from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest

from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.data import decode
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError
from twohand_jax.evaluation.outside import comparison, prediction_file
from twohand_jax.types import LEFT, RIGHT

# Read off the demo picture, which shows a left hand on its left: x0, y0, x1, y1.
BOXES = np.array([[500, 180, 830, 620], [110, 70, 420, 600]], np.float32)


def rows(count, *, boxes=BOXES, shown=(1, 1)):
    """Records of the demo picture, the last one unusable."""
    jpeg = (resources.files("twohand_jax") / "assets" / "demo.jpg").read_bytes()
    fields = {
        "image_id": np.array([f"demo/{n}".encode() for n in range(count + 1)], object),
        "image": np.array([jpeg] * (count + 1), object),
        "hands/box": np.stack([boxes] * (count + 1)),
        "hands/valid": np.array([shown] * (count + 1)),
    }
    usable = np.arange(count + 1) < count
    return [Rows(fields, np.arange(count + 1), usable)]


def names(count):
    return {number: f"demo/{number}" for number in range(count)}


@pytest.fixture
def looked(monkeypatch):
    """Names of the pictures that stand-in networks were shown."""
    seen = []

    def look(hands, picture):
        seen.append(picture.image_id)
        if picture.image_id == "demo/stop":
            raise KeyboardInterrupt
        joints = np.full((2, 21, 3), float(picture.image_id[-1]), np.float32)
        joints[:, ::2] += 0.1  # of some extent, as a hand's
        return comparison.PeerHands(joints, np.array([True, True]))

    monkeypatch.setattr(comparison, "detect_hands", look)
    monkeypatch.setattr(comparison, "_networks", lambda: None)
    return seen


def run(part, count, path, **options):
    options = {"workers": 0, "progress": None} | options
    return comparison.mediapipe_predictions(part, names(count), path, **options)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.slow
def test_hands_of_the_demo_picture(tmp_path, workers):
    path = tmp_path / "new" / "m.npz"
    found = run(rows(1), 1, path, workers=workers)
    image = decode.decode_jpeg(rows(1)[0].fields["image"][0])
    direct = MediaPipeHands(num_threads=1)(image, BOXES, [RIGHT, LEFT])
    assert found.found.tolist() == [[True, True]]
    for hand in direct:
        np.testing.assert_allclose(found.joints[0, hand.side], hand.world, atol=1e-6)
    # Both hands stand upright: fingertips above the wrist, y down.
    assert (found.joints[0, :, 12, 1] < found.joints[0, :, 0, 1]).all()
    again = prediction_file.read(path)
    np.testing.assert_array_equal(again.joints, found.joints)
    assert again.image_id.tolist() == ["demo/0"]
    assert again.rel_trans is None and again.vertices is None


def test_only_labelled_hands_are_looked_for():
    shown = []

    def hands(image, boxes, sides):
        shown.append((boxes.tolist(), sides))
        return [SimpleNamespace(world=np.ones((21, 3)))] if len(shown) == 1 else []

    (first,) = comparison.mediapipe_tasks(rows(1, shown=(0, 1)), {"demo/0"})
    seen = comparison.detect_hands(hands, first)
    assert shown == [([BOXES[LEFT].tolist()], [LEFT])]
    assert seen.found.tolist() == [False, True]
    (both,) = comparison.mediapipe_tasks(rows(1), {"demo/0"})
    seen = comparison.detect_hands(hands, both)
    assert [sides for _, sides in shown[1:]] == [[RIGHT], [LEFT]]
    assert not seen.found.any() and not seen.joints.any()


def test_an_interrupted_run_goes_on(tmp_path, looked):
    path = tmp_path / "m.npz"
    broken = rows(3)
    broken[0].fields["image_id"][2] = b"demo/stop"
    wanted = names(2) | {2: "demo/stop"}
    with pytest.raises(KeyboardInterrupt):
        comparison.mediapipe_predictions(broken, wanted, path, workers=0, progress=None)
    assert not path.exists() and (tmp_path / "m.npz.unfinished").exists()
    looked.clear()
    found = run(rows(3), 3, path)
    assert looked == ["demo/2"]
    assert found.image_id.tolist() == ["demo/0", "demo/1", "demo/2"]
    assert found.joints[:, 0, 1, 0].tolist() == [0, 1, 2]
    assert [one.name for one in tmp_path.iterdir()] == ["m.npz"]


def test_what_is_done_is_not_done_again_unless_it_changed(tmp_path, looked):
    path = tmp_path / "m.npz"
    run(rows(2), 2, path)
    looked.clear()
    run(rows(2), 2, path)
    assert looked == []
    run(rows(2, boxes=BOXES + 1), 2, path)
    assert looked == ["demo/0", "demo/1"]
    looked.clear()
    few = run(rows(2, boxes=BOXES + 1), 1, path)
    assert looked == [] and few.image_id.tolist() == ["demo/0"]


def test_a_foreign_file_is_not_taken_for_ours(tmp_path, looked):
    path = tmp_path / "m.npz"
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 0.05, (1, 2, 21, 3)).astype(np.float32)
    np.savez(path, image_id=np.array(["demo/0"]), joints=joints)
    run(rows(1), 1, path)
    assert looked == ["demo/0"]


def test_nothing_to_do_is_said(tmp_path):
    with pytest.raises(InputError, match="no record for MediaPipe"):
        comparison.mediapipe_predictions([], {}, tmp_path / "m.npz")

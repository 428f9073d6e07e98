"""InterWild's checkpoints: the whole way from a picture to joints, and bad files."""

import cv2
import numpy as np
import pytest
import torch

from tests.mano import fake_mano
from tests.weights import interwild_peer
from twohand_jax import experiments
from twohand_jax.cli import main as cli
from twohand_jax.cli.common import load_config
from twohand_jax.cues.box_net import BoxNetDetector
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.inference.observe import CueConfig
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.mano.joint_set import INTERWILD
from twohand_jax.models.resnet import RESNET18, RESNET50
from twohand_jax.weights import interwild, torch_files

SMALL = {
    "depths": (1, 1, 1, 1),
    "width": 8,
    "trans": ((1, 1, 1, 1), 8),
    "squeezed": 16,
    "box_width": 16,
    "cells": 4,
    "grid": 16,
}
KEY = "hand_rotation_net.cam_out.0.weight"


@pytest.fixture(scope="module")
def hand_model(tmp_path_factory):
    """MANO's two files with the open hand's surface and random pose correctives."""
    fields = [fake_mano.corrected_fields(side) for side in range(2)]
    return fake_mano.write_plain(tmp_path_factory.mktemp("mano"), *fields)


@pytest.fixture(scope="module")
def peer(hand_model):
    return interwild_peer.random_peer(hand_model, **SMALL)


@pytest.fixture(scope="module")
def snapshot(peer, tmp_path_factory):
    return interwild_peer.snapshot(peer, tmp_path_factory.mktemp("file") / "s_6.pth")


@pytest.fixture(scope="module")
def converted(snapshot, tmp_path_factory):
    out = tmp_path_factory.mktemp("weights") / "interwild"
    assert convert(snapshot, out) == 0
    return out


@pytest.fixture(scope="module")
def image():
    coarse = np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8)
    height, width = interwild_peer.PICTURE
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def expected(peer, image):
    picture = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)
    with torch.no_grad():
        return {name: x.numpy() for name, x in peer(picture[None]).items()}


def convert(file, out) -> int:
    return cli.main(["weights", "convert", "interwild", str(file), "--out", str(out)])


def close(ours, theirs, tolerance=1e-4):
    np.testing.assert_allclose(ours, theirs, atol=tolerance)


def by_side(found):
    """A detector's boxes and scores, right then left."""
    order = np.argsort(found.sides)
    np.testing.assert_array_equal(found.sides[order], [0, 1])
    return found.boxes[order], found.scores[order]


@pytest.mark.slow
def test_from_the_picture_to_joints(converted, hand_model, image, expected):
    """Boxes, crops, the flipped left hand, TransNet and MANO, as InterWild does."""
    reconstructor = Reconstructor.load(
        converted,
        hand_model,
        cues=CueConfig(detector=converted),
        detector=lambda *_: [],  # of joints in the boxes, which InterWild has not
    )
    camera = cameras.default(*image.shape[:2])
    (one,) = reconstructor.people(image, fit="off", refine="never", camera=camera)
    close(one.hands.boxes, expected["boxes"], 1e-3)  # pixels
    close(one.hands.score, expected["score"])
    found, hands = one.prediction, one.prediction.geometry
    joints = INTERWILD.of(reconstructor.model, hands)
    wrists = joints[:, :1]
    close(joints - wrists, expected["joints"])
    close(hands.vertices - wrists, expected["vertices"])
    close(found.rel_trans, expected["rel_trans"])
    close(wrists[1, 0] - wrists[0, 0], expected["rel_trans"])
    close(found.mano.global_orient, expected["pose"][:, 0])
    close(found.mano.hand_pose, expected["pose"][:, 1:])
    close(found.mano.betas, expected["shape"])
    # The right wrist keeps the pixel and the size that its camera head says.
    (right,) = cameras.project(wrists[0], found.camera)
    close(right, expected["wrist_px"][0], 1e-2)
    depth = expected["depth"][0] * found.camera.focal[0]
    close(wrists[0, 0, 2] / depth, 1.0)
    spread = np.ptp(expected["joints"], axis=1)
    assert (spread > 0.03).any() and np.abs(expected["rel_trans"]).max() > 0.01


@pytest.mark.slow
def test_hands_are_found_in_any_picture(converted, image):
    detector = BoxNetDetector(converted)
    boxes, scores = by_side(detector(image))
    # A frame of black about it, in the network's proportions, is what room adds.
    height, width = image.shape[:2]
    framed = np.zeros((height * 5 // 4, width * 5 // 4, 3), np.uint8)
    y, x = height // 8, width // 8
    framed[y : y + height, x : x + width] = image
    wider, _ = by_side(BoxNetDetector(converted, room=1.25)(image))
    close(by_side(detector(framed))[0] - np.tile([x, y], 2), wider, 2.0)
    assert np.abs(wider - boxes).max() > 2.0
    # The same hands in a wide picture, for the frame adds what is missing.
    wide = np.zeros((height, 2 * width, 3), np.uint8)
    wide[:, width // 2 : width // 2 + width] = image
    assert by_side(detector(wide))[0].shape == (2, 4)
    least = BoxNetDetector(converted, min_score=float(scores.max()))
    assert len(least(image).boxes) == 1


@pytest.mark.slow
def test_the_released_sizes_are_ours():
    """All weights of the released layout find their place, and none is left over."""
    with torch.device("meta"):
        layout = interwild_peer.InterWild().state_dict()
    state = {
        name: np.broadcast_to(np.float32(0), tuple(value.shape))
        for name, value in layout.items()
    }
    found = interwild.convert(state, where="memory")
    model, crop = found.model, found.crop
    config = experiments.parse(load_config("interwild"))
    assert (config.model, config.crop) == (model, crop)
    assert (model.image, model.transnet.resnet) == (RESNET50, RESNET18)
    assert (model.crop_size, model.cells, model.rotation_channels) == (256, 8, 512)
    assert (model.transnet.grid, model.transnet.depth) == (64, 64)
    assert (model.camera_range, crop.focal) == (11.71875, 5000)
    assert (found.boxes.image, found.boxes.width, found.boxes.deconvs) == (
        RESNET50,
        256,
        3,
    )


def test_sizes_follow_from_the_weights(snapshot):
    found = interwild.convert(torch_files.read(snapshot), where=snapshot)
    assert found.model.image.depths == (1, 1, 1, 1) and found.model.crop_size == 128
    assert found.model.fusion is None and found.model.cues == ()


def changed(snapshot, path, change):
    """The checkpoint with its weights changed."""
    content = torch.load(snapshot, weights_only=True)
    change(content["network"])
    torch.save(content, path)
    return path


def refused(file, out, capsys) -> str:
    """The one line of a conversion that fails, and leaves nothing."""
    assert convert(file, out) == 2
    error = capsys.readouterr().err
    assert error.startswith("twohand weights: ") and error.count("\n") == 1
    assert not out.exists()
    return error


def test_a_missing_weight_is_named(snapshot, tmp_path, capsys):
    file = changed(snapshot, tmp_path / "a.pth", lambda w: w.pop(f"module.{KEY}"))
    error = refused(file, tmp_path / "out", capsys)
    assert f"lacks '{KEY}'" in error and "is expected as (3, 256)" in error


def test_a_weight_of_another_shape_is_named(snapshot, tmp_path, capsys):
    def shorten(weights):
        weights[f"module.{KEY}"] = torch.zeros(3, 7)

    error = refused(
        changed(snapshot, tmp_path / "a.pth", shorten), tmp_path / "out", capsys
    )
    assert f"'{KEY}' has shape (3, 7)" in error and "expected (3, 256)" in error


def test_another_network_is_told(tmp_path, capsys):
    file = tmp_path / "hamer.ckpt.pth"
    names = ("backbone.pos_embed", "mano_head.decpose.weight")
    torch.save({"state_dict": {name: torch.zeros(2, 2) for name in names}}, file)
    error = refused(file, tmp_path / "out", capsys)
    assert "no network of InterWild" in error
    assert "'hand_roi_net.backbone.conv1.weight' is missing" in error


@pytest.mark.parametrize("scalar", [KEY, "hand_trans_net.conv.0.weight"])
def test_weights_without_a_shape_are_refused(snapshot, tmp_path, capsys, scalar):
    def flatten(weights):
        weights[f"module.{scalar}"] = torch.tensor(1.0)

    refused(changed(snapshot, tmp_path / "a.pth", flatten), tmp_path / "out", capsys)


def test_a_truncated_file_is_told(snapshot, tmp_path, capsys):
    content = snapshot.read_bytes()
    for share in (0.0, 0.3, 0.99):
        (tmp_path / "cut.pth").write_bytes(content[: int(share * len(content))])
        error = refused(tmp_path / "cut.pth", tmp_path / "out", capsys)
        assert "cut.pth" in error


def test_nothing_in_a_file_runs(tmp_path, capsys):
    marker = tmp_path / "ran"
    file = interwild_peer.hostile(tmp_path / "evil.pth", marker)
    assert "evil.pth" in refused(file, tmp_path / "out", capsys)
    assert not marker.exists()


def test_it_says_where_mano_is_to_be_had(converted, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((8, 8, 3), np.uint8))
    arguments = ["reconstruct", str(tmp_path / "p.png"), "--checkpoint", str(converted)]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "mano.is.tue.mpg.de" in error and "MANO_RIGHT.pkl" in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_folder_without_a_detector_is_told(tmp_path):
    with pytest.raises(InputError, match="not a model directory"):
        BoxNetDetector(tmp_path)
    (tmp_path / "config.json").write_text('{"experiment": "regressor"}')
    with pytest.raises(InputError, match="no hand detector.*convert interwild"):
        BoxNetDetector(tmp_path)

"""A video as one result, with an untrained network and a detector that needs none."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

import twohand_jax as th
from tests import programs
from tests.inference.conftest import detections, open_palm
from tests.inference.test_result_file import VALIDATOR
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.inference import estimates, photos, smoothing, videos
from twohand_jax.inference.block_solver import Normal, solve_blocks
from twohand_jax.inference.clip import Clip, ClipConfig
from twohand_jax.inference.output_folder import OutputFolder
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.inference.smoothing import Evidence, Motion, SmoothingConfig
from twohand_jax.inference.videos import Settings
from twohand_jax.timing import Stopwatch

FRAMES, RATE = 12, 10.0
LOST = 6  # the frame in which no hand is found
SETTINGS = Settings(fits=False)


def detector(image: np.ndarray, *_: Any) -> list:
    """Both hands; the frame's brightness says where, and the dark one has none."""
    shade = float(image.mean())
    if abs(shade - (60 + 10 * LOST)) < 4:
        return []
    at = 60 + 0.4 * shade
    pair = [open_palm((at, 120), 90, 1), open_palm((at + 140, 120), 90, -1)]
    return detections(np.stack(pair))


@pytest.fixture(scope="module")
def reconstructor(checkpoint: Path) -> Reconstructor:
    return Reconstructor.load(checkpoint, cues="mediapipe", detector=detector)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "clip.mp4"
    code = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(path), code, RATE, (320, 240))
    for number in range(FRAMES):
        video.write(np.full((240, 320, 3), 60 + 10 * number, np.uint8))
    video.release()
    return path


def run(
    reconstructor: Reconstructor, source: Path, out: Path, **more: Any
) -> videos.DoneClip:
    output = OutputFolder(out)
    output.prepare()
    clip = Clip(source, more.pop("taken", ClipConfig()))
    given = (reconstructor, clip, "clip", output, {"of": "a test"}, SETTINGS)
    return videos.reconstruct(*given, **more)


@pytest.fixture(scope="module")
def done(reconstructor, source, tmp_path_factory) -> videos.DoneClip:
    return run(reconstructor, source, tmp_path_factory.mktemp("out"))


@pytest.mark.slow
def test_files_of_a_video(done: videos.DoneClip, source: Path) -> None:
    names = ["clip.json", "clip.npz", "clip.glb", "clip_overlay.mp4"]
    assert [path.name for path in done.files] == names
    folder = done.files[0].parent
    assert not videos.work_folder(folder, "clip").exists()
    assert done.told == [
        f"{FRAMES} frames (1.2 s), 1 person",
        "  person 1: right hand in 12 frames (1 of them bridged) and left hand in 12 "
        "frames (1 of them bridged)",
    ]
    overlay = Clip(done.files[3])
    assert (overlay.rate, overlay.total, overlay.size) == (RATE, FRAMES, (240, 320))


@pytest.mark.slow
def test_json_and_arrays_say_the_same(done: videos.DoneClip) -> None:
    content = json.loads(done.files[0].read_text())
    VALIDATOR.validate(content)
    assert content["clip"]["rate"] == RATE
    lost = content["frames"][LOST]["people"][0]
    assert lost["right"]["bridged"] and lost["person"] == 1
    loaded = th.load_result(done.files[0])
    arrays = np.load(done.files[1])
    assert [info.frame for info in loaded.pictures] == arrays["frame"].tolist()
    np.testing.assert_array_equal(arrays["bridged"][:, 0, 0], np.arange(12) == LOST)
    joints = arrays["joints_cam"][:, 0]
    np.testing.assert_allclose(loaded.prediction.geometry.joints, joints, atol=1e-6)
    # One shape in all frames, and the vertices are those of the joints.
    betas = loaded.prediction.mano.betas
    same = np.broadcast_to(arrays["betas"], betas.shape)
    np.testing.assert_allclose(betas, same, atol=1e-6)
    at_rest = programs.rest_wrist(th.mano.load(), jnp.asarray(betas[0]))
    wrist = arrays["transl"] + np.asarray(at_rest)
    np.testing.assert_allclose(wrist[:, 0], joints[:, :, 0], atol=1e-5)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    done: videos.DoneClip, reconstructor, source, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(estimates, "PART", 4)
    seen: list[int] = []

    def until(last: int) -> Any:
        def progress(items: Any, _: int | None) -> Any:
            for count, item in enumerate(items):
                if count == last:
                    raise KeyboardInterrupt
                seen.append(count)
                yield item

        return progress

    for last in (6, 2):  # in the second part, and before anything new is kept
        with pytest.raises(KeyboardInterrupt):
            run(reconstructor, source, tmp_path, progress=until(last))
        assert sorted(path.name for path in tmp_path.iterdir()) == [".clip.clip"]
    seen.clear()
    again = run(reconstructor, source, tmp_path, progress=until(100))
    assert len(seen) == FRAMES - 4 + FRAMES  # the rest, then all are drawn
    for one, other in zip(done.files, again.files, strict=True):
        assert one.name == other.name
        if one.suffix != ".mp4":
            assert one.read_bytes() == other.read_bytes(), one.name


def test_work_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / ".clip.clip"
    none = estimates._table([], [])
    estimates.Work(folder, {"stride": 1}).append(none, [])
    assert len(estimates.Work(folder, {"stride": 1}).parts()) == 1
    assert not estimates.Work(folder, {"stride": 2}).parts()


def test_the_animation_moves_the_joints(done: videos.DoneClip) -> None:
    content = done.files[2].read_bytes()
    length = int.from_bytes(content[12:16], "little")
    tree = json.loads(content[20 : 20 + length])
    (animation,) = tree["animations"]
    paths = [channel["target"]["path"] for channel in animation["channels"]]
    assert paths.count("rotation") == 32 and paths.count("translation") == 2
    times = tree["accessors"][animation["samplers"][0]["input"]]
    assert times["count"] == FRAMES
    assert times["min"] == [0.0] and times["max"] == [pytest.approx(1.1)]
    arrays = np.load(done.files[1])
    move = animation["channels"][paths.index("translation")]
    output = tree["accessors"][animation["samplers"][move["sampler"]]["output"]]
    view = tree["bufferViews"][output["bufferView"]]
    start = 20 + length + 8 + view["byteOffset"]
    values = np.frombuffer(content[start : start + view["byteLength"]], np.float32)
    wrists = arrays["joints_cam"][:, 0, 0, 0] * [1, -1, -1]
    np.testing.assert_allclose(values.reshape(-1, 3), wrists, atol=1e-5)


@pytest.mark.slow
def test_a_job_with_videos(reconstructor, source, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Reconstructor, "load", lambda *_, **__: reconstructor)
    whole = tmp_path / "whole.mp4"
    whole.write_bytes(source.read_bytes())
    broken, code = tmp_path / "broken.avi", cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(broken), code, RATE, (320, 240))
    for number in range(FRAMES):
        video.write(np.full((240, 320, 3), 60 + 10 * number, np.uint8))
    video.release()
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    (tmp_path / "none.mp4").write_bytes(b"no video")
    job = photos.ReconstructionJob(
        photos=[whole, broken, tmp_path / "none.mp4"], out=tmp_path / "out", fit="off"
    )

    def kinds() -> list[str]:
        return [type(one).__name__ for one in photos.outcomes(job, Stopwatch())]

    first = list(photos.outcomes(job, Stopwatch()))
    assert [type(one).__name__ for one in first] == [
        "DoneClip",
        "DoneClip",
        "FailedImage",
        "FailedImage",
    ]
    assert "breaks off" in first[2].sentence() and "no frame" in first[3].sentence()
    assert photos.describe(first[0]).startswith(f"{whole}: {FRAMES} frames")
    content = json.loads((job.out / "broken.json").read_text())
    assert 0 < len(content["frames"]) < FRAMES
    assert "breaks off" in content["clip"]["note"]
    assert kinds() == ["Kept", "Kept", "FailedImage"]  # nothing is made again
    job = dataclasses.replace(
        job, clip=ClipConfig(stride=4), photos=[whole], refine="always"
    )
    told, _ = photos.outcomes(job, Stopwatch())
    assert photos.describe(told).startswith(f"--refine always does nothing for {whole}")
    assert kinds() == ["Unrefined", "Kept"]
    assert np.load(job.out / "whole.npz")["frame"].tolist() == [0, 4, 8]
    (job.out / "whole.glb").write_text("mine now")
    with pytest.raises(InputError, match="whole.glb would be replaced"):
        kinds()


def test_the_block_solver_is_that_of_the_whole_matrix() -> None:
    rng = np.random.default_rng(0)
    blocks, size = 4, 3
    factor = rng.normal(size=(blocks * size, blocks * size))
    whole = factor @ factor.T + 20 * np.eye(blocks * size)
    at = np.arange(blocks * size) // size
    whole[np.abs(at[:, None] - at) > 1] = 0
    right = rng.normal(size=blocks * size)

    def block(row: int, column: int) -> np.ndarray:
        rows, columns = (slice(k * size, (k + 1) * size) for k in (row, column))
        return whole[rows, columns] if column < blocks else np.zeros((size, size))

    normal = Normal(
        jnp.asarray(np.stack([block(k, k) for k in range(blocks)]), jnp.float32),
        jnp.asarray(np.stack([block(k, k + 1) for k in range(blocks)]), jnp.float32),
        jnp.asarray(right.reshape(blocks, size), jnp.float32),
    )
    found = solve_blocks(normal, jnp.zeros(()))
    wanted = np.linalg.solve(whole + 1e-6 * np.eye(len(whole)), right)
    np.testing.assert_allclose(np.ravel(found), wanted, atol=1e-4)


@pytest.mark.slow
def test_smoothing_takes_the_jitter_and_does_not_lag(reconstructor) -> None:
    """Noisy keypoints of a hand that sweeps: three windows, no step at their seams."""
    model, count, interval = reconstructor.model, 90, 1 / 30
    camera = th.Camera(np.full(2, 600.0, np.float32), np.array([320, 240], np.float32))
    betas = np.zeros(10, np.float32)
    t = np.arange(count) * interval
    x, y = 0.1 * np.sin(2.5 * t), 0.05 * np.cos(2 * t)
    wrist = np.stack([x - 0.1, y, np.full(count, 0.6)], axis=1)
    wrist = np.stack([wrist, wrist + [0.25, 0, 0]], axis=1)
    still = Motion(np.zeros((count, 2, 3)), np.zeros((count, 2, 15, 3)), wrist)
    shapes = ((3,), (15, 3), (10,), (3,))
    rest = programs.forward(model, th.ManoParams(*(jnp.zeros((2, *s)) for s in shapes)))
    joints = np.asarray(rest.joints - rest.joints[:, :1])[None] + wrist[:, :, None]
    each = th.Camera(*(np.broadcast_to(leaf, (count, 2, 2)) for leaf in camera))
    rng = np.random.default_rng(0)
    points = cameras.project(joints, each) + rng.normal(0, 2.0, (count, 2, 21, 2))
    keypoints = np.concatenate([points, np.ones((count, 2, 21, 1))], axis=-1)
    keypoints[40:44, 0] = 0  # bridged
    evidence = Evidence(
        still._replace(wrist=wrist + rng.normal(0, [0, 0, 0.03], wrist.shape)),
        keypoints,
        np.zeros((count, 2, 21, 3)),
        np.ones((count, 2), bool),
    )
    found = smoothing.smooth(
        model, evidence, betas, camera, interval, programs=reconstructor.programs
    )

    def jitter(values: np.ndarray) -> float:
        second = values[2:] - 2 * values[1:-1] + values[:-2]
        return 1000 * float(np.linalg.norm(second, axis=-1).mean())

    assert jitter(evidence.network.wrist) > 50
    assert jitter(found.wrist) < 2.0  # mm a frame squared
    across = found.wrist[..., 0] - wrist[..., 0]
    assert np.abs(across).max() < 0.012
    # Against the truth shifted by a frame or more the error is larger: no lag.
    apart = [
        np.std(found.wrist[5:-5, 1, 0] - wrist[5 + by : count - 5 + by, 1, 0])
        for by in (-2, 0, 2)
    ]
    assert apart[1] < min(apart[0], apart[2])


def test_what_is_left_to_each_frame_is_not_smoothed() -> None:
    assert not np.isfinite(smoothing.UNSMOOTHED.wrist)
    assert SmoothingConfig().window % 2 == 0

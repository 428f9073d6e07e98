"""What reads files and flags, each with a valid set of them to make wrong."""

import contextlib
import dataclasses
import io
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from random import Random

import cv2
import jax
import numpy as np

from tests.data.records import Squares
from tests.evaluation.made_results import made
from tests.mano import fake_mano
from tests.train import runs
from tests.weights import tiny_hamer
from twohand_jax import experiments, mano
from twohand_jax.cli import main as cli
from twohand_jax.data import poses
from twohand_jax.diffusion import representation
from twohand_jax.evaluation import results
from twohand_jax.evaluation.evaluator import Store
from twohand_jax.evaluation.outside import prediction_file
from twohand_jax.fields import FieldError
from twohand_jax.inference import given, hint_files, images
from twohand_jax.models.apply import Variables
from twohand_jax.pipelines import datasets, writer
from twohand_jax.train.checkpoint import Best
from twohand_jax.train.log import MetricsLog
from twohand_jax.weights import hamer, native, torch_files


@dataclasses.dataclass(frozen=True)
class Subject:
    """One reader.

    Attributes:
        make: writes valid files into a folder.
        read: reads them and writes what it writes into the second folder; returns the
            exit code of a command, or None for a function of the library.
        weight: how often it is drawn.
    """

    make: Callable[[Path], object]
    read: Callable[[Path, Path], int | None]
    weight: int = 4


def command(*words: object) -> int:
    """The exit code of a command line in this process."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)


def hints(folder: Path) -> None:
    rows = [[10.0 + k, 20.0 + 2 * k, 0.9] for k in range(21)]
    content = {"a": {"right": [0, 0, 50, 60], "left": None}, "b": {"left": rows}}
    (folder / "hints.json").write_text(json.dumps(content))


def read_hints(folder: Path, out: Path) -> None:
    content = hint_files.read_file(folder / "hints.json")
    for name in ("a", "b"):
        pair = hint_files.for_picture(content, name, "hints.json")
        given.given_detections(boxes=pair)
        given.given_detections(keypoints=pair)


def records(folder: Path) -> None:
    sizes = (("train", (3, 2)), ("test", (2,)))
    writer.write(Squares(sizes=sizes), folder, workers=0, progress=False)


def inspect(folder: Path, out: Path) -> int:
    return command("data", "inspect", folder, "--check", "--count", 0)


def continue_build(folder: Path, out: Path) -> None:
    sizes = (("train", (3, 2)), ("test", (2,)))
    writer.write(Squares(sizes=sizes), folder, workers=0, progress=False)


def read_poses(folder: Path, out: Path) -> None:
    poses.load(folder, "train")
    poses.load(folder, "test")


def hand(folder: Path) -> None:
    fields = (fake_mano.random_fields(seed) for seed in (0, 1))
    fake_mano.write_official(folder, *fields)


def model_directory(folder: Path) -> None:
    config = runpy.run_path(str(runs.ROOT / "configs" / "tiny.py"))["get_config"]()
    weights = {"a": {"b": np.ones((3, 4))}, "c": np.ones(5)}
    native.save(folder, Variables(weights, {"m": np.ones(2)}), config.to_dict())


def read_model(folder: Path, out: Path) -> None:
    with contextlib.suppress(FieldError):  # of any length, it quotes the value
        experiments.parse(native.load_config(folder))
    shaped = {"a": {"b": np.ones((3, 4))}, "c": np.ones(5)}
    wanted = Variables(shaped, {"m": np.ones(2)})
    native.load(folder, jax.eval_shape(lambda: wanted))


def samples(folder: Path) -> None:
    for name in ("a", "b"):
        results.save(folder / f"{name}.npz", made(method=name, records=12))


def predictions(folder: Path) -> None:
    joints = np.random.default_rng(0).normal(0, 0.05, (3, 2, 21, 3))
    arrays = {"image_id": np.array(["a", "b", "c"]), "joints": joints}
    np.savez(folder / "p.npz", **arrays)


def statistics(folder: Path) -> None:
    for name, size in representation.RELEASED.items():
        np.save(folder / f"{name}.npy", np.ones(size))


def pictures(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    for name in ("a.jpg", "b.png", "c.webp", "d.tif", "e.bmp"):
        cv2.imwrite(str(folder / name), image)


def read_pictures(folder: Path, out: Path) -> None:
    for picture in images.pictures(images.expand([folder]).sources):
        picture.read()


def weights(folder: Path) -> None:
    import torch

    torch.save({"w": torch.ones(3)}, folder / "w.pth")


def checkpoint(folder: Path) -> None:
    tiny_hamer.write_checkpoint(
        tiny_hamer.torch_network(tiny_hamer.tiny()), folder / "w.ckpt"
    )


def read_checkpoint(folder: Path, out: Path) -> None:
    where = folder / "w.ckpt"
    hamer.convert(hamer.read(where), where=where, config=tiny_hamer.tiny())


def state(folder: Path) -> None:
    (folder / "score.json").write_text(json.dumps({"step": 3, "value": 1.0}))
    lines = [json.dumps({"step": step, "loss": 0.5}) for step in range(5)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "run.json").write_text(json.dumps({"model": "a"}))


def read_state(folder: Path, out: Path) -> None:
    best = folder / "best"
    best.mkdir()
    if (folder / "score.json").exists():
        (folder / "score.json").rename(best / "score.json")
    Best(folder, "loss", {})
    Store(folder, {"model": "a"})
    MetricsLog(folder, first_step=3).close()


def dataset(name: str) -> Subject:
    """``twohand data build`` of a miniature."""

    def make(folder: Path) -> None:
        datasets.write_miniature(name, folder, count=2, seed=0)

    def read(folder: Path, out: Path) -> int:
        where = ("--source", folder, "--out", out, "--workers", 0)
        return command("data", "build", name, *where, "--max-rejected", "100%")

    return Subject(make, read, weight=1)


VALUES = (
    *(
        "0",
        "-1",
        "1",
        "1e9",
        "nan",
        "x",
        "",
        "手1.jpg",
        "a" * 5000,
        "99999999999999999",
    ),
    *("nowhere", "/dev/zero", ".", "/", "--", "-", "\0", "50%", "101%", "{", "a=b=c"),
)
LINES = (
    "reconstruct nowhere.jpg --out OUT --focal V --boxes V --mano V --prior V",
    "cues nowhere.jpg --out OUT --batch V --boxes V --sapiens-batch V --detector V",
    "train --config nowhere.py --workdir OUT --set V --process V --processes V",
    "evaluate --dataset nowhere --split V --protocol V --batch V --out OUT --mano V",
    "evaluate --table V --data nowhere --out OUT --model V",
    "evaluate --compare V V --out OUT",
    "evaluate --dataset nowhere --submission OUT --list V --protocol V",
    "evaluate --dataset nowhere --predictions V --workers V",
    "evaluate --photographs nowhere --pictures V --out OUT --split V",
    "prior evaluate --data nowhere --n V --seed V --split V --out OUT",
    "prior compare --dataset nowhere --pairs V --model V --out OUT",
    "data build interhand26m --source V --out OUT --workers V --seed V",
    "data build own --labels V --out OUT --max-rejected V --shard-size V",
    "data build synthetic --out OUT --train 0 --test 0 --views V --size V",
    "data cues nowhere --out OUT --cues V --only V --batch V --workers V",
    "data inspect nowhere --count V --max-records V --out OUT --mano V",
    "weights convert sapiens V --out OUT",
    "weights convert hamer V --out OUT",
    "data label nowhere.jpg --out OUT --model V --split V --min-confidence V",
    "weights convert torchvision V --arch V --out OUT",
    "export --checkpoint nowhere --canvas V --platforms V --out OUT",
    "benchmark V --out OUT --seconds V",
)


def flags(folder: Path, out: Path) -> int:
    """A command with a few odd values, drawn by what lies in the folder."""
    draw = Random((folder / "seed.txt").read_text())
    words = []
    for word in draw.choice(LINES).split():
        odd = draw.choice(VALUES) if draw.random() < 0.8 else "1"
        words.append(str(out) if word == "OUT" else odd if word == "V" else word)
    if draw.random() < 0.3:
        del words[draw.randrange(len(words))]
    return command(*words)


SUBJECTS = {
    "boxes and keypoints": Subject(hints, read_hints, weight=12),
    "flags": Subject(lambda folder: (folder / "seed.txt").write_text("0"), flags, 24),
    "record set, inspect": Subject(records, inspect, weight=4),
    "record set, continued": Subject(records, continue_build, weight=4),
    "record set, poses": Subject(records, read_poses, weight=2),
    "pose set": Subject(lambda folder: runs.pose_set(folder), read_poses, weight=10),
    "hand model, pickles": Subject(
        hand, lambda folder, out: mano.load(folder) and None
    ),
    "hand model, npz": Subject(
        lambda folder: mano.save(fake_mano.random_model(), folder / "hand.npz"),
        lambda folder, out: mano.load(folder / "hand.npz") and None,
        weight=6,
    ),
    "model directory": Subject(model_directory, read_model, weight=16),
    "results, compared": Subject(
        samples,
        lambda folder, out: command(
            "evaluate", "--compare", folder / "a.npz", folder / "b.npz"
        ),
    ),
    "predictions": Subject(
        predictions,
        lambda folder, out: prediction_file.read(folder / "p.npz") and None,
        weight=8,
    ),
    "statistics": Subject(
        statistics,
        lambda folder, out: representation.load_released_statistics(folder) and None,
    ),
    "photographs": Subject(pictures, read_pictures, weight=10),
    "weights": Subject(
        weights, lambda folder, out: torch_files.read(folder / "w.pth") and None
    ),
    "checkpoint of a network": Subject(checkpoint, read_checkpoint, weight=6),
    "state of a run": Subject(state, read_state, weight=8),
    **{f"build {name}": dataset(name) for name in datasets.CONVERTED},
}


@contextlib.contextmanager
def captured() -> "contextlib.AbstractContextManager[io.StringIO]":
    """What is said on stderr, and on stdout as the first line."""
    told, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(shown):
        yield told
    told.write(shown.getvalue()[:200])

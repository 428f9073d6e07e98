"""Sample many two-hand poses without pictures, for training the prior.

    twohand data build poses --out data/poses --train 131072 --test 8192 --seed 7

The set is read by ``twohand_jax.data.poses``. Each shard is a pure function of the
settings and its number; the same command continues a build that was interrupted.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np

from twohand_jax import arguments, locks, mano, paths
from twohand_jax.data import poses as pose_sets
from twohand_jax.errors import InputError
from twohand_jax.pipelines.datasets import DatasetEntry
from twohand_jax.pipelines.synthetic.poses import sampler
from twohand_jax.progress import Bar

SPLIT_STREAMS = {"train": 0, "test": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseSetConfig:
    """A set of two-hand poses.

    Attributes:
        train: poses of the training split.
        test: poses of the test split.
        seed: of everything; splits and shards draw from disjoint streams of it.
        shard_size: poses a shard.
        kinds: how often each kind of placement is drawn; both hands are always there.
    """

    train: int = 131072
    test: int = 8192
    seed: int = 0
    shard_size: int = 512
    kinds: tuple[tuple[str, float], ...] = (
        ("apart", 0.1),
        ("near", 0.25),
        ("touching", 0.3),
        ("clasped", 0.35),
    )


def build(
    config: PoseSetConfig, out: str | Path, *, workers: int, progress: bool = True
) -> pose_sets.PoseSetInfo:
    """Sample and write the set, or what is missing of it.

    Args:
        config: decides every pose.
        out: directory of the set.
        workers: processes.
        progress: whether to show a bar.

    Raises:
        InputError: the directory holds a set with other settings.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    counts = {
        split: _cut(count, config.shard_size)
        for split, count in (("train", config.train), ("test", config.test))
        if count > 0
    }
    info = pose_sets.PoseSetInfo(
        model=mano.load().name,
        splits=counts,
        settings=json.loads(json.dumps(dataclasses.asdict(config))),
    )
    directory = Path(out)
    pose_sets.begin(directory, info)
    pending = [
        (split, shard)
        for split, sizes in counts.items()
        for shard in range(len(sizes))
        if not pose_sets.shard_path(directory, split, shard).exists()
    ]
    done = sum(map(sum, counts.values())) - sum(counts[s][n] for s, n in pending)
    spawn = multiprocessing.get_context("spawn")
    with (
        Bar(
            total=config.train + config.test,
            done=done,
            unit="pose",
            name="poses",
            is_shown=progress,
        ) as bar,
        concurrent.futures.ProcessPoolExecutor(workers, spawn) as pool,
    ):
        tasks = [pool.submit(_write, config, directory, *shard) for shard in pending]
        try:
            for task in concurrent.futures.as_completed(tasks):
                bar.update(task.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return info


def _cut(count: int, size: int) -> tuple[int, ...]:
    full, rest = divmod(count, size)
    return (size,) * full + (rest,) * (rest > 0)


def _write(config: PoseSetConfig, directory: Path, split: str, shard: int) -> int:
    """Sample one shard; returns the number of its poses."""
    total = config.train if split == "train" else config.test
    count = _cut(total, config.shard_size)[shard]
    stream = np.random.SeedSequence([config.seed, SPLIT_STREAMS[split], shard])
    (seed,) = stream.generate_state(1).tolist()
    settings = sampler.SamplerConfig(weights=dict(config.kinds))
    batch = sampler.sample(seed, count, config=settings)
    if not batch.present.all():
        raise InputError(
            "A set for the prior holds two hands a pose; leave the kinds right and "
            "left out."
        )
    pose_sets.write_shard(directory, split, shard, batch.params)
    return count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``twohand data build poses``."""
    default = PoseSetConfig()
    parser.add_argument(
        "--out", type=paths.given, required=True, help="directory of the set"
    )
    parser.add_argument(
        "--train", type=arguments.not_negative, default=default.train, help="poses"
    )
    parser.add_argument(
        "--test", type=arguments.not_negative, default=default.test, help="poses"
    )
    parser.add_argument("--seed", type=arguments.seed, default=default.seed)
    parser.add_argument(
        "--workers", type=arguments.processes, default=os.cpu_count() or 1
    )


def run(args: argparse.Namespace) -> None:
    """Build as the flags say and print what was written."""
    config = PoseSetConfig(train=args.train, test=args.test, seed=args.seed)
    if config.train + config.test == 0:
        raise InputError("--train and --test are both 0: there is nothing to draw.")
    with locks.held(Path(args.out), "a build"):
        info = build(config, args.out, workers=args.workers)
    sizes = ", ".join(f"{sum(n)} in {split}" for split, n in info.splits.items())
    print(f"Two-hand poses: {sizes}; wrote {args.out}.")


ENTRY = DatasetEntry(
    name="poses",
    summary="Poses of two hands without pictures, for the two-hand prior",
    add_arguments=add_arguments,
    run=run,
    examples=(
        "twohand data build poses --out data/poses",
        "twohand data build poses --out data/few --train 2000 --test 500 --seed 1",
    ),
)

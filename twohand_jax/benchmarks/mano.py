"""Speed of the MANO layer beside smplx: the same arrays, parameters and results.

A batch of n hands is n/2 pairs for this library, and n right hands in one call for
smplx, which has a module a side; one hand is one side on both. The timed work goes from
axis-angle to vertices and joints, and back to all four parameter arrays.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax import arguments, mano
from twohand_jax.benchmarks import report
from twohand_jax.benchmarks.report import Report, Timing, interleaved
from twohand_jax.geometry import rotations
from twohand_jax.types import RIGHT, ManoModel, ManoParams

Programs = Mapping[str, Callable[[], object]]
OURS = "twohand_jax"
PEERS = {"all": ("smplx", "smplx compiled"), "eager": ("smplx",), "none": ()}


class ManoRow(NamedTuple):
    """Timings of one batch size and task, by program."""

    hands: int
    task: str
    timings: dict[str, Timing]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    parser.add_argument("--peers", choices=sorted(PEERS), default="all")
    parser.add_argument(
        "--sizes", type=_hands, nargs="+", default=[1, 64, 1024], metavar="HANDS"
    )
    parser.add_argument(
        "--seconds",
        type=arguments.above_zero,
        default=4.0,
        help="time for each size and task",
    )
    parser.add_argument(
        "--threads", type=arguments.positive, default=2, help="threads of PyTorch"
    )
    parser.add_argument(
        "--warm",
        action="store_true",
        help="time each call after one of the same program, not of its neighbour",
    )


def run(args: argparse.Namespace) -> Report:
    """Time every program: minimum (median) in ms, and how many times ours is faster."""
    rows = measure(
        sizes=tuple(args.sizes),
        seconds=args.seconds,
        peers=PEERS[args.peers],
        threads=args.threads,
        warm=args.warm,
    )
    peers = [name for name in rows[0].timings if name != OURS]
    return Report(
        title="MANO layer, milliseconds: minimum (median); × is the ratio of minima",
        head=["hands", "task", OURS, *peers, *(f"× {name}" for name in peers)],
        lines=[_cells(row, peers) for row in rows],
        rows=[
            {
                "hands": row.hands,
                "task": row.task,
                "warm": args.warm,
                "milliseconds": {k: t._asdict() for k, t in row.timings.items()},
            }
            for row in rows
        ],
        packages=["smplx"],
    )


def measure(
    *,
    sizes: tuple[int, ...] = (1, 64, 1024),
    seconds: float = 4.0,
    peers: tuple[str, ...] = ("smplx", "smplx compiled"),
    threads: int = 2,
    warm: bool = False,
    seed: int = 0,
) -> list[ManoRow]:
    """Time every program at every size, interleaved.

    Args:
        sizes: numbers of hands; 1 or even.
        seconds: rough time to spend on each size and task.
        peers: which of smplx, eager and through ``torch.compile``, to run beside.
        threads: threads of PyTorch; this library uses all cores.
        warm: whether an untimed call of the same program goes before each timed one.
        seed: of the parameters.

    Raises:
        MissingDependencyError: a peer is wanted and it, torch or smplx is absent.
    """
    if peers:
        report.require_peers("torch", "smplx")
    model = mano.load()
    rows = []
    for hands in sizes:
        arrays = _parameters(hands, seed)
        programs = {OURS: _ours(model, arrays)}
        for peer in peers:
            programs[peer] = theirs(model, arrays, peer.endswith("compiled"), threads)
        for task in ("forward", "forward+backward"):
            chosen = {name: tasks[task] for name, tasks in programs.items()}
            once = sum(
                t.minimum_ms for t in interleaved(chosen, repetitions=1).values()
            )
            count = int(np.clip(1e3 * seconds / once, 5, 500))
            timings = interleaved(chosen, repetitions=count, untimed=int(warm))
            rows.append(ManoRow(hands, task, timings))
    return rows


def _hands(text: str) -> int:
    hands = int(text)
    if hands < 1 or (hands > 1 and hands % 2):
        raise argparse.ArgumentTypeError(f"{text}: give 1 or an even number of hands")
    return hands


def _cells(row: ManoRow, peers: list[str]) -> list[str]:
    times = [row.timings[name] for name in (OURS, *peers)]
    ratios = [t.minimum_ms / times[0].minimum_ms for t in times[1:]]
    cells = [f"{t.minimum_ms:.3g} ({t.median_ms:.3g})" for t in times]
    return [str(row.hands), row.task, *cells, *(f"{ratio:.1f}" for ratio in ratios)]


def _parameters(hands: int, seed: int) -> list[Float[np.ndarray, "n k"]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.3, (hands, k)).astype(np.float32) for k in (3, 45, 10, 3)]


def _ours(model: ManoModel, arrays: list[np.ndarray]) -> Programs:
    hands = len(arrays[0])
    lead = (1,) if hands == 1 else (hands // 2, 2)
    shapes = ((3,), (15, 3), (10,), (3,))
    params = ManoParams(
        *(
            jnp.asarray(array).reshape(*lead, *shape)
            for array, shape in zip(arrays, shapes, strict=True)
        )
    )
    pose = _one_side if hands == 1 else mano.forward

    def total(params: ManoParams, model: ManoModel) -> Float[Array, ""]:
        return sum((jnp.sum(x**2) for x in pose(model, params)), jnp.zeros(()))

    forward, backward = jax.jit(pose), jax.jit(jax.grad(total))
    return {
        "forward": lambda: jax.block_until_ready(forward(model, params)),
        "forward+backward": lambda: jax.block_until_ready(backward(params, model)),
    }


def _one_side(model: ManoModel, params: ManoParams) -> tuple[Array, Array]:
    return mano.forward_side(
        model,
        RIGHT,
        rotations.axis_angle_to_matrix(params.global_orient),
        rotations.axis_angle_to_matrix(params.hand_pose + model.pose_mean[RIGHT]),
        params.betas,
        params.transl,
    )


def theirs(
    model: ManoModel, arrays: list[np.ndarray], compiled: bool, threads: int
) -> Programs:
    """The programs of smplx, eager or through ``torch.compile``."""
    from twohand_jax.benchmarks.peers import smplx_mano

    return smplx_mano.programs(model, arrays, compiled=compiled, threads=threads)

"""Speed of exact nearest neighbours beside scipy's and trimesh's k-d trees.

All find, for every vertex of either hand, the nearest vertex of the other one. The
peers build a tree for each mesh, as they must in every guided step, and go from pair to
pair on one core; this library uses all cores.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from twohand_jax import arguments, collision, mano
from twohand_jax.benchmarks import examples, report
from twohand_jax.benchmarks.report import Report, Timing, interleaved
from twohand_jax.types import LEFT, RIGHT, ManoModel

OURS = "twohand_jax"
PEERS = {"all": ("scipy", "trimesh"), "none": ()}
PEER_PAIRS = 16
TOLERANCE = 1e-6  # metres: float32 cannot tell neighbours that are closer to equal

Meshes = tuple[Float[np.ndarray, "n 778 3"], Float[np.ndarray, "n 778 3"]]
Indices = tuple[Int[np.ndarray, "n 778"], Int[np.ndarray, "n 778"]]


class NearestRow(NamedTuple):
    """Milliseconds of one pair in a batch, by program."""

    batch: int
    timings: dict[str, Timing]
    different: dict[str, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    parser.add_argument(
        "--batches", type=arguments.positive, nargs="+", default=[1, 64, 1024]
    )
    parser.add_argument(
        "--seconds", type=arguments.above_zero, default=4.0, help="for each batch"
    )
    parser.add_argument("--peers", choices=sorted(PEERS), default="all")


def run(args: argparse.Namespace) -> Report:
    """Pairs a second of every program, after a check that they agree."""
    names = PEERS[args.peers]
    rows = measure(batches=tuple(args.batches), seconds=args.seconds, names=names)
    ties = {name: sum(row.different[name] for row in rows) for name in names}
    said = "; ".join(f"{name} {count}" for name, count in ties.items())
    return Report(
        title=f"Nearest neighbours both ways, 778 vertices a hand, on "
        f"{jax.default_backend()}, pairs a second: best (median); × is of the best. "
        + (f"Equal distances; neighbours chosen otherwise: {said}." if said else ""),
        head=["batch", OURS, *names, *(f"× {name}" for name in names)],
        lines=[_cells(row, names) for row in rows],
        rows=[
            {
                "batch": row.batch,
                "milliseconds_a_pair": {k: t._asdict() for k, t in row.timings.items()},
                "different_neighbours": row.different,
            }
            for row in rows
        ],
        packages=["scipy", "trimesh"],
    )


def measure(
    *, batches: tuple[int, ...], seconds: float, names: tuple[str, ...]
) -> list[NearestRow]:
    """Compare results, then time every program at every batch size in turns.

    Args:
        batches: numbers of pairs; the peers get at most ``PEER_PAIRS`` of them.
        seconds: rough time to spend on each size.
        names: of the peers.

    Raises:
        MissingDependencyError: a peer is absent.
        RuntimeError: a peer finds other distances.
    """
    report.require_packages(*names)
    model, rows = mano.load(), []
    for batch in batches:
        meshes = hands(model, batch)
        few = tuple(part[:PEER_PAIRS] for part in meshes)
        programs: dict[str, Callable[[], Indices]] = {OURS: ours(meshes)}
        for name in names:
            programs[name] = peer(name, model, (few[0], few[1]))
        found = programs[OURS]()
        different = {
            name: disagreements(meshes, found, programs[name]()) for name in names
        }
        sizes = {name: len(few[0]) for name in names} | {OURS: batch}
        once = interleaved(programs, repetitions=1).values()
        count = int(np.clip(1e3 * seconds / sum(t.minimum_ms for t in once), 3, 500))
        timings = {
            name: Timing(*(value / sizes[name] for value in timing))
            for name, timing in interleaved(programs, repetitions=count).items()
        }
        rows.append(NearestRow(batch, timings, different))
    return rows


def hands(model: ManoModel, count: int) -> Meshes:
    """Right and left hands that run into each other, metres."""
    vertices = np.array(examples.touching_pair(model, count).geometry.vertices)
    return vertices[:, RIGHT], vertices[:, LEFT]


def ours(meshes: Meshes) -> Callable[[], Indices]:
    """This library's program, for the whole batch."""
    search = jax.jit(collision.nearest)
    given = jax.device_put(meshes)
    return lambda: jax.block_until_ready(search(*given))


def peer(name: str, model: ManoModel, meshes: Meshes) -> Callable[[], Indices]:
    """A peer's program, pair after pair.

    Args:
        name: "scipy" or "trimesh".
        model: whose faces trimesh is given.
        meshes: of both hands.
    """
    query = {"scipy": _scipy, "trimesh": _trimesh}[name]
    right, left = (np.asarray(model.faces[side]) for side in (RIGHT, LEFT))

    def program() -> Indices:
        both = list(zip(*meshes, strict=True))
        to_second = [query(b, left, a) for a, b in both]
        to_first = [query(a, right, b) for a, b in both]
        return np.stack(to_second), np.stack(to_first)

    return program


def disagreements(meshes: Meshes, one: Indices, other: Indices) -> int:
    """How many neighbours differ, all of them equally far away.

    Args:
        meshes: of the whole batch.
        one: neighbours in the whole batch.
        other: neighbours in its first pairs.

    Raises:
        RuntimeError: a neighbour is farther away in one result than in the other.
    """
    different = 0
    for query, target, mine, yours in zip(
        meshes, meshes[::-1], one, other, strict=True
    ):
        count = len(yours)
        lengths = [
            np.linalg.norm(
                query[:count].astype(np.float64)
                - np.take_along_axis(target[:count], np.asarray(index)[..., None], 1),
                axis=-1,
            )
            for index in (mine[:count], yours)
        ]
        worst = np.abs(lengths[0] - lengths[1]).max()
        if not worst <= TOLERANCE:
            raise RuntimeError(
                f"Two searches found neighbours whose distances differ by {worst} m; "
                "they are to be the same."
            )
        different += int((np.asarray(mine[:count]) != yours).sum())
    return different


def _scipy(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    return cKDTree(vertices).query(points)[1]


def _trimesh(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False)
    return trimesh.proximity.ProximityQuery(mesh).vertex(points)[1]


def _cells(row: NearestRow, names: tuple[str, ...]) -> list[str]:
    times = [row.timings[name] for name in (OURS, *names)]
    speeds = [f"{1e3 / t.minimum_ms:.0f} ({1e3 / t.median_ms:.0f})" for t in times]
    ratios = [f"{t.minimum_ms / times[0].minimum_ms:.1f}" for t in times[1:]]
    return [str(row.batch), *speeds, *ratios]

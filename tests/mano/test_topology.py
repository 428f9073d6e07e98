"""The wrist's boundary and its cap, on a small mesh and on the open hand."""

import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.mano import topology

# A pyramid without its base: vertex 0 on top, 1-5 around.
CONE = np.array([[0, i, i % 5 + 1] for i in range(1, 6)])


def edges(faces):
    return [tuple(e) for f in faces for e in zip(f, np.roll(f, -1), strict=True)]


def test_boundary_runs_against_the_neighbouring_faces():
    loop = topology.boundary_loop(CONE)
    assert loop[0] == 1 and sorted(loop) == [1, 2, 3, 4, 5]
    known = set(edges(CONE))
    for a, b in zip(loop, np.roll(loop, -1), strict=True):
        assert (b, a) in known and (a, b) not in known


@pytest.mark.parametrize("faces", ["cone", "right", "left"])
def test_closed_mesh_has_every_edge_once_each_way(faces):
    if faces == "cone":
        mesh = CONE
    else:
        mesh = np.asarray(mano.load().faces[("right", "left").index(faces)])
    closed = topology.close_wrist(mesh)
    every = edges(closed)
    assert len(set(every)) == len(every)
    assert {(b, a) for a, b in every} == set(every)
    count = len(np.unique(mesh))
    assert count - len(every) // 2 + len(closed) == 2  # Euler: a sphere


def test_the_open_hand_has_a_wrist_of_sixteen():
    assert len(topology.boundary_loop(np.asarray(mano.load().faces[0]))) == 16


def test_a_closed_mesh_has_no_boundary():
    closed = topology.close_wrist(CONE)
    assert len(topology.boundary_loop(closed)) == 0
    np.testing.assert_array_equal(topology.close_wrist(closed), closed)


@pytest.mark.parametrize(
    "faces",
    [
        np.concatenate([CONE, CONE + 6]),
        np.concatenate([CONE, CONE + np.where(CONE == 1, 0, 6)]),
    ],
    ids=["two holes", "two holes that touch"],
)
def test_several_holes_are_refused(faces):
    with pytest.raises(ValueError, match="one hole"):
        topology.boundary_loop(faces)

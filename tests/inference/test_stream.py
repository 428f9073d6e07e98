"""People of a stream are told apart and steadied."""

import numpy as np

from twohand_jax import mano
from twohand_jax.inference.detections import no_detections
from twohand_jax.inference.predict import EMPTY
from twohand_jax.inference.reconstruct import Reconstruction
from twohand_jax.inference.stream import StreamFilter
from twohand_jax.types import ManoParams


def person(x: float, turn: float) -> Reconstruction:
    """Both hands at a place in metres, 1000 pixels each, turned by an angle."""
    orient = np.array([[0.0, turn, 0.0]] * 2)
    transl = np.array([[x, 0, 0.7], [x + 0.2, 0, 0.7]])
    boxes = np.array([[0, 0, 100, 100]] * 2) + 1000 * transl[:, [0, 0, 0, 0]] * [
        1,
        0,
        1,
        0,
    ]
    params = ManoParams(orient, np.zeros((2, 15, 3)), np.zeros((2, 10)), transl)
    prediction = EMPTY._replace(mano=params, box=boxes, score=np.ones(2))
    return Reconstruction(prediction, prediction, no_detections(), {})


def test_two_people_are_steadied_apart() -> None:
    steady = StreamFilter(mano.load())
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (40, 2))
    places: list[list[float]] = []
    for frame, (one, other) in enumerate(noise):
        # The surest comes first, which changes; turns pass half a turn.
        people = [person(0.0 + one, 3.1 + 0.1 * (frame % 2)), person(1.0 + other, 0.0)]
        found = steady(people[:: (-1) ** frame], frame / 30)[:: (-1) ** frame]
        places.append([float(p.prediction.mano.transl[0, 0]) for p in found])
        turned = np.linalg.norm(found[0].prediction.mano.global_orient, axis=-1)
        assert (turned > 3.0).all()  # not averaged with its opposite
        wrists = np.asarray(found[0].prediction.geometry.joints)[:, 0]
        np.testing.assert_allclose(found[0].prediction.rel_trans, wrists[1] - wrists[0])
    filtered = np.array(places)
    np.testing.assert_allclose(filtered.mean(axis=0), [0, 1], atol=0.01)
    second = np.diff(filtered, n=2, axis=0).std()
    assert second < 0.5 * np.diff(noise, n=2, axis=0).std()


def test_who_was_away_begins_anew() -> None:
    steady = StreamFilter(mano.load())
    steady([person(0.0, 0.0)], 0.0)
    (back,) = steady([person(0.05, 0.0)], 2.0)
    assert back.prediction.mano.transl[0, 0] == np.float32(0.05)
    assert not steady([], 3.0)

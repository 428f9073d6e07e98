"""People of a stream, frame by frame: who is who, each with One-Euro filters.

Only frames that were are known, so that a filter is all that steadies the hands; a clip
has ``motion`` instead.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from twohand_jax import mano
from twohand_jax.inference.one_euro import OneEuro, OneEuroConfig
from twohand_jax.inference.reconstruct import Reconstruction
from twohand_jax.types import ManoModel, ManoParams

# Speeds are metres a second of translations, radians a second of the others.
PLACE = OneEuroConfig(min_cutoff=1.5, beta=12.0)
ANGLES = OneEuroConfig(min_cutoff=1.5, beta=0.8)
SHAPE = OneEuroConfig(min_cutoff=0.1)
FORGOTTEN_S = 0.5  # after which a hand that was away begins anew
NEAR = 1.0  # how far a hand moves between two frames, in box sides


class _Hand:
    """The filters of one hand, which begin anew after it was away."""

    def __init__(self) -> None:
        self.seen_s = -np.inf
        self.box = np.zeros(4)
        self._begin()

    def _begin(self) -> None:
        self._orient, self._pose = OneEuro(ANGLES), OneEuro(ANGLES)
        self._betas, self._transl = OneEuro(SHAPE), OneEuro(PLACE)
        self._last = np.array([0.0, 0.0, 0.0, 1.0])

    def filtered(
        self, params: ManoParams, box: np.ndarray, time_s: float
    ) -> ManoParams:
        if time_s - self.seen_s > FORGOTTEN_S:
            self._begin()
        self.seen_s, self.box = time_s, np.asarray(box)
        quaternion = Rotation.from_rotvec(params.global_orient).as_quat()
        # Both signs are the same rotation: that beside the last one is taken.
        quaternion *= 1.0 if quaternion @ self._last >= 0 else -1.0
        # Twice a quaternion's change is the angle, which the filter's speeds are of.
        self._last = self._orient(2 * quaternion, time_s)
        return ManoParams(
            Rotation.from_quat(self._last).as_rotvec(),
            self._pose(params.hand_pose, time_s),
            self._betas(params.betas, time_s),
            self._transl(params.transl, time_s),
        )


@dataclasses.dataclass
class _Person:
    hands: tuple[_Hand, _Hand] = dataclasses.field(
        default_factory=lambda: (_Hand(), _Hand())
    )


class _Match(NamedTuple):
    cost: float
    person: int
    known: int


class StreamFilter:
    """Steadies the people of one picture after the other."""

    def __init__(self, model: ManoModel) -> None:
        """Start without anybody.

        Args:
            model: hand model of the reconstructions.
        """
        self._model = model
        self._known: list[_Person] = []
        self._forward = jax.jit(mano.forward)

    def __call__(
        self, people: Sequence[Reconstruction], time_s: float
    ) -> list[Reconstruction]:
        """The people with steadied hands.

        Args:
            people: of the next picture.
            time_s: when it was taken, seconds.
        """
        known = self._matched(people, time_s)
        return [
            self._filtered(one, person, time_s)
            for one, person in zip(people, known, strict=True)
        ]

    def _matched(
        self, people: Sequence[Reconstruction], time_s: float
    ) -> list[_Person]:
        """Who they are; the nearest are taken first, who is new begins anew."""
        self._known = [
            person
            for person in self._known
            if time_s - max(hand.seen_s for hand in person.hands) <= FORGOTTEN_S
        ]
        ways = [
            _Match(_distance(one, person, time_s), at, number)
            for at, one in enumerate(people)
            for number, person in enumerate(self._known)
        ]
        found: dict[int, _Person] = {}
        taken: set[int] = set()
        for cost, at, number in sorted(ways):
            if cost <= NEAR and at not in found and number not in taken:
                found[at] = self._known[number]
                taken.add(number)
        matched = [found.get(at, _Person()) for at in range(len(people))]
        self._known += [person for at, person in enumerate(matched) if at not in found]
        return matched

    def _filtered(
        self, one: Reconstruction, person: _Person, time_s: float
    ) -> Reconstruction:
        prediction = one.prediction
        leaves = [np.array(leaf, np.float32) for leaf in prediction.mano]
        for side in np.flatnonzero(np.asarray(prediction.score) > 0).tolist():
            own = ManoParams(*(leaf[side] for leaf in leaves))
            steadied = person.hands[side].filtered(own, prediction.box[side], time_s)
            for leaf, value in zip(leaves, steadied, strict=True):
                leaf[side] = value
        params = ManoParams(*leaves)
        geometry = self._forward(self._model, params)
        wrists = np.asarray(geometry.joints)[:, 0]
        steady = prediction._replace(
            mano=params, geometry=geometry, rel_trans=wrists[1] - wrists[0]
        )
        return one._replace(prediction=steady)


def _distance(one: Reconstruction, person: _Person, time_s: float) -> float:
    """Between the boxes of a person's hands and those last seen, in their sides."""
    apart = []
    for side in np.flatnonzero(np.asarray(one.prediction.score) > 0).tolist():
        hand = person.hands[side]
        if time_s - hand.seen_s <= FORGOTTEN_S:
            apart.append(_apart(np.asarray(one.prediction.box[side]), hand.box))
    return min(apart, default=np.inf)


def _apart(box: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    middle, before = ((one[:2] + one[2:]) / 2 for one in (box, other))
    side = max(float((box[2:] - box[:2]).max()), 1.0)
    return float(np.linalg.norm(middle - before)) / side

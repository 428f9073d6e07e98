"""How two hands lie to each other: named arrangements, as plain data.

Directions are given in the right hand's palm frame (distal, palmar, radial): there the
right hand has the rows of the identity, and the left hand is described by where its
fingers point and its palm faces. It comes from ``approach`` until it touches.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Vector = tuple[float, float, float]
DISTAL, PALMAR, RADIAL = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
PROXIMAL, DORSAL, ULNAR = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)


class Template(NamedTuple):
    """One arrangement of two hands.

    Attributes:
        right: library poses that the right hand's is drawn between.
        left: the same for the left hand.
        distal: where the left fingers point.
        palmar: where the left palm faces.
        approach: from where the left hand comes.
        anchors: points of the right and the left hand that are brought together.
        turn: axis and range in degrees of a further random turn of the left hand.
        offset: place of the left anchor off the right one, metres.
        slide: move along ``approach`` until the hands touch; else ``offset`` is final.
        close: poses towards which the hands close on each other; "" stays.
        jitter: spread of the anchors across the approach, metres.
        tilt: spread of a random rotation of the left hand, degrees.
        noise: factor on the noise of the poses.
        weight: how often, relative to the other arrangements of its kind.
    """

    right: tuple[str, ...]
    left: tuple[str, ...]
    distal: Vector
    palmar: Vector
    approach: Vector
    anchors: tuple[str, str] = ("palm", "palm")
    turn: tuple[Vector, float, float] = (DISTAL, 0.0, 0.0)
    offset: Vector = (0.0, 0.0, 0.0)
    slide: bool = True
    close: tuple[str, str] = ("", "")
    jitter: float = 0.008
    tilt: float = 8.0
    noise: float = 1.0
    weight: float = 1.0


# Canonical joints whose mean is each anchor.
ANCHORS: dict[str, tuple[int, ...]] = {
    "palm": (0, 5, 9, 13, 17),
    "bases": (5, 9, 13, 17),
    "knuckles": (6, 10, 14, 18),
    "tips": (8, 12, 16, 20),
    "ends": (7, 11, 15, 19),
    "index_tip": (8,),
    "middle_tip": (12,),
    "pinky_tip": (20,),
    "thumb_tip": (4,),
    "index_shaft": (6, 7),
    "fingers": (6, 7, 10, 11, 14, 15, 18, 19),
    "thumb_shaft": (2, 3),
    "grip": (5, 6, 9, 10, 13, 14, 17, 18),
}

_FLAT = ("flat", "salute", "relaxed", "cup")
_OPEN = ("relaxed", "cup", "bowl", "spread", "rest_curled")
_WIDE = ("stop", "spread", "flat")
_FISTS = ("fist", "tight_fist", "loose_fist", "thumb_side", "wrap")
_POINTS = ("point", "point_soft", "hook_index", "gun")
_PINCHES = ("ok", "tripod", "pen", "pinch_middle", "key_pinch", "gather")

TOUCHING: dict[str, Template] = {
    "prayer": Template(
        _FLAT, _FLAT, DISTAL, DORSAL, PALMAR, turn=(PALMAR, -25.0, 25.0)
    ),
    "clap": Template(_FLAT, _FLAT, DISTAL, DORSAL, PALMAR, turn=(PALMAR, -90.0, 60.0)),
    "steeple": Template(
        ("claw", "ball", "spread", "bowl"),
        ("claw", "ball", "spread", "bowl"),
        DISTAL,
        DORSAL,
        PALMAR,
        anchors=("middle_tip", "middle_tip"),
        turn=(RADIAL, -70.0, -20.0),
        jitter=0.004,
    ),
    "tip_to_tip": Template(
        _PINCHES + _POINTS,
        _PINCHES + _POINTS,
        PROXIMAL,
        PALMAR,
        DISTAL,
        anchors=("index_tip", "index_tip"),
        turn=(PALMAR, -70.0, 70.0),
        jitter=0.005,
        tilt=20.0,
    ),
    "cupped": Template(
        ("cup", "bowl", "relaxed"),
        ("cup", "bowl", "relaxed"),
        DISTAL,
        PALMAR,
        ULNAR,
        turn=(DISTAL, 0.0, 45.0),
    ),
    "side_by_side": Template(
        _OPEN + _FLAT, _OPEN + _FLAT, DISTAL, PALMAR, RADIAL, tilt=15.0
    ),
    "back_to_back": Template(
        _FLAT, _FLAT, DISTAL, DORSAL, DORSAL, turn=(PALMAR, -60.0, 60.0), weight=0.5
    ),
    "palm_on_back": Template(
        _FLAT + _FISTS,
        _FLAT,
        (0.4, 0.0, -1.0),
        PALMAR,
        DORSAL,
        turn=(PALMAR, -50.0, 50.0),
        jitter=0.015,
    ),
    "point_into_palm": Template(
        _POINTS,
        _FLAT + _OPEN,
        DORSAL,
        PROXIMAL,
        DISTAL,
        anchors=("index_tip", "palm"),
        turn=(DISTAL, -90.0, 180.0),
        jitter=0.02,
        tilt=20.0,
    ),
    "point_at_back": Template(
        _POINTS,
        _FLAT + _FISTS,
        DORSAL,
        DISTAL,
        DISTAL,
        anchors=("index_tip", "bases"),
        turn=(DISTAL, -90.0, 180.0),
        jitter=0.02,
        tilt=20.0,
    ),
    "count_fingers": Template(
        _POINTS,
        ("spread", "four", "three", "relaxed", "claw"),
        DORSAL,
        PROXIMAL,
        DISTAL,
        anchors=("index_tip", "tips"),
        turn=(DISTAL, -90.0, 180.0),
        jitter=0.02,
        tilt=25.0,
    ),
    "stacked_fists": Template(
        _FISTS + ("cylinder",),
        _FISTS + ("cylinder",),
        DISTAL,
        DORSAL,
        RADIAL,
        tilt=15.0,
    ),
    "knuckle_bump": Template(
        _FISTS,
        _FISTS,
        PROXIMAL,
        PALMAR,
        DISTAL,
        anchors=("knuckles", "knuckles"),
        turn=(DISTAL, -60.0, 120.0),
        jitter=0.012,
        tilt=15.0,
    ),
    "fist_on_palm": Template(
        _FISTS,
        _FLAT + _OPEN,
        DORSAL,
        PROXIMAL,
        DISTAL,
        anchors=("knuckles", "palm"),
        turn=(DISTAL, -30.0, 120.0),
        jitter=0.012,
        tilt=12.0,
    ),
}

CLASPED: dict[str, Template] = {
    "interlocked": Template(
        ("woven",),
        ("woven",),
        DORSAL,
        PROXIMAL,
        PALMAR,
        anchors=("ends", "ends"),
        turn=(RADIAL, -10.0, 40.0),
        offset=(0.0, 0.0, 0.015),
        slide=False,
        close=("interlock", "interlock"),
        jitter=0.002,
        tilt=3.0,
        noise=0.3,
        weight=2.0,
    ),
    "interlocked_deep": Template(
        ("woven",),
        ("woven",),
        DORSAL,
        PROXIMAL,
        PALMAR,
        anchors=("fingers", "fingers"),
        turn=(RADIAL, -10.0, 40.0),
        offset=(0.0, 0.0, 0.015),
        slide=False,
        close=("interlock", "interlock"),
        jitter=0.002,
        tilt=3.0,
        noise=0.3,
        weight=1.0,
    ),
    "palm_clasp": Template(
        _WIDE,
        _WIDE,
        (0.2, 0.0, -1.0),
        DORSAL,
        PALMAR,
        anchors=("bases", "bases"),
        turn=(PALMAR, -35.0, 30.0),
        close=("wrap", "wrap"),
        jitter=0.01,
        weight=1.5,
    ),
    "hand_over_fist": Template(
        _FISTS,
        _WIDE,
        (0.3, 0.0, -1.0),
        PALMAR,
        (0.5, -1.0, 0.0),
        anchors=("bases", "palm"),
        turn=(PALMAR, -40.0, 40.0),
        close=("", "wrap"),
        jitter=0.012,
        weight=1.5,
    ),
    "fist_in_palm": Template(
        _FISTS,
        _WIDE,
        DORSAL,
        PROXIMAL,
        DISTAL,
        anchors=("knuckles", "bases"),
        turn=(DISTAL, -30.0, 120.0),
        close=("", "wrap"),
        jitter=0.01,
        weight=1.5,
    ),
    "hand_over_hand": Template(
        _FLAT,
        _WIDE,
        (0.3, 0.0, -1.0),
        PALMAR,
        DORSAL,
        anchors=("bases", "bases"),
        turn=(PALMAR, -40.0, 40.0),
        close=("", "wrap"),
        jitter=0.015,
    ),
    "hooked": Template(
        ("hook", "claw"),
        ("hook", "claw"),
        PROXIMAL,
        DORSAL,
        PALMAR,
        anchors=("fingers", "fingers"),
        turn=(PALMAR, -15.0, 15.0),
        offset=(-0.017, 0.0, 0.0),
        slide=False,
        close=("hook", "hook"),
        jitter=0.003,
    ),
    "hold_finger": Template(
        _POINTS[:2],
        _WIDE,
        RADIAL,
        DORSAL,
        PALMAR,
        anchors=("index_shaft", "grip"),
        turn=(DISTAL, -120.0, 60.0),
        close=("", "fist"),
        jitter=0.006,
    ),
    "hold_thumb": Template(
        ("thumb_up", "shaka"),
        _WIDE,
        (-0.82, 0.0, 0.57),
        DORSAL,
        PALMAR,
        anchors=("thumb_shaft", "grip"),
        turn=((0.57, 0.0, 0.82), -60.0, 60.0),
        close=("", "fist"),
        jitter=0.005,
    ),
    "hold_fingers": Template(
        ("salute", "cup", "duckbill"),
        _WIDE,
        RADIAL,
        DORSAL,
        PALMAR,
        anchors=("fingers", "grip"),
        turn=(DISTAL, -20.0, 20.0),
        close=("", "fist"),
    ),
}


def left_axes(template: Template) -> Float[np.ndarray, "3 3"]:
    """Columns distal, palmar, radial of the left hand in the right palm's frame."""
    distal = np.asarray(template.distal) / np.linalg.norm(template.distal)
    palmar = np.asarray(template.palmar) / np.linalg.norm(template.palmar)
    return np.stack([distal, palmar, -np.cross(distal, palmar)], axis=-1)


def anchor_weights(name: str) -> Float[np.ndarray, "21"]:
    """Weights over the 21 joints whose sum is the anchor."""
    weights = np.zeros(21)
    weights[list(ANCHORS[name])] = 1.0 / len(ANCHORS[name])
    return weights

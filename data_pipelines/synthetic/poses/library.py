"""The project's own hand poses, and how two hands lie to each other, by name.

Poses are anatomical joint angles in degrees. Columns: for index, middle, ring and pinky
the flexion of the base (MCP), its abduction, and the flexion of the middle (PIP) and
end joint (DIP); for the thumb radial and palmar abduction, opposition, and the flexion
of its two outer joints (``angles.NAMES``).

Directions of arrangements are given in the right hand's palm frame (distal, palmar,
radial): there the right hand has the rows of the identity, and the left hand is
described by where its fingers point and its palm faces. It comes from ``approach``
until it touches.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax.pipelines.synthetic.poses.angles import COUNT

_TABLE = """
flat         0,-4,2,1      0,0,2,1       0,-1,2,1      0,-3,3,1      25,15,0,0,0
relaxed      18,0,28,14    24,0,32,16    28,0,34,16    30,0,32,14    32,28,10,8,12
rest_curled  30,-3,45,25   36,0,50,28    42,-1,52,28   46,-2,48,26   30,32,15,12,18
spread       0,14,2,1      0,0,2,1       0,12,2,1      0,20,3,1      55,20,0,0,0
salute       3,-5,4,2      3,0,4,2       3,-2,4,2      4,-4,5,2      15,8,0,10,5
stop         -8,4,2,0      -8,0,2,0      -8,4,2,0      -8,8,3,0      45,12,0,0,0
fist         82,0,98,60    86,0,100,62   86,0,100,62   84,0,96,58    28,38,28,30,35
tight_fist   88,0,108,70   90,0,108,70   90,0,108,70   88,0,104,66   25,40,34,40,50
loose_fist   62,0,84,44    68,0,86,46    72,0,86,46    72,0,82,42    28,38,22,22,25
thumb_up     80,0,98,60    84,0,100,62   84,0,100,62   82,0,96,58    55,10,0,-5,-10
thumb_side   80,0,98,60    84,0,100,62   84,0,100,62   82,0,96,58    22,18,0,10,5
point        0,0,3,1       78,0,98,60    82,0,100,62   82,0,96,58    28,40,28,30,40
point_soft   10,0,20,10    55,0,75,40    62,0,78,42    64,0,74,38    28,38,18,20,25
gun          0,0,3,1       78,0,98,60    82,0,100,62   82,0,96,58    55,10,0,-5,-10
ell          0,0,3,1       82,0,100,62   84,0,100,62   82,0,96,58    62,15,0,0,-5
hook_index   20,0,70,45    78,0,98,60    82,0,100,62   82,0,96,58    28,40,28,30,40
victory      0,8,3,1       0,-8,3,1      80,0,100,62   80,0,96,58    25,45,34,35,45
victory_bent 30,6,40,20    30,-6,40,20   78,0,98,60    78,0,94,56    25,45,32,32,40
two_together 0,-5,3,1      0,2,3,1       82,0,100,62   82,0,96,58    25,45,34,35,45
three        0,10,3,1      0,0,3,1       0,10,3,1      76,0,96,58    25,50,40,38,45
four         0,10,3,1      0,0,3,1       0,8,3,1       0,16,3,1      18,45,40,40,50
horns        0,6,3,1       78,0,100,62   80,0,100,62   0,10,3,1      25,42,30,35,45
love         0,8,3,1       78,0,100,62   80,0,100,62   0,12,3,1      60,15,0,0,-5
shaka        74,0,96,58    80,0,100,62   76,0,96,58    0,16,3,1      60,15,0,-5,-10
pinky_up     72,0,94,56    76,0,98,60    70,0,92,54    5,8,5,2       28,40,25,28,35
ok           56,8,52,21    12,2,12,6     6,4,8,4       2,8,6,3       22,48,40,13,6
pinch_middle 18,8,16,8     62,5,54,18    16,6,16,8     8,10,12,6     6,60,43,18,9
pinch_ring   10,8,10,5     20,2,22,12    62,-6,50,13   20,4,24,12    5,60,33,28,10
pinch_pinky  6,8,8,4       10,2,12,6     24,2,28,14    70,-5,38,6    5,60,23,42,14
tripod       56,6,52,19    48,-2,50,24   56,0,60,30    60,0,60,30    20,49,40,13,5
pen          56,5,54,16    46,0,60,24    58,0,78,40    62,0,80,40    20,48,37,12,6
key_pinch    50,0,66,36    56,0,74,42    62,0,78,44    64,0,76,42    24,28,10,8,14
gather       50,-6,44,16   54,0,46,18    54,-4,46,18   52,-8,44,18   12,58,40,16,4
duckbill     62,-5,4,2     64,0,4,2      66,-2,4,2     66,-4,5,2     30,50,24,5,5
tabletop     80,-3,4,2     82,0,4,2      82,0,4,2      80,-2,5,2     22,15,5,5,5
hook         4,-3,92,56    4,0,94,58     4,0,94,58     6,-2,90,54    24,18,5,5,5
claw         -6,10,56,34   -6,0,58,36    -6,8,58,36    -6,14,54,32   50,34,10,5,30
cup          26,-5,22,10   28,0,24,12    30,-2,24,12   32,-4,24,12   28,30,10,5,8
bowl         34,6,30,16    34,0,32,16    34,6,32,16    34,10,30,14   46,46,20,5,14
cylinder     46,2,46,24    50,0,48,26    52,2,48,26    54,4,46,24    36,52,26,10,18
thick_grasp  30,6,34,18    32,0,36,18    34,6,36,18    36,10,34,16   48,54,24,4,10
ball         36,12,32,18   36,0,34,18    36,10,34,18   36,16,32,16   48,52,26,6,14
woven        6,10,6,3      4,0,6,3       4,15,6,3      4,24,6,3      50,25,0,0,5
interlock    66,10,40,15  66,2,44,16   66,8,44,16   64,14,40,14  40,40,20,10,20
wrap         60,0,62,34    64,0,66,36    66,0,66,36    68,0,62,34    34,54,30,14,22
phone        22,4,34,18    28,0,40,22    34,2,44,24    40,4,46,24    44,36,14,4,20
mouse        6,4,22,12     8,0,24,12     14,4,26,14    18,8,28,14    36,30,8,5,10
piano        14,6,34,18    16,0,36,20    16,4,36,20    14,10,32,16   42,26,6,2,14
snap         30,2,34,16    60,5,55,19    74,0,92,52    76,0,90,50    7,58,40,17,8
scissor_grip 4,-2,8,4      14,-6,14,6    52,0,66,36    56,0,66,36    28,34,14,10,16
tea_cup      46,2,58,30    42,0,58,30    36,2,48,24    18,8,26,12    16,42,33,12,0
"""


def _read(table: str) -> tuple[tuple[str, ...], Float[np.ndarray, "n 21"]]:
    rows = [line.replace(",", " ").split() for line in table.strip().splitlines()]
    values = np.asarray([row[1:] for row in rows], np.float64)
    assert values.shape == (len(rows), COUNT), values.shape
    return tuple(row[0] for row in rows), np.deg2rad(values)


NAMES, ANGLES = _read(_TABLE)


def named(name: str) -> Float[np.ndarray, "21"]:
    """The angles of one pose, radians."""
    if name not in NAMES:
        raise KeyError(f"No pose is called {name!r}; there are: {', '.join(NAMES)}.")
    return ANGLES[NAMES.index(name)]


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

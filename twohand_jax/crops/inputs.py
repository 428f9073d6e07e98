"""From a canvas, hand boxes and cues to the network's inputs.

Training, evaluation and inference all use ``make_inputs``, so a crop means the same
thing everywhere (METHOD §§2-3).
"""

import dataclasses

import chex
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from twohand_jax import fields
from twohand_jax.crops import cue_table
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.crops.cue_kinds import Sheet
from twohand_jax.crops.cue_table import CUE_KINDS
from twohand_jax.crops.pointing import record_angles
from twohand_jax.geometry import affine, boxes, cameras
from twohand_jax.mano.joint_set import KINDS, POSED
from twohand_jax.types import LEFT, RIGHT, Camera, Cues, Inputs, Targets

PLACED_BY = ("camera", "joints", "transnet")
CENTERS = ("middle", "half")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How hands are cut out, and the units of the network's estimates.

    Attributes:
        crop_size: side of a hand's crop in pixels.
        box_scale: ratio of the hand box to the tight box of the 2D joints.
        crop_scale: ratio of the crop's side to the longer side of the hand box.
        cells: side of the heat map in cells (x, y and z).
        box_3d_m: depth that the heat map spans about the wrist, metres.
        focal: focal length of the virtual camera in pixels of a 256-pixel crop.
        gate: cues that are reduced when hands overlap, so that the hands can't be
            confused: of keypoints only the wrists are left, and in the segmentation
            both hands have the same label.
        crop_view: whether the network estimates a hand's orientation relative to the
            crop's ray instead of the optical axis of the picture's camera, which a
            crop does not show.
        fingers_up: whether each crop is rotated so that its hand points up
            (``crops.pointing``), and estimates are those of the rotated hand.
        placed_by: what places a hand in the picture's camera: "camera" is the camera
            head, with TransNet for overlapping hands; "joints" is the alignment of the
            posed hand with the 2D joints, with TransNet's difference of depths for all
            pairs; "transnet" is "camera" with TransNet for all pairs, as InterWild is
            evaluated.
        center: where the middle of a hand's box falls: "middle" is the crop's own,
            pixel (crop_size - 1) / 2; "half" is pixel crop_size / 2 of the crop before
            a left hand's is mirrored, and the virtual camera's principal point lies
            there, too, as in InterWild.
        flat_hand_mean: whether finger rotations are relative to a flat hand. If not,
            their axis-angles are added to the hand model's mean pose, as in InterWild;
            smplx has the same switch.
        wrist: which of a posed hand's wrists is placed: "kinematic", the one that it
            turns about, or "regressed" from its surface, as in InterWild
            (``mano.joint_set``).
    """

    crop_size: int = 256
    box_scale: float = boxes.HAND_BOX_SCALE
    crop_scale: float = 2.0
    cells: int = 8
    box_3d_m: float = 0.3
    focal: float = 5000.0
    gate: tuple[str, ...] = ("keypoints", "segmentation")
    crop_view: bool = False
    fingers_up: bool = False
    placed_by: str = PLACED_BY[0]
    center: str = CENTERS[0]
    flat_hand_mean: bool = True
    wrist: str = POSED.kind

    def __post_init__(self) -> None:
        gates = [name for name, kind in CUE_KINDS.items() if kind.gate]
        cue_table.check_field(self, "gate", among=gates)
        fields.check(
            self,
            crop_size=fields.COUNT,
            box_scale=fields.POSITIVE,
            crop_scale=fields.POSITIVE,
            cells=fields.COUNT,
            box_3d_m=fields.POSITIVE,
            focal=fields.POSITIVE,
            placed_by=PLACED_BY,
            center=CENTERS,
            wrist=tuple(KINDS),
        )

    @property
    def room(self) -> float:
        """Factor on the crops' sides that a canvas covers, for all ways they turn."""
        return 2**0.5 if self.fingers_up else 1.0

    def canvas(self, *, size: int = 512, room: float = 1.0) -> CanvasConfig:
        """The canvas that crops are cut from.

        Args:
            size: side of the canvas in pixels.
            room: factor on the crops' sides that it covers; training needs some.
        """
        return CanvasConfig(
            size=size,
            crop_size=self.crop_size,
            crop_scale=self.crop_scale,
            room=max(room, self.room),
        )


def hand_angles(
    targets: Targets, cues: Cues, *, crop: CropConfig
) -> Float[Array, "*b 2"] | None:
    """By how much the boxes of a record's hands are turned; None for upright crops."""
    return record_angles(targets, cues) if crop.fingers_up else None


def hand_boxes(
    targets: Targets,
    *,
    crop: CropConfig,
    angle: Float[Array, "*b 2"] | None = None,
) -> Float[Array, "*b 2 4"]:
    """Unexpanded hand boxes in pixels: around the 2D joints, else those of the labels.

    The joints' box is used if more than half of the joints are labelled.

    Args:
        targets: labels of the picture.
        crop: how hands are cut out.
        angle: angle of the boxes about their centres, radians, x towards y.
    """
    valid = targets.joints_2d_valid
    enough = 2 * jnp.sum(valid, axis=-1) > valid.shape[-1]
    box = boxes.around_joints(
        targets.joints_2d, valid, scale=crop.box_scale, angle=angle
    )
    return jnp.where(enough[..., None], box, targets.box)


def make_inputs(
    canvas: UInt8[Array, "*b c c 3"],
    T_canvas_image: Float[Array, "*b 2 3"],
    cues: Cues,
    hand_boxes: Float[Array, "*b 2 4"],
    hand_valid: Bool[Array, "*b 2"],
    *,
    crop: CropConfig,
    scale: Float[Array, "*b"] | float = 1.0,
    angle: Float[Array, "*b 2"] | None = None,
) -> Inputs:
    """Cut both hands' crops and draw their cues.

    Args:
        canvas: 8-bit RGB canvas that covers both crops as far as the picture does.
        T_canvas_image: maps picture pixels to canvas pixels; may rotate and mirror.
        cues: maps in canvas pixels, keypoints in picture pixels; each is drawn.
        hand_boxes: unexpanded boxes in picture pixels, right then left.
        hand_valid: which hands are there; an absent hand's crop shows the other's box.
        scale: extra factor on the side of the crops.
        angle: radians by which the boxes are turned about their centres, see
            ``CanvasView``; left alone where the crops stand upright.
    """
    chex.assert_shape(
        [canvas, T_canvas_image, hand_boxes, hand_valid],
        [(..., None, None, 3), (..., 2, 3), (..., 2, 4), (..., 2)],
    )
    if not crop.fingers_up:
        angle = None
    box, turn = _filled(hand_boxes, angle, hand_valid, T_canvas_image, canvas.shape[-2])
    T_crop_image = _crop_maps(box, turn, scale, crop)
    T_canvas_crop = affine.compose(
        T_canvas_image[..., None, :, :], affine.invert(T_crop_image)
    )
    overlap = boxes.overlap(hand_boxes, hand_valid, angle=angle)
    sheet = Sheet(
        cues=cues,
        cut=_cut_maps(cues, T_canvas_crop, crop.crop_size),
        T_crop_image=T_crop_image,
        overlap=overlap,
        size=crop.crop_size,
        gated=crop.gate,
    )
    return Inputs(
        image=_cut(canvas, T_canvas_crop, crop.crop_size) / 255.0,
        cues={name: CUE_KINDS[name].draw(sheet) for name in cues.values},
        present=dict(cues.present),
        T_crop_image=T_crop_image,
        box=box,
        hand_valid=hand_valid,
        overlap=overlap,
    )


def virtual_cameras(crop: CropConfig) -> Camera:
    """The virtual cameras of the right and the left hand's crop, ``(2, 2)`` each."""
    camera = cameras.virtual(crop.crop_size, focal=crop.focal)
    right = left = camera.center
    if crop.center == "half":
        # The left crop is mirrored after it was cut out.
        left = jnp.stack([crop.crop_size - 1 - right[0], right[1]])
    return Camera(
        focal=jnp.stack([camera.focal, camera.focal]), center=jnp.stack([right, left])
    )


def _crop_maps(
    box: Float[Array, "*b 2 4"],
    angle: Float[Array, "*b 2"] | None,
    scale: Float[Array, "*b"] | float,
    crop: CropConfig,
) -> Float[Array, "*b 2 2 3"]:
    """Maps from the picture to both hands' crops; the left one is mirrored."""
    square = boxes.square(box)
    factor = jnp.asarray(crop.crop_scale * scale)[..., None, None]
    grown = boxes.from_center(boxes.center(square), boxes.size(square) * factor)
    return affine.crop(
        grown,
        size=crop.crop_size,
        angle=0.0 if angle is None else -angle,
        mirror=jnp.array([False, True]),
        center=crop.crop_size / 2 if crop.center == "half" else None,
    )


def _filled(
    box: Float[Array, "*b 2 4"],
    angle: Float[Array, "*b 2"] | None,
    valid: Bool[Array, "*b 2"],
    T_canvas_image: Float[Array, "*b 2 3"],
    canvas_size: int,
) -> tuple[Float[Array, "*b 2 4"], Float[Array, "*b 2"] | None]:
    """Boxes and angles, with the other hand's or the canvas for a hand not there."""
    end = canvas_size - 1.0
    corners = jnp.array([[0.0, 0.0], [end, 0.0], [0.0, end], [end, end]], box.dtype)
    seen = affine.apply(
        affine.invert(T_canvas_image),
        jnp.broadcast_to(corners, (*box.shape[:-2], 4, 2)),
    )
    canvas_box = boxes.from_points(seen)[..., None, :]
    usable = valid & (jnp.max(boxes.size(box), axis=-1) > 0)
    spare = jnp.where(jnp.flip(usable, -1)[..., None], jnp.flip(box, -2), canvas_box)
    box = jnp.where(usable[..., None], box, spare)
    if angle is None:
        return box, None
    other = jnp.where(jnp.flip(usable, -1), jnp.flip(angle, -1), 0.0)
    return box, jnp.where(usable, angle, other)


def _cut(
    image: Array,
    T_image_crop: Float[Array, "*b 2 2 3"],
    size: int,
    *,
    nearest: bool = False,
) -> Float[Array, "*b 2 s s c"]:
    """Both hands' crops of one picture."""
    hands = [
        affine.warp(image, T_image_crop[..., hand, :, :], size=size, nearest=nearest)
        for hand in (RIGHT, LEFT)
    ]
    return jnp.stack(hands, axis=-4)


def _cut_maps(
    cues: Cues, T_canvas_crop: Float[Array, "*b 2 2 3"], size: int
) -> dict[str, Array]:
    """Both crops of each map, unmixed: the nearest pixel of all maps at once."""
    flat = {}
    for name, value in cues.values.items():
        storage = cue_table.map_storage(name)
        if storage is not None:
            many = value[..., None] if storage.channels == 1 else value
            flat[name] = many.astype(jnp.float32)
    if not flat:
        return {}
    stacked = jnp.concatenate(list(flat.values()), axis=-1)
    cut = _cut(stacked, T_canvas_crop, size, nearest=True)
    parts, start = {}, 0
    for name, many in flat.items():
        channels = many.shape[-1]
        part = cut[..., start : start + channels]
        parts[name] = part[..., 0] if channels == 1 else part
        start += channels
    return parts

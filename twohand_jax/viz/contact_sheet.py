"""Contact sheets of records: labels, fitted hand model, cues and depth side by side."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax.mano.joints import BONES
from twohand_jax.types import Camera
from twohand_jax.viz.render import Mesh, Scene, paste, render

# Right hands in warm, left hands in cold colours; fingers from light to dark.
HAND_COLORS = ((255, 120, 40), (60, 160, 255))
LABEL_COLORS = np.array([[0, 0, 0], [230, 90, 30], [40, 120, 230]], np.uint8)
MIN_SCORE = 0.0
PANELS = ("labels", "fit of the hand model", "keypoints and segmentation", "depth")
DARK, GREY = 24, 150
MARGIN = 1.5
FAR_PX = 10_000
MESH_OPACITY = 0.78
OCCLUSION_RAYS = 12


class RecordView(NamedTuple):
    """What is drawn of a record, numpy, in pixels of its picture; right hand first.

    Attributes:
        image: picture, RGB.
        box: of the unexpanded hands.
        hand_valid: which boxes count.
        joints_px: labelled joints.
        joints_valid: which of them count.
        meshes: posed hands in the camera frame; none where there is no fit.
        camera: of the picture; only used with meshes.
        keypoints: the cue, x, y and score; None where there is none.
        segmentation: 0 background, 1 right, 2 left; None where there is none.
        depth: relative depth, 0 outside of the hands; None where there is none.
    """

    image: UInt8[np.ndarray, "h w 3"]
    box: Float[np.ndarray, "2 4"]
    hand_valid: Bool[np.ndarray, "2"]
    joints_px: Float[np.ndarray, "2 21 2"]
    joints_valid: Bool[np.ndarray, "2 21"]
    meshes: Sequence[Mesh]
    camera: Camera
    keypoints: Float[np.ndarray, "2 21 3"] | None
    segmentation: UInt8[np.ndarray, "h w"] | None
    depth: Float[np.ndarray, "h w"] | None


class Window(NamedTuple):
    """A square of a picture, in whole pixels, that may reach beyond its borders."""

    x: int
    y: int
    side: int

    def cut(self, picture: np.ndarray, size: int, way: int) -> np.ndarray:
        """The square, drawn ``size`` pixels wide."""
        height, width = picture.shape[:2]
        x0, y0 = max(self.x, 0), max(self.y, 0)
        x1, y1 = min(self.x + self.side, width), min(self.y + self.side, height)
        square = np.zeros((self.side, self.side, *picture.shape[2:]), picture.dtype)
        square[y0 - self.y : y1 - self.y, x0 - self.x : x1 - self.x] = picture[
            y0:y1, x0:x1
        ]
        return cv2.resize(square, (size, size), interpolation=way)

    def move(
        self, points: Float[np.ndarray, "*b 2"], size: int
    ) -> Float[np.ndarray, "*b 2"]:
        """Points of the picture in pixels of the drawn square."""
        return (points - (self.x, self.y) + 0.5) * (size / self.side) - 0.5


def panels(view: RecordView, *, size: int = 256) -> UInt8[np.ndarray, "size w 3"]:
    """One record as the four ``PANELS``, each ``size`` pixels wide, 4 pixels apart.

    They show the part of the picture about the hands: as much as 1.5 times their
    common box.
    """
    window = around_hands(view)
    way = cv2.INTER_AREA if window.side > size else cv2.INTER_CUBIC
    picture = window.cut(view.image, size, way)
    gap = np.full((size, 4, 3), DARK, np.uint8)
    drawn = (
        _labels(view, window, picture),
        _fit(view, window, picture),
        _cues(view, window, picture),
        _depth(view, window, size),
    )
    parts = [part for panel in drawn for part in (panel, gap)]
    return np.concatenate(parts[:-1], axis=1)


def around_hands(view: RecordView) -> Window:
    """The square about the valid hands, moved into the picture where it is larger."""
    height, width = view.image.shape[:2]
    box = view.box[view.hand_valid]
    if not len(box):
        box = np.array([[0, 0, width, height]], np.float32)
    low, high = box[:, :2].min(axis=0), box[:, 2:].max(axis=0)
    wanted = MARGIN * float((high - low).max())
    side = int(np.clip(wanted, 16, max(height, width)))
    corner = np.rint((low + high - side) / 2).clip(-FAR_PX, FAR_PX).astype(int)
    free = np.array([width, height]) - side
    # Inside of the picture along sides that are long enough, else in their middle.
    inside = np.clip(corner, 0, np.maximum(free, 0))
    x, y = np.where(free >= 0, inside, free // 2).tolist()
    return Window(x, y, side)


def grid(
    tiles: Sequence[UInt8[np.ndarray, "th tw 3"]], *, columns: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Tiles row by row on a dark sheet; tiles may differ in width."""
    gap, ground = 6, 40
    height = max(tile.shape[0] for tile in tiles)
    width = max(tile.shape[1] for tile in tiles)
    rows = -(-len(tiles) // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(shape, ground, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        y, x = gap + row * (height + gap), gap + column * (width + gap)
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


def captioned(
    tile: UInt8[np.ndarray, "h w 3"], caption: str
) -> UInt8[np.ndarray, "h w 3"]:
    """The tile with a line of text in its upper left corner."""
    out = tile.copy()
    _write(out, caption, (4, 12), (255, 255, 255))
    return out


def _labels(
    view: RecordView, window: Window, picture: UInt8[np.ndarray, "s s 3"]
) -> UInt8[np.ndarray, "s s 3"]:
    size = len(picture)
    out = picture.copy()
    for hand in np.flatnonzero(view.hand_valid):
        corners = _whole(window.move(view.box[hand].reshape(2, 2), size))
        first, second = corners.tolist()
        cv2.rectangle(out, first, second, HAND_COLORS[hand], 1)
    joints = window.move(view.joints_px, size)
    return _draw_hands(out, joints, view.joints_valid)


def _fit(
    view: RecordView, window: Window, picture: UInt8[np.ndarray, "s s 3"]
) -> UInt8[np.ndarray, "s s 3"]:
    size = len(picture)
    if not view.meshes:
        return _nothing(size, "no fit of this hand model")
    camera = Camera(
        focal=np.asarray(view.camera.focal) * (size / window.side),
        center=window.move(np.asarray(view.camera.center), size),
    )
    scene = Scene(view.meshes, occlusion_rays=OCCLUSION_RAYS)
    rgba = render(scene, camera, height=size, width=size).rgba
    rgba[..., 3] = np.rint(rgba[..., 3] * MESH_OPACITY)
    return paste(rgba, picture)


def _cues(
    view: RecordView, window: Window, picture: UInt8[np.ndarray, "s s 3"]
) -> UInt8[np.ndarray, "s s 3"]:
    size = len(picture)
    if view.segmentation is None and view.keypoints is None:
        return _nothing(size, "neither keypoints nor segmentation")
    out = picture // 2
    if view.segmentation is not None:
        labels = window.cut(view.segmentation, size, cv2.INTER_NEAREST)
        colors = LABEL_COLORS[np.minimum(labels, len(LABEL_COLORS) - 1)]
        out = cv2.addWeighted(picture, 0.5, colors, 0.6, 0.0)
    if view.keypoints is None:
        return out
    found = view.keypoints[..., 2] > MIN_SCORE
    return _draw_hands(out, window.move(view.keypoints[..., :2], size), found)


def _depth(view: RecordView, window: Window, size: int) -> UInt8[np.ndarray, "s s 3"]:
    if view.depth is None:
        return _nothing(size, "no depth")
    depth = window.cut(view.depth, size, cv2.INTER_NEAREST)
    shade = np.where(depth > 0, 1.0 - 0.85 * np.clip(depth, 0, 1), 0.0) * 255
    return np.repeat(shade.astype(np.uint8)[..., None], 3, axis=-1)


def _nothing(size: int, why: str) -> UInt8[np.ndarray, "s s 3"]:
    out = np.full((size, size, 3), DARK, np.uint8)
    _write(out, why, (8, size // 2), (GREY,) * 3)
    return out


def _draw_hands(
    picture: UInt8[np.ndarray, "h w 3"],
    points: Float[np.ndarray, "2 21 2"],
    valid: Bool[np.ndarray, "2 21"],
) -> UInt8[np.ndarray, "h w 3"]:
    out = picture.copy()
    moved = _whole(points)
    for hand, color in enumerate(HAND_COLORS):
        for parent, child in BONES:
            if valid[hand, parent] and valid[hand, child]:
                ends = moved[hand, parent].tolist(), moved[hand, child].tolist()
                shade = _finger_shade(color, (child - 1) // 4)
                cv2.line(out, *ends, shade, 1, cv2.LINE_AA)
        for joint in np.flatnonzero(valid[hand]):
            cv2.circle(out, moved[hand, joint].tolist(), 2, color, -1, cv2.LINE_AA)
    return out


def _whole(points: Float[np.ndarray, "*b 2"]) -> Int[np.ndarray, "*b 2"]:
    """Whole pixels that OpenCV can draw to, however far off a label is."""
    return np.rint(np.clip(points, -FAR_PX, FAR_PX)).astype(int)


def _finger_shade(color: tuple[int, int, int], finger: int) -> tuple[int, ...]:
    """The thumb is white, so that a swapped hand shows."""
    if finger == 0:
        return (255, 255, 255)
    return tuple(int(value * (1.05 - 0.13 * finger)) for value in color)


def _write(
    tile: UInt8[np.ndarray, "h w 3"],
    line: str,
    place: tuple[int, int],
    color: tuple[int, ...],
) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    line = line.encode("ascii", "replace").decode()  # all that the font has
    # The outline is the text moved about: a thicker one would be wider, too.
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        moved = place[0] + dx, place[1] + dy
        cv2.putText(tile, line, moved, font, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(tile, line, place, font, 0.38, color, 1, cv2.LINE_AA)

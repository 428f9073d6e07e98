"""Sheets to look at: records, cues of a picture, pairs of hands."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax.crops.canvas import Window
from twohand_jax.crops.cue_kinds import hand_pixels
from twohand_jax.mano.joints import BONES
from twohand_jax.types import NUM_JOINTS, Camera, Cues, ManoModel
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import Mesh, RayScene, paste, render

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
    scene = RayScene(view.meshes, occlusion_rays=OCCLUSION_RAYS)
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


# Right hands in warm, left hands in cold colours.
CUE_COLORS = ((255, 120, 40), (60, 160, 255))
MAX_SIDE, MIN_SIDE = 720, 240
INK = (250, 250, 250)
SHADOW = (20, 20, 20)
# Brightness at the far end of the depth; the near end has 1.
FAR_COLOR = 0.25


def draw_cues(
    image: UInt8[np.ndarray, "h w 3"], boxes: Float[np.ndarray, "2 4"], cues: Cues
) -> UInt8[np.ndarray, "H W 3"]:
    """Three panels: boxes with keypoints, labels over the picture, depth.

    Args:
        image: the picture; its longer side is drawn with 240 to 720 pixels.
        boxes: of the hands, pixels; empty ones are not drawn.
        cues: of the picture; a panel without its cue says so.
    """
    longer = max(image.shape[:2])
    factor = float(np.clip(longer, MIN_SIDE, MAX_SIDE)) / longer
    size = (
        max(1, round(image.shape[1] * factor)),
        max(1, round(image.shape[0] * factor)),
    )
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, size, interpolation=way)
    panels = [
        _hands_panel(small, boxes, cues, factor),
        _label_panel(small, cues, size),
        _depth_panel(cues, size),
    ]
    names = ("keypoints", "segmentation", "depth")
    for panel, name in zip(panels, names, strict=True):
        _write_label(panel, name if cues.has(name) else f"no {name}")
    gap = np.full((size[1], max(4, size[0] // 100), 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def _hands_panel(
    picture: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "2 4"],
    cues: Cues,
    factor: float,
) -> UInt8[np.ndarray, "h w 3"]:
    panel = picture.copy()
    thick = max(1, round(max(panel.shape) / 300))

    def pixel(point: np.ndarray) -> tuple[int, int]:
        return round(float(point[0]) * factor), round(float(point[1]) * factor)

    keypoints = cues.values.get("keypoints", np.zeros((2, NUM_JOINTS, 3)))
    for box, points, color in zip(boxes, keypoints, CUE_COLORS, strict=True):
        if (box[2:] > box[:2]).all():
            cv2.rectangle(panel, pixel(box[:2]), pixel(box[2:]), color, thick)
        for parent, child in BONES:
            if points[parent, 2] > 0 and points[child, 2] > 0:
                ends = pixel(points[parent]), pixel(points[child])
                cv2.line(panel, *ends, color, thick + 1, cv2.LINE_AA)
        for point in points[points[:, 2] > 0]:
            cv2.circle(panel, pixel(point), thick + 1, INK, -1, cv2.LINE_AA)
    return panel


def _label_panel(
    picture: UInt8[np.ndarray, "h w 3"], cues: Cues, size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    if not cues.has("segmentation"):
        return picture // 2
    labels = cues.values["segmentation"]
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    paint = np.array([SHADOW, *CUE_COLORS], np.uint8)[labels]
    share = np.where(labels > 0, 0.6, 0.35)[..., None]
    return np.rint(picture * (1 - share) + paint * share).astype(np.uint8)


def _depth_panel(cues: Cues, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    if not cues.has("depth"):
        return np.zeros((size[1], size[0], 3), np.uint8)
    depth, there = cues.values["depth"], hand_pixels(cues, "depth")
    near = np.where(there, 1 - (1 - FAR_COLOR) * depth, 0.0)
    grey = cv2.resize(near.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _write_label(panel: UInt8[np.ndarray, "h w 3"], text: str) -> None:
    scale = max(panel.shape) / 900
    place = (round(12 * scale), panel.shape[0] - round(14 * scale))
    for color, thick in ((SHADOW, 4), (INK, 1)):
        width = max(1, round(thick * scale * 1.5))
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(panel, text, place, font, scale, color, width, cv2.LINE_AA)


PAPER = (247, 246, 243)
TANGENT = 0.18  # of half the field of view: a long lens
PAIR_MARGIN = 1.12
# Looking down on what the first camera sees: what is near comes to the lower edge.
FROM_ABOVE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def pair_sheet(
    model: ManoModel,
    vertices: Float[np.ndarray, "n 2 778 3"],
    *,
    columns: int = 4,
    height: int = 240,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw pairs of hands row by row, each as a tile with two views.

    Args:
        model: hand model, for its faces.
        vertices: vertices of at least one pair, metres.
        columns: number of tiles in a row.
        height: height of a tile in pixels.
    """
    tiles = [pair_tile(model, pair, height=height) for pair in np.asarray(vertices)]
    return grid(tiles, columns=min(columns, len(tiles)))


def pair_tile(
    model: ManoModel, vertices: Float[np.ndarray, "2 778 3"], *, height: int = 240
) -> UInt8[np.ndarray, "h w 3"]:
    """One pair from where it is widest, and turned a quarter about its longest axis.

    Args:
        model: for the faces.
        vertices: right and left hand, metres.
        height: in pixels; each view is a square.
    """
    meshes = hand_meshes(model, vertices, np.ones(2, bool))
    front = _viewpoint(np.concatenate(vertices))
    views = [_turned(meshes, R) for R in (front, FROM_ABOVE @ front)]
    extent = PAIR_MARGIN * max(
        np.ptp(_points(view)[:, :2], axis=0).max() for view in views
    )
    return np.concatenate([_draw(view, extent, height) for view in views], axis=1)


def _viewpoint(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation into a camera that sees the widest side, x right along the longest."""
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.sign(largest)  # the decomposition leaves the signs open
    axes[2] = np.cross(axes[0], axes[1])
    return axes


def _turned(meshes: list[Mesh], rotation: Float[np.ndarray, "3 3"]) -> list[Mesh]:
    return [mesh._replace(vertices=mesh.vertices @ rotation.T) for mesh in meshes]


def _points(meshes: list[Mesh]) -> Float[np.ndarray, "n 3"]:
    return np.concatenate([mesh.vertices for mesh in meshes])


def _draw(meshes: list[Mesh], extent: float, size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The meshes centred, and so far away that ``extent`` metres fill the picture."""
    points = _points(meshes)
    low, high = points.min(axis=0), points.max(axis=0)
    distance = extent / (2 * TANGENT) + (high - low)[2] / 2
    shift = np.array([0.0, 0.0, distance]) - (low + high) / 2
    moved = [mesh._replace(vertices=mesh.vertices + shift) for mesh in meshes]
    camera = Camera(np.full(2, size / (2 * TANGENT)), np.full(2, (size - 1) / 2))
    drawn = render(RayScene(moved), camera, height=size, width=size).rgba
    return paste(drawn, np.full((size, size, 3), PAPER, np.uint8))

"""Puts all surfaces of a picture into one vertex array, ready to be drawn."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from twohand_jax.pipelines.synthetic.render.forearm import (
    RING_DISTANCES,
    Centerline,
    clear_centerline,
    sleeve_rings,
    tube_rings,
)
from twohand_jax.pipelines.synthetic.render.hand_mesh import (
    HandMesh,
    tube_faces,
    vertex_normals,
)
from twohand_jax.pipelines.synthetic.render.sample_scene import (
    OCCLUDERS,
    Material,
    Scene,
)

HAND, ARM, THING = 0, 1, 2
OTHER_PART = 3
NUM_SLEEVE_RINGS = 14
SLEEVE_GIRTH = 0.25
# name and width of each vertex attribute, in the order of the array's columns
LAYOUT = {
    "in_position": 3,
    "in_normal": 3,
    "in_uv": 2,
    "in_tint": 3,
    "in_second": 3,
    "in_zones": 4,
    "in_kind": 4,
}
DrawPiece = tuple[Float[np.ndarray, "n 22"], Int[np.ndarray, "f 3"]]


class DrawList(NamedTuple):
    """Vertices in `LAYOUT` and triangles, of which the first are the hands'."""

    vertices: Float[np.ndarray, "n 22"]
    triangles: Int[np.ndarray, "f 3"]
    num_hand_triangles: int

    @property
    def positions(self) -> Float[np.ndarray, "n 3"]:
        """Metres, camera frame."""
        return self.vertices[:, :3]


class Limb(NamedTuple):
    """A hand with forearm: positions and outward normals at limb vertices."""

    side: int
    positions: Float[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "m 3"]
    line: Centerline


def _columns(count: int, **values: np.ndarray | tuple[float, ...]) -> np.ndarray:
    rows = [
        np.broadcast_to(np.asarray(values.get(name, 0.0), np.float32), (count, width))
        for name, width in LAYOUT.items()
    ]
    return np.concatenate(rows, axis=1)


def build_limb(
    mesh: HandMesh, both: Float[np.ndarray, "2 v 3"], side: int, scene: Scene
) -> Limb:
    """Grows the forearm of one hand, past the other one if that is there."""
    vertices = both[side]
    line = clear_centerline(
        vertices[mesh.loop],
        vertices.mean(axis=0),
        both[1 - side, ::4] if scene.visible[1 - side] else np.zeros((0, 3)),
        bend=scene.forearms.bend[side],
        grow=float(scene.forearms.grow[side]),
    )
    rings = tube_rings(line, RING_DISTANCES)
    positions = np.concatenate([vertices, rings.reshape(-1, 3)])
    normals = vertex_normals(positions, mesh.limb_faces, mesh.normal_sum)
    return Limb(side, positions, -normals if side else normals, line)


def visibilities(
    mesh: HandMesh, limbs: list[Limb], *, strength: float
) -> list[Float[np.ndarray, "m"]]:
    """Ambient visibility at the vertices of each limb; every hand occludes all."""
    count = mesh.num_vertices
    patches = [mesh.cluster_mean @ limb.positions[:count] for limb in limbs]
    normals = [mesh.cluster_mean @ limb.normals[:count] for limb in limbs]
    corner = limbs[0].positions[mesh.limb_faces[: len(mesh.hand_faces)]]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = np.linalg.norm(cross, axis=1).sum() / 2 / len(patches[0])
    origin = patches[0].mean(axis=0)
    return [
        ambient_visibility(
            limb.positions - origin,
            limb.normals,
            np.concatenate(patches) - origin,
            np.concatenate(normals),
            float(area),
            strength=strength,
        )
        for limb in limbs
    ]


def _limb_pieces(
    mesh: HandMesh, limb: Limb, visibility: Float[np.ndarray, "m"], texture: int
) -> tuple[DrawPiece, DrawPiece]:
    """Hand and forearm as drawn vertices."""
    owner, num_hand = mesh.limb_of_drawn, int(mesh.arm_faces.min())
    gloss = np.zeros(len(owner))
    material = np.where(np.arange(len(owner)) < num_hand, HAND, ARM)
    part = np.where(material == HAND, limb.side + 1, OTHER_PART)
    kind = np.stack([material, part, np.full_like(part, limb.side), part * 0], axis=1)
    zones = np.stack([visibility[owner], mesh.palm, mesh.blush, gloss], axis=1)
    drawn = _columns(
        len(owner),
        in_position=limb.positions[owner],
        in_normal=limb.normals[owner],
        in_uv=mesh.uv,
        in_tint=mesh.detail[texture % len(mesh.detail)],
        in_zones=zones,
        in_kind=kind,
    )
    order = [0, 2, 1] if limb.side else [0, 1, 2]
    hand = (drawn[:num_hand], mesh.hand_faces[:, order])
    return hand, (drawn[num_hand:], mesh.arm_faces[:, order] - num_hand)


def _thing(
    positions: np.ndarray,
    normals: np.ndarray,
    uv: np.ndarray,
    surface: Material,
) -> Float[np.ndarray, "n 22"]:
    return _columns(
        len(positions),
        in_position=positions,
        in_normal=normals,
        in_uv=uv * surface.scale,
        in_tint=surface.colors[0],
        in_second=surface.colors[1],
        in_zones=(1.0, 0.0, 0.0, surface.gloss),
        in_kind=(THING, OTHER_PART, 0.0, surface.pattern),
    )


def _sleeve_piece(limb: Limb, scene: Scene) -> DrawPiece:
    forearms = scene.forearms
    rings = sleeve_rings(
        limb.line,
        start=float(forearms.sleeve_start[limb.side]),
        thickness=forearms.sleeve_thickness,
        phases=forearms.sleeve_phases[limb.side],
        num_rings=NUM_SLEEVE_RINGS,
    )
    num_rings, num_columns = rings.shape[:2]
    faces = tube_faces(num_rings, num_columns, capped=True)
    faces = faces[:, ::-1] if limb.side else faces
    tangent = np.gradient(rings, axis=0)
    around = np.roll(rings, -1, axis=1) - np.roll(rings, 1, axis=1)
    normals = np.cross(tangent, around)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    outward = rings - rings.mean(axis=1, keepdims=True)
    normals *= np.sign((normals * outward).sum(axis=-1, keepdims=True) + 1e-12)
    along = np.linalg.norm(rings.mean(axis=1) - limb.line.origin, axis=1)
    turn = np.abs(np.arange(num_columns) / num_columns - 0.5) * SLEEVE_GIRTH
    uv = np.stack(np.broadcast_arrays(turn[None], along[:, None]), axis=-1)
    flat_rings, flat_normals = rings.reshape(-1, 3), normals.reshape(-1, 3)
    cloth = forearms.cloth
    return _thing(flat_rings, flat_normals, uv.reshape(-1, 2), cloth), faces


def _occluder_pieces(
    limbs: list[Limb], scene: Scene, num_vertices: int
) -> list[DrawPiece]:
    pieces = []
    for occluder in scene.occluders:
        limb = limbs[occluder.hand % len(limbs)]
        solid = place_solid(
            occluder.kind,
            size=occluder.size,
            rotation=occluder.rotation,
            center=limb.positions[:num_vertices].mean(axis=0) + occluder.offset,
        )
        vertices = _thing(solid.vertices, solid.normals, solid.uv, occluder.surface)
        pieces.append((vertices, solid.faces))
    return pieces


def build_draw_list(
    mesh: HandMesh, vertices: Float[np.ndarray, "2 v 3"], scene: Scene
) -> DrawList:
    """All surfaces of a picture, the visible hands first.

    Every surface is closed and its triangles wind counter-clockwise seen from outside.
    """
    sides = np.flatnonzero(scene.visible).tolist()
    limbs = [build_limb(mesh, vertices, side, scene) for side in sides]
    if not limbs:
        return DrawList(_columns(0), np.zeros((0, 3), np.int32), 0)
    shade = visibilities(mesh, limbs, strength=scene.light.occlusion)
    drawn = [
        _limb_pieces(mesh, limb, visibility, scene.skin.texture)
        for limb, visibility in zip(limbs, shade, strict=True)
    ]
    hands, arms = [hand for hand, _ in drawn], [arm for _, arm in drawn]
    dressed = [x for x in limbs if np.isfinite(scene.forearms.sleeve_start[x.side])]
    sleeves = [_sleeve_piece(limb, scene) for limb in dressed]
    solids = _occluder_pieces(limbs, scene, mesh.num_vertices)
    pieces = [*hands, *arms, *sleeves, *solids]
    starts = np.cumsum([0] + [len(piece[0]) for piece in pieces])
    triangles = [f + start for (_, f), start in zip(pieces, starts, strict=False)]
    return DrawList(
        np.concatenate([piece[0] for piece in pieces]),
        np.concatenate(triangles).astype(np.int32),
        sum(len(faces) for _, faces in hands),
    )


NUM_SIDES = 24


class Solid(NamedTuple):
    """A flat-shaded triangle soup of unit size; ``uv`` runs over its sides."""

    vertices: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "n 2"]
    faces: Int[np.ndarray, "f 3"]


def _box() -> Solid:
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    vertices, normals = [], []
    faces: list[np.ndarray] = []
    for axis in range(3):
        for side in (-0.5, 0.5):
            vertices.append(np.insert(square, axis, side, axis=1))
            normals.append(np.tile(np.eye(3)[axis] * 2 * side, (4, 1)))
            faces.append(np.array([[0, 1, 2], [0, 2, 3]]) + 4 * len(faces))
    stacked = np.concatenate(vertices)
    uv = np.tile(square, (6, 1))
    return Solid(stacked, np.concatenate(normals), uv, np.concatenate(faces))


def _cylinder() -> Solid:
    angle = np.arange(NUM_SIDES + 1) / NUM_SIDES * 2 * np.pi
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    ends = [circle / 2 + [0, 0, z] for z in (-0.5, 0.5)]
    rows = len(circle)
    a = np.arange(NUM_SIDES)
    sides = np.concatenate(
        [
            np.stack([a, a + 1, a + rows], 1),
            np.stack([a + 1, a + rows + 1, a + rows], 1),
        ]
    )
    fan = np.stack([np.zeros(NUM_SIDES - 1, int), a[1:], a[1:] + 1], axis=1)
    faces = np.concatenate([sides, fan + 2 * rows, fan + 3 * rows])
    up = np.tile([0.0, 0, 1], (rows, 1))
    around = np.stack([angle / np.pi, np.zeros_like(angle)], axis=1)
    uv = np.concatenate([around, around + [0, 1], ends[0][:, :2], ends[1][:, :2]])
    normals = np.concatenate([circle, circle, -up, up])
    return Solid(np.concatenate([*ends, *ends]), normals, uv, faces)


def _outward(solid: Solid) -> Solid:
    """Turns triangles so that they wind counter-clockwise seen from outside."""
    corner = solid.vertices[solid.faces]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    inward = (cross * solid.normals[solid.faces[:, 0]]).sum(axis=1) < 0
    return solid._replace(
        faces=np.where(inward[:, None], solid.faces[:, ::-1], solid.faces)
    )


SOLIDS = {
    "box": _outward(_box()),
    "cylinder": _outward(_cylinder()),
    "disc": _outward(_cylinder()),
}


def place_solid(
    kind: int,
    *,
    size: Float[np.ndarray, "3"],
    rotation: Float[np.ndarray, "3 3"],
    center: Float[np.ndarray, "3"],
) -> Solid:
    """A solid of ``size`` metres, turned and moved; ``uv`` in metres."""
    solid = SOLIDS[OCCLUDERS[kind]]
    scaled = solid.normals / size
    scaled = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return solid._replace(
        vertices=(solid.vertices * size) @ rotation.T + center,
        normals=scaled @ rotation.T,
        uv=solid.uv * np.array([size[:2].mean(), size.max()]),
    )


# Light bounced between skin keeps creases from going black.
BOUNCE = 0.35


def ambient_visibility(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    patches: Float[np.ndarray, "p 3"],
    patch_normals: Float[np.ndarray, "p 3"],
    patch_area: float,
    *,
    strength: float,
) -> Float[np.ndarray, "n"]:
    """Share of the sky that points see past patches, in 0..1.

    Form factor of a point to a disc (Bunnell 2005): A cos cos' / (pi r^2 + A).

    Args:
        points: metres.
        normals: unit vectors out of the surface.
        patches: middles of surface patches, each of ``patch_area`` square metres.
        patch_normals: mean normals of the patches, not normalised.
        patch_area: square metres.
        strength: 1 is the physical amount.
    """
    points, normals, patches, patch_normals = (
        np.asarray(x, np.float32) for x in (points, normals, patches, patch_normals)
    )
    squared = (points**2).sum(1)[:, None] + (patches**2).sum(1) - 2 * points @ patches.T
    np.maximum(squared, 1e-7, out=squared)
    receive = normals @ patches.T - (normals * points).sum(1)[:, None]
    emit = points @ patch_normals.T - (patches * patch_normals).sum(1)
    np.maximum(receive, 0, out=receive)
    np.maximum(emit, 0, out=emit)
    receive *= emit
    receive /= squared * (np.float32(np.pi / patch_area) * squared + 1)
    occlusion = np.minimum(strength * receive.sum(axis=1), 1.0)
    return 1 - occlusion * (1 - BOUNCE * occlusion)

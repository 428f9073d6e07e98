"""What the renderer keeps of a hand model: topology, texture coordinates, skin zones.

Both hands share everything here; the left hand only reverses the winding. A *limb* is
a hand plus the rings of its forearm, whose first ring is the wrist's boundary loop.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import scipy.sparse
from jaxtyping import Float, Int, UInt8

from twohand_jax.errors import InputError
from twohand_jax.mano.joints import MANO16, WRIST
from twohand_jax.pipelines.synthetic.render.skin_texture import (
    FINGERS,
    bake_atlas,
    paint,
)

NUM_RINGS = 12
NUM_CLUSTERS = 96
DISTAL_JOINTS = (3, 6, 9, 12, 15)
TEXTURE_SIZE = 512
# How many rings of the forearm keep traces of the wrist's own colours.
FADE_RINGS = 2.0
ModelArrays = dict[str, np.ndarray]


class HandMesh(NamedTuple):
    """Static description of one hand and its forearm rings.

    ``limb_of_drawn`` maps drawn vertices (split at texture seams; hand first, forearm
    after) to limb vertices. ``palm``, ``blush`` in 0..1 and ``detail`` (linear colour
    relative to the mean skin) belong to drawn vertices. ``textures`` (sRGB),
    ``texture_mean`` and ``detail`` have one entry a person. ``normal_sum`` adds face
    normals into limb vertices, ``cluster_mean`` averages hand vertices into patches.
    """

    num_vertices: int
    loop: Int[np.ndarray, "n"]
    limb_faces: Int[np.ndarray, "lf 3"]
    limb_of_drawn: Int[np.ndarray, "d"]
    hand_faces: Int[np.ndarray, "f 3"]
    arm_faces: Int[np.ndarray, "af 3"]
    uv: Float[np.ndarray, "d 2"]
    palm: Float[np.ndarray, "d"]
    blush: Float[np.ndarray, "d"]
    detail: Float[np.ndarray, "k d 3"]
    textures: UInt8[np.ndarray, "k h w 3"]
    texture_mean: Float[np.ndarray, "k 3"]
    normal_sum: scipy.sparse.csr_array
    cluster_mean: scipy.sparse.csr_array

    @property
    def hand_faces_of_vertices(self) -> Int[np.ndarray, "f 3"]:
        """The hand's triangles over its own vertices, right winding."""
        return self.limb_faces[: len(self.hand_faces)]


def _smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _template_normals(fields: ModelArrays) -> Float[np.ndarray, "v 3"]:
    template, faces = np.asarray(fields["v_template"], float), np.asarray(fields["f"])
    return vertex_normals(template, faces, normal_sum_matrix(faces, len(template)))


def _skin_zones(
    fields: ModelArrays,
) -> tuple[Float[np.ndarray, "v"], Float[np.ndarray, "v"]]:
    """How much each vertex is palm, and how much it flushes (tips and knuckles)."""
    weights = np.asarray(fields["weights"])
    joints = np.asarray(fields["J_regressor"]) @ np.asarray(fields["v_template"])
    to_index, to_pinky = joints[[MANO16.INDEX_BASE, MANO16.PINKY_BASE]] - joints[WRIST]
    palm_normal = np.cross(to_index, to_pinky)
    palm_normal /= np.linalg.norm(palm_normal)
    palm = _smoothstep(_template_normals(fields) @ palm_normal, -0.15, 0.45)
    tips = weights[:, DISTAL_JOINTS].max(axis=1)
    top_two = np.sort(weights, axis=1)[:, -2:]
    knuckles = _smoothstep(2 * top_two[:, 0], 0.4, 0.9) * (1 - palm)
    return palm, np.clip(0.6 * tips + 0.5 * knuckles, 0, 1)


def build_hand_mesh(
    fields: ModelArrays, textures: UInt8[np.ndarray, "k h w 3"]
) -> HandMesh:
    """Prepares the renderer's tables from a right hand.

    Args:
        fields: ``v_template`` (v,3), ``f`` (f,3), ``uv`` (t,2; v upwards), ``f_uv``
            (f,3), ``weights`` (v,16) and ``J_regressor`` (16,v) of the right hand.
        textures: sRGB skin colours of several people in the layout of ``uv``.
    """
    template, faces = np.asarray(fields["v_template"], float), np.asarray(fields["f"])
    count, loop = len(template), boundary_loop(faces)
    corners = np.stack([faces.ravel(), np.asarray(fields["f_uv"]).ravel()], axis=1)
    drawn, hand_faces = np.unique(corners, axis=0, return_inverse=True)
    ring = np.arange((NUM_RINGS + 1) * len(loop)) % len(loop)
    limb_rows = np.concatenate([loop, count + np.arange(NUM_RINGS * len(loop))])
    columns = tube_faces(NUM_RINGS + 1, len(loop), capped=True)
    limb_faces = np.concatenate([faces, limb_rows[columns]])
    # the forearm inherits what its column's wrist vertex has
    first_drawn = np.zeros(count, int)
    first_drawn[drawn[::-1, 0]] = np.arange(len(drawn))[::-1]
    source = np.concatenate([np.arange(len(drawn)), first_drawn[loop[ring]]])
    uv = np.asarray(fields["uv"], float)[drawn[:, 1]] * [1, -1] + [0, 1]
    details = [_texture_detail(texture, uv) for texture in textures]
    detail, mean = (np.stack(values) for values in zip(*details, strict=True))
    fade = np.exp(-np.arange(len(ring)) // len(loop) / FADE_RINGS)
    fade = np.concatenate([np.ones(len(drawn)), fade])[:, None]
    palm, blush = _skin_zones(fields)
    return HandMesh(
        num_vertices=count,
        loop=loop,
        limb_faces=limb_faces,
        limb_of_drawn=np.concatenate([drawn[:, 0], limb_rows]),
        hand_faces=hand_faces.reshape(-1, 3),
        arm_faces=columns + len(drawn),
        uv=uv[source].astype(np.float32),
        palm=palm[drawn[source, 0]].astype(np.float32),
        blush=blush[drawn[source, 0]].astype(np.float32),
        detail=(1 + fade * (detail[:, source] - 1)).astype(np.float32),
        textures=textures,
        texture_mean=mean,
        normal_sum=normal_sum_matrix(limb_faces, int(limb_faces.max()) + 1),
        cluster_mean=cluster_mean_matrix(template, NUM_CLUSTERS),
    )


def _texture_detail(
    texture: UInt8[np.ndarray, "h w 3"], uv: Float[np.ndarray, "d 2"]
) -> tuple[Float[np.ndarray, "d 3"], Float[np.ndarray, "3"]]:
    """Linear texture colours at vertices relative to their mean, and that mean."""
    height, width = texture.shape[:2]
    x, y = (uv * [width, height] - 0.5).astype(np.float32).T
    sampled = cv2.remap(texture, x[None], y[None], cv2.INTER_LINEAR)[0]
    linear = linear_from_srgb(sampled / 255)
    mean = linear.mean(axis=0)
    return linear / mean, mean.astype(np.float32)


def paint_textures(
    fields: ModelArrays, *, count: int, size: int = TEXTURE_SIZE
) -> UInt8[np.ndarray, "k s s 3"]:
    """Paints the hands of ``count`` people; the same ones every time.

    Args:
        fields: as for `build_hand_mesh`.
        count: how many.
        size: texels along each side.
    """
    template, faces = np.asarray(fields["v_template"], float), np.asarray(fields["f"])
    weights = np.asarray(fields["weights"])
    normals = _template_normals(fields)
    joints = np.asarray(fields["J_regressor"]) @ template
    tips = []
    for _, second, third in FINGERS:
        own = template[weights[:, third] > 0.5]
        tips.append(own[np.argmax(own @ (joints[third] - joints[second]))])
    atlas = bake_atlas(
        template * 1e3, normals, faces, fields["uv"], fields["f_uv"], size=size
    )
    people = [
        paint(atlas, joints * 1e3, np.array(tips) * 1e3, seed=seed)
        for seed in range(count)
    ]
    return np.stack(people)


def load_hand_mesh(folder: Path, *, num_textures: int = 4) -> HandMesh:
    """Reads the embedded open hand, and paints more skins (about a second each).

    Args:
        folder: the one that holds ``open_hand.npz``.
        num_textures: people to paint besides the hand's own ``skin.jpg``; 0 gives plain
            skin only, for tests.
    """
    path = folder / "open_hand.npz"
    if not path.exists():
        raise InputError(
            f"The open hand {path.name} is missing from {folder}; restore it from the "
            "repository, as the renderer needs its texture coordinates."
        )
    with np.load(path) as file:
        fields = {name: file[name] for name in file.files}
    if num_textures == 0:
        return build_hand_mesh(fields, np.full((1, 8, 8, 3), 170, np.uint8))
    painted = paint_textures(fields, count=num_textures)
    shipped = cv2.imread(str(folder / "skin.jpg"), cv2.IMREAD_COLOR)
    if shipped is None:
        return build_hand_mesh(fields, painted)
    size = painted.shape[1:3]
    own = cv2.resize(shipped, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    return build_hand_mesh(fields, np.concatenate([own[None], painted]))


def boundary_loop(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "n"]:
    """Vertices of a disc's only boundary, in the order of its faces' edges."""
    ahead = np.roll(faces, -1, axis=1)
    edges = set(zip(faces.ravel().tolist(), ahead.ravel().tolist(), strict=True))
    following = {a: b for a, b in edges if (b, a) not in edges}
    if not following:
        raise InputError(
            "The hand mesh is closed, but the renderer needs the open wrist of a mesh "
            "in MANO's layout to attach the forearm; pass the faces without a cap."
        )
    loop = [min(following)]
    while following[loop[-1]] != loop[0] and len(loop) <= len(following):
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise InputError(
            f"The hand mesh has {len(following)} boundary edges in more than one loop; "
            "expected a single loop at the wrist."
        )
    return np.array(loop)


def tube_faces(
    num_rings: int, num_columns: int, *, capped: bool
) -> Int[np.ndarray, "f 3"]:
    """Triangles between consecutive rings, a fan over the last ring if ``capped``."""
    ring, column = np.meshgrid(
        np.arange(num_rings - 1), np.arange(num_columns), indexing="ij"
    )
    a = (ring * num_columns + column).ravel()
    b = (ring * num_columns + (column + 1) % num_columns).ravel()
    sides = np.concatenate(
        [
            np.stack([b, a, a + num_columns], 1),
            np.stack([b, a + num_columns, b + num_columns], 1),
        ]
    )
    if not capped:
        return sides
    last = (num_rings - 1) * num_columns
    steps = np.arange(1, num_columns - 1)
    fan = np.stack([np.full_like(steps, last), last + steps + 1, last + steps], 1)
    return np.concatenate([sides, fan])


def normal_sum_matrix(
    faces: Int[np.ndarray, "f 3"], count: int
) -> scipy.sparse.csr_array:
    """The matrix that adds face normals into their vertices."""
    rows, columns = faces.ravel(), np.repeat(np.arange(len(faces)), 3)
    ones = np.ones(len(rows), np.float32)
    return scipy.sparse.csr_array((ones, (rows, columns)), (count, len(faces)))


def cluster_mean_matrix(
    vertices: Float[np.ndarray, "v 3"], num_clusters: int
) -> scipy.sparse.csr_array:
    """Farthest-point clusters of a surface's vertices, as an averaging matrix."""
    distance = np.full(len(vertices), np.inf)
    owner = np.zeros(len(vertices), int)
    for cluster in range(min(num_clusters, len(vertices))):
        seed = int(np.argmax(distance)) if cluster else 0
        to_seed = np.linalg.norm(vertices - vertices[seed], axis=1)
        owner = np.where(to_seed < distance, cluster, owner)
        distance = np.minimum(distance, to_seed)
    share = 1 / np.bincount(owner)[owner]
    indices = (owner, np.arange(len(vertices)))
    return scipy.sparse.csr_array((share.astype(np.float32), indices))


def vertex_normals(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    normal_sum: scipy.sparse.csr_array,
) -> Float[np.ndarray, "v 3"]:
    """Area-weighted unit normals."""
    corner = vertices[faces]
    face_normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = normal_sum @ face_normals
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-20)


# Dorsal skin from palest to darkest, sRGB 0-255, in equal steps of melanin.
MELANIN_SCALE = np.array(
    [
        [238, 203, 186],
        [227, 183, 159],
        [213, 160, 128],
        [180, 124, 92],
        [134, 86, 61],
        [94, 59, 44],
        [61, 40, 33],
    ],
    np.float32,
)
# Log-albedo change (R, G, B) for one unit of pigment.
HAEMOGLOBIN = np.array([-0.02, -0.45, -0.30], np.float32)
CAROTENE = np.array([0.0, -0.06, -0.35], np.float32)
PALM_MELANIN_SHARE = 0.45
PALM_HAEMOGLOBIN = 0.12


def linear_from_srgb(
    srgb: Float[np.ndarray, "*b 3"],
) -> Float[np.ndarray, "*b 3"]:
    """Turns sRGB in [0, 1] into linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def skin_albedo(
    melanin: float, haemoglobin: float, carotene: float
) -> Float[np.ndarray, "3"]:
    """Linear albedo of skin.

    Args:
        melanin: 0 (palest) to 1 (darkest).
        haemoglobin: about -0.3 (bloodless) to 0.6 (flushed).
        carotene: about -0.3 to 0.5, the yellow undertone.
    """
    scale = np.log(linear_from_srgb(MELANIN_SCALE / 255))
    position = np.clip(melanin, 0, 1) * (len(scale) - 1)
    lower = min(int(position), len(scale) - 2)
    tone = scale[lower] + (position - lower) * (scale[lower + 1] - scale[lower])
    return np.exp(tone + haemoglobin * HAEMOGLOBIN + carotene * CAROTENE)


def palm_albedo(
    melanin: float, haemoglobin: float, carotene: float
) -> Float[np.ndarray, "3"]:
    """Palms hold less melanin and show more blood than the back of the hand."""
    return skin_albedo(
        melanin * PALM_MELANIN_SHARE, haemoglobin + PALM_HAEMOGLOBIN, carotene
    )

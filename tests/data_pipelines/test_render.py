"""The renderer against ray casting, analytic projection and its own promises."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

import twohand_jax.mano
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.pipelines.synthetic.render import forearm, gpu
from twohand_jax.pipelines.synthetic.render.draw_list import build_limb
from twohand_jax.pipelines.synthetic.render.hand_mesh import HandMesh, load_hand_mesh
from twohand_jax.pipelines.synthetic.render.renderer import Renderer
from twohand_jax.pipelines.synthetic.render.sample_scene import (
    Material,
    Occluder,
    Scene,
    sample_scene,
)
from twohand_jax.types import Camera

pytestmark = pytest.mark.egl
ASSETS = Path(twohand_jax.mano.__file__).parent / "assets"
SIZE = (192, 224)
ANGLES = np.arange(16) / 16 * 2 * np.pi
CAMERA = Camera(np.array([400.0, 390.0]), np.array([109.0, 97.5]))


@pytest.fixture(scope="module")
def mesh() -> HandMesh:
    return load_hand_mesh(ASSETS, num_textures=0)


@pytest.fixture(scope="module")
def renderer(mesh: HandMesh) -> Renderer:
    gpu.check_egl()
    return Renderer(mesh, SIZE)


@pytest.fixture(scope="module")
def template() -> np.ndarray:
    with np.load(ASSETS / "open_hand.npz") as file:
        right = file["v_template"] - file["v_template"].mean(axis=0)
    return np.stack([right, right * [-1, 1, 1]])


def place(template: np.ndarray, seed: int, *, apart: float = 0.12) -> np.ndarray:
    """Both hands turned at random, side by side half a metre away."""
    rng = np.random.default_rng(seed)
    turns = Rotation.random(2, rng=rng).as_matrix()
    shift = np.array([[-apart / 2, 0, 0.5], [apart / 2, 0.01, 0.55]])
    return np.einsum("sij,svj->svi", turns, template) + shift[:, None]


def bare(seed: int) -> Scene:
    """A scene without occluders and sleeves."""
    scene = sample_scene(np.random.default_rng(seed))
    forearms = scene.forearms._replace(sleeve_start=np.full(2, np.inf))
    return scene._replace(occluders=(), forearms=forearms)


def cast(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Depth of the first hit through every pixel centre, 0 where there is none."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    rays = np.concatenate(
        [(pixels - CAMERA.center) / CAMERA.focal, np.ones((len(pixels), 1))], axis=1
    )
    solid = trimesh.Trimesh(vertices, faces, process=False)
    points, ray, _ = solid.ray.intersects_location(
        np.zeros_like(rays), rays, multiple_hits=False
    )
    depth = np.zeros(len(pixels))
    depth[ray] = points[:, 2]
    return depth.reshape(SIZE)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hands_agree_with_ray_casting(renderer, mesh, template, seed):
    vertices = place(template, seed)
    rendering = renderer.render(bare(seed), vertices, CAMERA)
    casts = [
        cast(vertices[0], mesh.hand_faces_of_vertices),
        cast(vertices[1], mesh.hand_faces_of_vertices[:, ::-1]),
    ]
    for side, depth in enumerate(casts):
        assert np.mean(rendering.amodal[side] != (depth > 0)) < 2e-3
        seen = (rendering.label == side + 1) & (depth > 0)
        assert seen.sum() > 300
        error = np.abs(rendering.depth - depth)[seen]
        assert np.mean(error > 1e-4) < 5e-3
    nearest = np.where(casts[0] == 0, np.inf, casts[0])
    nearest = np.stack([nearest, np.where(casts[1] == 0, np.inf, casts[1])])
    expected = np.where(np.isinf(nearest).all(axis=0), 0, 1 + nearest.argmin(axis=0))
    hands = rendering.label > 0
    assert np.mean((rendering.label != expected)[hands]) < 5e-3


def test_box_lies_where_the_pinhole_camera_puts_it(renderer, template):
    vertices = place(template, 0) + [3.0, 0, 0]
    surface = Material(np.full((2, 3), 0.5), 0, 50.0, 0.0)
    target = np.array([0.05, -0.03, 0.62])
    box = Occluder(
        kind=0,
        hand=0,
        offset=target - vertices[0].mean(axis=0),
        size=np.array([0.1, 0.06, 0.04]),
        rotation=np.eye(3),
        surface=surface,
    )
    rendering = renderer.render(bare(0)._replace(occluders=(box,)), vertices, CAMERA)
    rows, columns = np.nonzero(rendering.depth)
    near = 0.6
    left, right = CAMERA.focal[0] * np.array([0.0, 0.1]) / near + CAMERA.center[0]
    top, bottom = CAMERA.focal[1] * np.array([-0.06, 0.0]) / near + CAMERA.center[1]
    assert (columns.min(), columns.max()) == (np.ceil(left), np.floor(right))
    assert (rows.min(), rows.max()) == (np.ceil(top), np.floor(bottom))
    np.testing.assert_allclose(rendering.depth[rows, columns], near, atol=1e-5)
    np.testing.assert_allclose(rendering.normals[rows[0], columns[0]], [0, 0, -1])
    assert not rendering.label.any()


def test_vertices_project_into_their_masks(renderer, template):
    vertices = place(template, 3)
    rendering = renderer.render(bare(3), vertices, CAMERA)
    for side in range(2):
        pixels = vertices[side, :, :2] / vertices[side, :, 2:] * CAMERA.focal
        column, row = np.rint(pixels + CAMERA.center).astype(int).T
        inside = (row >= 0) & (row < SIZE[0]) & (column >= 0) & (column < SIZE[1])
        mask = rendering.amodal[side][row[inside], column[inside]]
        assert inside.mean() > 0.9
        assert mask.mean() > 0.9


def test_counts_and_occlusion(renderer, template):
    facing = Rotation.from_euler("x", 90, degrees=True).as_matrix()
    right = template[0] @ facing.T
    vertices = np.stack([right + [0, 0, 0.5], right * [1, 1, -1] + [0, 0, 0.62]])
    rendering = renderer.render(bare(1), vertices, CAMERA)
    assert rendering.occluded[0] < 0.05
    assert rendering.occluded[1] > 0.85
    for side in range(2):
        assert rendering.visible[side] == (rendering.label == side + 1).sum()


def test_single_hand(renderer, template):
    scene = bare(4)._replace(visible=np.array([False, True]))
    rendering = renderer.render(scene, place(template, 4), CAMERA)
    assert rendering.visible[0] == 0 and rendering.occluded[0] == 0
    assert not rendering.amodal[0].any()
    assert rendering.visible[1] > 300


def test_no_hand_is_only_background(renderer, template):
    scene = bare(5)._replace(visible=np.array([False, False]))
    rendering = renderer.render(scene, place(template, 5), CAMERA)
    assert not rendering.depth.any() and not rendering.label.any()
    assert rendering.image.shape == (*SIZE, 3)


@pytest.mark.parametrize("seed", [0, 7])
def test_same_seed_same_bytes_in_any_process(renderer, template, seed):
    def draw(used: Renderer) -> tuple[bytes, ...]:
        scene = sample_scene(np.random.default_rng(seed))
        result = used.render(scene, place(template, seed), CAMERA)
        return tuple(np.ascontiguousarray(field).tobytes() for field in result)

    first = draw(renderer)
    assert draw(renderer) == first
    copy = pickle.loads(pickle.dumps(renderer))
    assert draw(copy) == first
    assert draw(renderer) == first
    del copy
    assert draw(renderer) == first


def test_scenes_differ_in_everything(renderer, template):
    vertices = place(template, 0)
    images = [renderer.render(bare(s), vertices, CAMERA).image for s in (1, 2)]
    assert np.abs(images[0].astype(int) - images[1]).mean() > 5


def test_forearm_closes_the_wrist(mesh, template):
    for seed in range(5):
        for side in range(2):
            limb = build_limb(mesh, place(template, seed), side, bare(seed))
            closed = trimesh.Trimesh(limb.positions, mesh.limb_faces, process=False)
            assert closed.is_watertight
            outward = closed.vertex_normals * (-1 if side else 1)
            assert np.mean((outward * limb.normals).sum(axis=1) > 0.5) > 0.98


def test_forearm_passes_the_other_hand():
    loop = np.stack([np.cos(ANGLES), np.sin(ANGLES), 0 * ANGLES], axis=1)
    loop = loop * [0.03, 0.02, 1] + [0, 0, 0.5]
    hand, straight = np.array([0, -0.02, 0.4]), np.array([0.3, 0.1])
    free = forearm.centerline(loop, hand, bend=straight, grow=0.3)
    blocked = free.origin + 0.12 * free.end + [[0.0, 0, 0]]
    line = forearm.clear_centerline(loop, hand, blocked, bend=straight, grow=0.3)
    axis = [x.origin + 0.12 * x.end - blocked[0] for x in (free, line)]
    assert np.linalg.norm(axis[0]) < 1e-9 < 0.03 < np.linalg.norm(axis[1])


def test_forearm_never_points_at_the_camera():
    loop = np.stack([np.cos(ANGLES), np.sin(ANGLES), 0 * ANGLES], axis=1)
    loop = loop * [0.03, 0.02, 1] + [0, 0, 0.5]
    line = forearm.centerline(loop, np.array([0.0, 0, 0.6]), bend=np.zeros(2), grow=0.3)
    assert line.end[2] == pytest.approx(-forearm.TOWARD_CAMERA_LIMIT, abs=1e-6)


def test_bad_vertices_are_refused(renderer, template):
    vertices = place(template, 0)
    with pytest.raises(InputError, match="shape"):
        renderer.render(bare(0), vertices[:, :700], CAMERA)
    vertices[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        renderer.render(bare(0), vertices, CAMERA)


def test_missing_egl_names_the_install_line(monkeypatch):
    monkeypatch.setattr(gpu.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(MissingDependencyError, match="apt-get install -y libegl1"):
        gpu.create_context()


def test_broken_driver_names_the_install_line(monkeypatch):
    def fail(**options: object) -> None:
        raise Exception("eglInitialize failed")

    monkeypatch.setattr(gpu.ctypes.util, "find_library", lambda name: "libEGL.so.1")
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(gpu.moderngl, "create_context", fail)
    with pytest.raises(MissingDependencyError, match="eglInitialize failed.*apt-get"):
        gpu.create_context()

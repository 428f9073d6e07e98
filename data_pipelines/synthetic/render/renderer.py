"""Draws a scene: colour with anti-aliasing, and exact depth, labels and normals.

Colour is drawn with four samples a pixel in linear light, the labels with one sample at
the pixel's centre, so that they hold no blends.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from data_pipelines.synthetic.render.background import make_background
from data_pipelines.synthetic.render.camera_effects import develop
from data_pipelines.synthetic.render.draw_list import OTHER_PART, build_draw_list
from data_pipelines.synthetic.render.environment import load_environments
from data_pipelines.synthetic.render.gpu import Buffers, Gpu
from data_pipelines.synthetic.render.hand_mesh import HandMesh
from data_pipelines.synthetic.render.projection import projection, shadow_matrix
from data_pipelines.synthetic.render.scene import Scene
from twohand_jax.errors import InputError
from twohand_jax.types import Camera

NEAR, FAR = 0.03, 20.0
# A camera exposes for the skin it sees, and balances the light, but only partly.
METERED_ALBEDO, METERING = 0.3, 0.5
WHITE_BALANCE = 0.7
LAMP_WEIGHT = 0.75


class Rendering(NamedTuple):
    """A picture and what is exactly known about it.

    ``depth`` is metres along the optical axis of hands, forearms and things, 0 where
    there is only background; ``label`` is 0 for all but the hands, 1 right, 2 left;
    ``normals`` are unit vectors in the camera frame that face the camera. ``amodal``
    shows each hand as if alone. ``visible`` counts label pixels, ``occluded`` is the
    share of a hand's pixels that something hides (0 for a hand out of the picture).
    """

    image: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    label: UInt8[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    amodal: Bool[np.ndarray, "2 h w"]
    visible: Int[np.ndarray, "2"]
    occluded: Float[np.ndarray, "2"]


class Renderer:
    """Renders pictures of one size; opens its context when first used.

    It can be pickled: a copy in another process opens a context of its own.
    """

    def __init__(self, mesh: HandMesh, size: tuple[int, int] = (256, 256)) -> None:
        """Keeps the hand and the picture's size (height, width) in pixels."""
        self.mesh = mesh
        self.size = size
        self._gpu: Gpu | None = None

    def __getstate__(self) -> dict:
        """Leaves the context behind."""
        return {"mesh": self.mesh, "size": self.size, "_gpu": None}

    def render(
        self, scene: Scene, vertices: Float[np.ndarray, "2 v 3"], camera: Camera
    ) -> Rendering:
        """Draws both hands.

        Args:
            scene: the appearance, from `sample_scene`.
            vertices: right and left hand, metres, camera frame.
            camera: focal length and principal point in pixels, each of shape (2,).
        """
        expected = (2, self.mesh.num_vertices, 3)
        if vertices.shape != expected or not np.isfinite(vertices).all():
            raise InputError(
                f"The renderer got vertices of shape {vertices.shape}, or values that "
                f"are not finite; expected finite metres of shape {expected}."
            )
        if self._gpu is None:
            self._gpu = Gpu(self.size, self.mesh.textures)
        drawn = build_draw_list(self.mesh, np.asarray(vertices, np.float64), scene)
        lamp = scene.light.directions[0]
        hands = drawn.triangles[: drawn.num_hand_triangles]
        common = {
            "u_projection": projection(camera, self.size),
            "u_depth_range": np.array([NEAR, FAR]),
            "u_shadow_from_cam": shadow_matrix(drawn.positions, hands, lamp).T,
        }
        look = _appearance(self.mesh, scene)
        buffers = self._gpu.draw(
            drawn,
            common=common,
            look=look,
            skin=scene.skin.texture,
            shadows=bool(scene.light.colors[0].any()),
        )
        behind = make_background(scene.background, scene.light, self.size)
        light = buffers.color[..., :3] + (1 - buffers.color[..., 3:]) * behind
        return _labelled(develop(light, scene.effects), buffers)


def _labelled(image: UInt8[np.ndarray, "h w 3"], buffers: Buffers) -> Rendering:
    """Adds what the buffers say to a finished picture."""
    hands = np.where(buffers.part == OTHER_PART, 0, buffers.part)
    amodal = np.moveaxis(buffers.hands[..., :2] > 0, -1, 0)
    visible = np.bincount(hands.ravel(), minlength=3)[1:3]
    hidden = (amodal & (hands != np.array([1, 2])[:, None, None])).sum(axis=(1, 2))
    return Rendering(
        image=image,
        depth=buffers.geometry[..., 3],
        label=hands,
        normals=buffers.geometry[..., :3],
        amodal=amodal,
        visible=visible,
        occluded=hidden / np.maximum(amodal.sum(axis=(1, 2)), 1),
    )


def _appearance(mesh: HandMesh, scene: Scene) -> dict[str, np.ndarray]:
    """The colour program's uniforms."""
    skin, light = scene.skin, scene.light
    level = light.ambient + LAMP_WEIGHT * light.colors.mean(axis=1).sum()
    metered = (METERED_ALBEDO / skin.dorsal.mean()) ** METERING
    exposure = float(light.exposure / level * metered)
    irradiance = load_environments().irradiance[light.environment]
    tint = irradiance[0] / irradiance[0].mean()
    return {
        "u_irradiance": irradiance / tint**WHITE_BALANCE,
        "u_env_from_cam": light.R_env_cam.T,
        "u_ambient": np.array(light.ambient),
        "u_lamp_direction": light.directions,
        "u_lamp_color": light.colors,
        "u_shadow": np.array(light.shadow),
        "u_dorsal": skin.dorsal,
        "u_palmar": skin.palmar,
        "u_texture_mean": mesh.texture_mean[skin.texture % len(mesh.texture_mean)],
        "u_offset": scene.texture_offset,
        "u_look": np.array([skin.contrast, skin.blush, skin.mottle, skin.mottle_scale]),
        "u_gloss": np.array([skin.bump, skin.roughness, skin.specular, exposure]),
        "u_scatter": skin.scatter,
    }

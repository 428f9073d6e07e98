"""Mesh files, and pictures of hands: rendered, over a photograph, or on a sheet."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.viz.contact_sheet import pair_sheet
    from twohand_jax.viz.meshes import write_glb, write_obj
    from twohand_jax.viz.overlay import hand_meshes
    from twohand_jax.viz.render import Mesh, RayScene

__all__ = [
    "Mesh",
    "RayScene",
    "hand_meshes",
    "pair_sheet",
    "write_glb",
    "write_obj",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "contact_sheet": ("pair_sheet",),
            "meshes": ("write_glb", "write_obj"),
            "overlay": ("hand_meshes",),
            "render": ("Mesh", "RayScene"),
        },
    )

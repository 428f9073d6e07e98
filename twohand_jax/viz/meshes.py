"""Mesh files, written with trimesh: OBJ (one hand) and binary glTF (posed surfaces).

Both hold metres and keep the order of vertices and faces. OBJ keeps the picture's
camera frame of the JSON file, x right, y down, z forward. glTF prescribes y up and a
viewer on +z, so a GLB holds the same points turned by half a turn about x: x right,
y up, z towards the photographer. Hands with skeletons are in ``viz.skinned_glb``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from twohand_jax.collision import vertex_normals
from twohand_jax.viz.render import Mesh

GLTF_FROM_CAMERA = np.array([1.0, -1.0, -1.0])


def write_obj(
    path: str | Path,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
) -> None:
    """Write one surface as Wavefront OBJ, in metres and the camera frame."""
    import trimesh
    from trimesh.exchange.obj import export_obj

    text = export_obj(
        # process=True would merge vertices.
        trimesh.Trimesh(vertices, faces, process=False),
        include_normals=False,
        include_color=False,
        include_texture=False,
        digits=6,
        header="metres; camera frame: x right, y down, z forward",
    )
    Path(path).write_text(text.rstrip() + "\n")


def write_glb(path: str | Path, meshes: Sequence[Mesh], names: Sequence[str]) -> None:
    """Write coloured surfaces as one GLB file, a node for each, in metres and y up."""
    Path(path).write_bytes(glb(meshes, names))


def glb(meshes: Sequence[Mesh], names: Sequence[str]) -> bytes:
    """The bytes of a glTF 2.0 binary file."""
    import trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    scene = trimesh.Scene()
    for name, mesh in zip(names, meshes, strict=True):
        points = np.asarray(mesh.vertices) * GLTF_FROM_CAMERA
        material = PBRMaterial(
            name=name,
            baseColorFactor=[*(float(c) ** 2.2 for c in mesh.color), 1.0],  # linear
            metallicFactor=0.0,
            roughnessFactor=0.7,
        )
        surface = trimesh.Trimesh(
            points,
            mesh.faces,
            vertex_normals=vertex_normals(points, np.asarray(mesh.faces)),
            visual=TextureVisuals(material=material),
            process=False,
        )
        scene.add_geometry(surface, node_name=name, geom_name=name)
    return scene.export(file_type="glb", include_normals=True)

"""Mesh files: OBJ (one hand) and binary glTF (both hands, coloured).

Both hold metres. OBJ keeps the picture's camera frame of the JSON file, x right,
y down, z forward. glTF prescribes y up and a viewer on +z, so a GLB holds the same
points turned by half a turn about x: x right, y up, z towards the photographer.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from twohand_jax.collision import vertex_normals
from twohand_jax.viz.render import Mesh

GLTF_FROM_CAMERA = np.array([1.0, -1.0, -1.0])
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
FLOAT, UNSIGNED_INT = 5126, 5125


def write_obj(
    path: str | Path,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
) -> None:
    """Write one surface as Wavefront OBJ, in the camera frame and metres."""
    lines = ["# metres; camera frame: x right, y down, z forward"]
    lines += ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in vertices.tolist()]
    lines += ["f {} {} {}".format(*face) for face in (np.asarray(faces) + 1).tolist()]
    Path(path).write_text("\n".join(lines) + "\n")


def write_glb(path: str | Path, meshes: Sequence[Mesh], names: Sequence[str]) -> None:
    """Write coloured surfaces as one GLB file, a named node each, y up and metres."""
    Path(path).write_bytes(glb(meshes, names))


def glb(meshes: Sequence[Mesh], names: Sequence[str]) -> bytes:
    """The bytes of a glTF 2.0 binary file (Khronos glTF 2.0, section 4)."""
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "twohand_jax"},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(meshes)))}],
    }
    for key in ("nodes", "meshes", "materials", "accessors", "bufferViews"):
        tree[key] = []
    blob = b""
    for name, mesh in zip(names, meshes, strict=True):
        blob = _add(tree, blob, name, mesh)
    tree["buffers"] = [{"byteLength": len(blob)}]
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(blob)
    header = struct.pack("<4sII", b"glTF", 2, total)
    chunks = [(b"JSON", text), (b"BIN\0", blob)]
    return header + b"".join(
        struct.pack("<I4s", len(content), kind) + content for kind, content in chunks
    )


def _add(tree: dict[str, Any], blob: bytes, name: str, mesh: Mesh) -> bytes:
    """Append a mesh to the glTF tree; returns the grown binary chunk."""
    points = (np.asarray(mesh.vertices) * GLTF_FROM_CAMERA).astype("<f4")
    normals = vertex_normals(points, np.asarray(mesh.faces)).astype("<f4")
    indices = np.asarray(mesh.faces).astype("<u4").reshape(-1)
    start, number = len(tree["accessors"]), len(tree["meshes"])
    arrays = [
        (points, ARRAY_BUFFER, {"componentType": FLOAT, "type": "VEC3"}),
        (normals, ARRAY_BUFFER, {"componentType": FLOAT, "type": "VEC3"}),
        (indices, ELEMENT_BUFFER, {"componentType": UNSIGNED_INT, "type": "SCALAR"}),
    ]
    for array, target, kind in arrays:
        accessor = kind | {"bufferView": len(tree["bufferViews"]), "count": len(array)}
        if array is points:
            accessor |= {"min": points.min(0).tolist(), "max": points.max(0).tolist()}
        tree["accessors"].append(accessor)
        tree["bufferViews"].append(
            {
                "buffer": 0,
                "byteOffset": len(blob),
                "byteLength": array.nbytes,
                "target": target,
            }
        )
        blob += array.tobytes()
    linear = [float(c) ** 2.2 for c in mesh.color]
    surface = {"baseColorFactor": [*linear, 1.0], "metallicFactor": 0.0}
    tree["materials"].append(
        {"name": name, "pbrMetallicRoughness": surface | {"roughnessFactor": 0.7}}
    )
    primitive = {
        "attributes": {"POSITION": start, "NORMAL": start + 1},
        "indices": start + 2,
        "material": number,
    }
    tree["meshes"].append({"name": name, "primitives": [primitive]})
    tree["nodes"].append({"name": name, "mesh": number})
    return blob

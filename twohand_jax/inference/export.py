"""Exporting the trained network as one file that runs with JAX alone.

The file is a zip archive: ``program.stablehlo`` (of ``jax.export``), ``signature.json``
(inputs, outputs, platforms), ``README.txt`` (how to call it) and, if the weights are
kept beside the program, ``weights.npz``. It takes a batch of any size.
"""

import functools
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array

from twohand_jax import files, switches
from twohand_jax.crops import cue_table
from twohand_jax.crops.cue_table import CUE_KINDS
from twohand_jax.errors import InputError
from twohand_jax.inference import predict
from twohand_jax.inference.predict import Trained
from twohand_jax.models.apply import Variables
from twohand_jax.types import Camera, CanvasView, Cues, ManoModel

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
INSIDE, BESIDE = "inside", "beside"
Arrays = dict[str, Array]
PROGRAM, WEIGHTS = "program.stablehlo", "weights.npz"
README = """Two hands from one picture: the network of twohand_jax as a JAX program.

signature.json describes inputs and outputs. Both hands share an axis of size 2, right
then left; metres and radians; camera frame x right, y down, z forward; pixel centres
lie at integers. Everything but JAX and NumPy is in this file:

    import io, zipfile
    import jax, numpy as np
    from jax import export

    archive = zipfile.ZipFile(path)
    program = export.deserialize(bytearray(archive.read("program.stablehlo")))
{load}
    outputs = jax.jit(program.call)({arguments})

inputs is a dict of arrays as in signature.json, with any batch size.
"""
LOAD = '    weights = dict(np.load(io.BytesIO(archive.read("weights.npz"))))\n'


class Field(NamedTuple):
    """An input or output of the program; shapes without the leading batch."""

    shape: tuple[int, ...]
    dtype: str
    meaning: str


def inputs(
    canvas_size: int, cues: Sequence[str], *, fingers_up: bool = False
) -> dict[str, Field]:
    """What the program takes.

    Args:
        canvas_size: side in pixels of the picture it is given.
        cues: names of the cues that it looks at.
        fingers_up: whether it wants turned crops.
    """
    canvas = (canvas_size, canvas_size, 3)
    fields = {
        "canvas": Field(canvas, "uint8", "RGB; part of the picture with both hands"),
        "T_canvas_image": Field((2, 3), "float32", "picture to canvas pixels, affine"),
        "boxes": Field((2, 4), "float32", "hand boxes x0 y0 x1 y1, picture px"),
        "score": Field((2,), "float32", "above 0 for a hand that is there"),
        "focal": Field((2,), "float32", "of the picture's camera, px"),
        "center": Field((2,), "float32", "of the picture's camera, px"),
    }
    if fingers_up:
        meaning = "turns each box about its middle, radians, x towards y: fingers up"
        fields["angle"] = Field((2,), "float32", meaning)
    for name in cues:
        kind = CUE_KINDS[name]
        shape, dtype = cue_table.shape_of(name, canvas_size, canvas_size)
        place = "as the canvas shows it" if kind.is_map else "picture px"
        fields[name] = Field(shape, dtype.name, f"{kind.doc}; {place}")
        fields[f"has_{name}"] = Field((), "bool", f"whether {name} is known")
    return fields


OUTPUTS = {
    "vertices": Field((2, 778, 3), "float32", "surface in the camera frame"),
    "joints": Field((2, 21, 3), "float32", "wrist, then thumb to pinky, base to tip"),
    "global_orient": Field((2, 3), "float32", "MANO's, axis-angle"),
    "hand_pose": Field((2, 15, 3), "float32", "MANO's, relative to the mean pose"),
    "betas": Field((2, 10), "float32", "MANO's shape"),
    "transl": Field((2, 3), "float32", "MANO's, added after posing"),
    "rel_trans": Field((3,), "float32", "left wrist minus right wrist"),
}


@switches.defaults()
def write(
    path: Path,
    trained: Trained,
    model: ManoModel,
    *,
    cues: Sequence[str] | None = None,
    canvas_size: int = 512,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    weights: str = INSIDE,
) -> None:
    """Export a network and write the archive, complete or not at all.

    Args:
        path: of the archive.
        trained: network.
        model: hand model that it was trained with; its arrays go with the weights.
        cues: names of the cues that the program takes; None for all that the network
            has encoders for. It takes the others as unknown.
        canvas_size: side of the pictures that the program takes, pixels.
        platforms: that it shall run on.
        weights: "inside" the program as constants, or "beside" it, to be passed.

    Raises:
        InputError: an unknown platform, a cue that the network has no encoder for, or
            the file cannot be written.
    """
    unknown = sorted(set(platforms) - set(PLATFORMS))
    if unknown or not platforms:
        raise InputError(
            f"--platforms must name some of {', '.join(PLATFORMS)}; got "
            f"{', '.join(unknown) or 'none'}."
        )
    if cues and not trained.cues:
        raise InputError("The network looks at no cue; leave out --cues.")
    if cues is not None:
        cue_table.check_names(cues, where="The export", among=trained.cues)
    shown = trained.cues if cues is None else cue_table.in_order(cues)
    fields = inputs(canvas_size, shown, fingers_up=trained.crop.fingers_up)
    arrays, function = numbered(trained, model, shown)
    exported = _exported(arrays, function, _shapes(fields), platforms, weights)
    content = {PROGRAM: bytes(exported.serialize())}
    if weights == BESIDE:
        buffer = io.BytesIO()
        host: Any = {name: np.asarray(value) for name, value in arrays.items()}
        np.savez(buffer, **host)
        content[WEIGHTS] = buffer.getvalue()
    content |= _descriptions(fields, platforms, weights, trained, model)
    _archive(path, content)


def numbered(
    trained: Trained, model: ManoModel, cues: Sequence[str]
) -> tuple[Arrays, Callable[[Arrays, Arrays], Arrays]]:
    """All arrays by name, and the function of them and the inputs.

    Args:
        trained: network.
        model: hand model.
        cues: names of the cues among the inputs.

    Returns:
        Weights and hand model as a flat dict, and ``function(arrays, inputs)`` for a
        batch of pictures.
    """
    parts = {"network": trained.variables._asdict(), "hand": model}
    leaves, structure = jax.tree_util.tree_flatten_with_path(parts)
    names = [jax.tree_util.keystr(key, simple=True, separator="/") for key, _ in leaves]
    arrays = {
        name: jnp.asarray(leaf) for name, (_, leaf) in zip(names, leaves, strict=True)
    }
    ask: Callable[..., Any] = functools.partial(
        predict.predict, apply=trained.make_apply(), crop=trained.crop
    )

    def function(arrays: Arrays, values: Arrays) -> Arrays:
        rebuilt = jax.tree.unflatten(structure, [arrays[name] for name in names])
        view = CanvasView(
            canvas=values["canvas"],
            T_canvas_image=values["T_canvas_image"],
            cues=Cues(
                {name: values[name] for name in cues},
                {name: values[f"has_{name}"] for name in cues},
            ),
            box=values["boxes"],
            score=values["score"],
            camera=Camera(values["focal"], values["center"]),
            angle=values.get("angle"),
        )
        one = functools.partial(ask, Variables(**rebuilt["network"]), rebuilt["hand"])
        found = jax.vmap(one)(view)  # the size of the batch is not known
        hands = found.geometry._asdict() | found.mano._asdict()
        return hands | {"rel_trans": found.rel_trans}

    return arrays, function


def _exported(
    arrays: Arrays,
    function: Callable[[Arrays, Arrays], Arrays],
    values: dict[str, jax.ShapeDtypeStruct],
    platforms: Sequence[str],
    weights: str,
) -> export.Exported:
    if weights == INSIDE:
        jitted = jax.jit(lambda given: function(arrays, given))
        return export.export(jitted, platforms=tuple(platforms))(values)
    return export.export(jax.jit(function), platforms=tuple(platforms))(arrays, values)


def _shapes(fields: dict[str, Field]) -> dict[str, jax.ShapeDtypeStruct]:
    (batch,) = export.symbolic_shape("b")
    return {
        name: jax.ShapeDtypeStruct((batch, *field.shape), field.dtype)
        for name, field in fields.items()
    }


def _descriptions(
    fields: dict[str, Field],
    platforms: Sequence[str],
    weights: str,
    trained: Trained,
    model: ManoModel,
) -> dict[str, bytes]:
    signature: dict[str, Any] = {
        "inputs": _table(fields),
        "outputs": _table(OUTPUTS),
        "platforms": list(platforms),
        "weights": weights,
        "hand_model": model.name,
        "crop_scale": trained.crop.crop_scale,
        "jax": jax.__version__,
    }
    beside = weights == BESIDE
    readme = README.format(
        load=LOAD if beside else "", arguments="weights, inputs" if beside else "inputs"
    )
    return {
        "signature.json": json.dumps(signature, indent=1).encode(),
        "README.txt": readme.encode(),
    }


def _table(fields: dict[str, Field]) -> dict[str, Any]:
    return {
        name: field._asdict() | {"shape": ["batch", *field.shape]}
        for name, field in fields.items()
    }


def _archive(path: Path, content: dict[str, bytes]) -> None:
    with files.replacing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)

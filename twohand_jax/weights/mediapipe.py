"""MediaPipe's hand landmark network: its weights, read from the file made for LiteRT.

The file is a FlatBuffer: a program of operators whose weights are constant tensors in
float16, each made float32 by an operator of its own. Weights have no stable names in
it, so they are known by their place in the program, which must be that of
``models.hand_landmark``: the same operators in the same order, with the same shapes.
Nothing in the file is run.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from twohand_jax import assets, reading
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.models import hand_landmark
from twohand_jax.models.apply import Variables, Weights
from twohand_jax.types import NUM_JOINTS

MOST_OPERATORS = 1000
# Operators with weights: the order of a kernel's axes here (HWIO, HWC, IO) there.
AXES = {
    "CONV_2D": (1, 2, 3, 0),
    "DEPTHWISE_CONV_2D": (0, 1, 2, 3),
    "FULLY_CONNECTED": (1, 0),
}
TO_FLOAT = "DEQUANTIZE"
MALFORMED = ArithmeticError, AttributeError, LookupError, TypeError, ValueError
HEADS = {
    "right": 1,
    "presence": 1,
    "points": 3 * NUM_JOINTS,
    "world": 3 * NUM_JOINTS,
}


class _Layer(NamedTuple):
    """An operator with weights; its kernel has the axes of the file."""

    operator: str
    kernel: np.ndarray
    bias: np.ndarray


def read(path: str | Path = assets.HAND_LANDMARK) -> Variables:
    """All weights of ``models.hand_landmark.network()``.

    Args:
        path: file of MediaPipe's full hand landmark network; by default the shipped
            one.

    Raises:
        InputError: the file is missing or damaged, or contains another network.
    """
    layers = _layers(Path(path))
    names = list(_kernels())
    if len(layers) != len(names):
        raise InputError(
            f"{path} holds another network: {len(layers)} layers with weights, where "
            f"MediaPipe's full hand landmark network has {len(names)}."
        )
    params: dict[str, Any] = {}
    for (name, shape), layer in zip(names, layers, strict=True):
        place = params
        for parent in name.split("/"):
            place = place.setdefault(parent, {})
        place |= _arranged(layer, shape, f"{path}: layer {name}")
    params = jax.device_put(params)
    return Variables(params, {})


def adopt_stages(
    variables: Variables, path: str | Path = assets.HAND_LANDMARK
) -> Variables:
    """A regressor's variables with its picture's backbone as MediaPipe trained it.

    Args:
        variables: of a ``models.regressor.Regressor`` whose ``image`` is a
            ``HandLandmark``; stages that it leaves out are passed over.
        path: see ``read``.

    Raises:
        InputError: as ``read``.
    """
    params: Any = variables.params
    whole: Any = read(path).params
    stages = {
        name: whole["image"]["stages"][name] for name in params["image"]["stages"]
    }
    return variables._replace(params=params | {"image": {"stages": stages}})


def _kernels() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The layers in the program's order, and the shapes of their kernels.

    They are those of ``hand_landmark.network()``, which takes a second to build.
    """
    first, inputs = (3, 3, 3), 0
    for stage, blocks in enumerate(hand_landmark.BLOCKS):
        for number, block in enumerate(blocks):
            place = f"image/stages/{stage}"
            place += f"/blocks/{number}" if stage else ""
            expand = (1, 1, inputs) if stage else first
            yield f"{place}/expand", (*expand, block.inside)
            yield f"{place}/depthwise", (block.kernel, block.kernel, block.inside)
            yield f"{place}/contract", (1, 1, block.inside, block.outputs)
            inputs = block.outputs
    pooled, place = hand_landmark.POOLED, f"image/stages/{len(hand_landmark.BLOCKS)}"
    yield f"{place}/expand", (1, 1, inputs, pooled)
    yield f"{place}/depthwise", (3, 3, pooled)
    for head, outputs in HEADS.items():
        yield f"heads/{head}", (pooled, outputs)


def _arranged(layer: _Layer, shape: tuple[int, ...], where: str) -> Weights:
    """A layer's weights with the axes of the network here."""
    kernel = layer.kernel.transpose(AXES[layer.operator])
    if layer.operator == "DEPTHWISE_CONV_2D":
        kernel = kernel[0]
    shapes = {"kernel": shape, "bias": shape[-1:]}
    found = {"kernel": kernel, "bias": layer.bias}
    for name, value in found.items():
        if value.shape != shapes[name]:
            raise InputError(
                f"{where} is of another network: its {name} has the shape "
                f"{value.shape}, expected {shapes[name]}."
            )
        if not np.isfinite(value).all():
            raise InputError(f"{where}: its {name} holds NaN or infinity.")
    return {name: value.astype(np.float32) for name, value in found.items()}


def _layers(path: Path) -> list[_Layer]:
    """The operators with weights of a file, in the program's order."""
    try:
        content = reading.read_bytes(path, limit=256 * reading.MIB)
    except InputError as error:
        raise InputError(f"{path} is not readable: {error}") from error
    if content[4:8] != b"TFL3":
        raise InputError(f"{path} is not a network file of LiteRT (.tflite).")
    try:
        return _Program(content).layers()
    except (*MALFORMED, struct.error) as error:
        raise InputError(
            f"{path} is damaged or holds another network ({error or type(error)})."
        ) from error


class _Program:
    """The one graph of a file."""

    def __init__(self, content: bytes) -> None:
        schema = _schema()
        self._model = schema.Model.GetRootAs(content, 0)
        if self._model.SubgraphsLength() != 1:
            raise ValueError("it has several graphs")
        self._graph = self._model.Subgraphs(0)
        self._names = {
            code: name
            for name, code in vars(schema.BuiltinOperator).items()
            if isinstance(code, int)
        }
        self._half = schema.TensorType.FLOAT16

    def layers(self) -> list[_Layer]:
        """The operators with weights."""
        count = self._graph.OperatorsLength()
        if count > MOST_OPERATORS:
            raise ValueError(f"it has {count} operators")
        source: dict[int, int] = {}
        found = []
        for operator in map(self._graph.Operators, range(count)):
            name, given = self._name(operator), operator.InputsAsNumpy().tolist()
            if name == TO_FLOAT:
                source[operator.Outputs(0)] = given[0]
            elif name in AXES:
                _, kernel, bias = (source.get(tensor) for tensor in given)
                found.append(_Layer(name, self._constant(kernel), self._constant(bias)))
        return found

    def _name(self, operator: Any) -> str:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        return self._names[number]

    def _constant(self, index: int | None) -> np.ndarray:
        """A float16 tensor that the file holds."""
        if index is None or not 0 <= index < self._graph.TensorsLength():
            raise ValueError("a layer's weights are not constants in float16")
        tensor = self._graph.Tensors(index)
        shape = tuple(tensor.ShapeAsNumpy().tolist())
        data = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
        if tensor.Type() != self._half or min(shape) < 1:
            raise ValueError(f"a weight has the type {tensor.Type()}, shape {shape}")
        if data.size != 2 * math.prod(shape):
            raise ValueError(f"a weight of shape {shape} has {data.size} bytes")
        return data.view("<f2").reshape(shape).astype(np.float32)


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingDependencyError(
            "MediaPipe's weights are read with the package ai-edge-litert, which is "
            "not installed here. Install it with `python -m pip install "
            "ai-edge-litert`."
        ) from error
    return schema_py_generated

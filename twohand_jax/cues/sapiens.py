"""Sapiens as a cue extractor: keypoints, segmentation and depth of whole pictures."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, UInt8

from twohand_jax.crops import cue_table
from twohand_jax.cues import sapiens_decode
from twohand_jax.cues.sapiens_decode import View, stitch
from twohand_jax.errors import InputError
from twohand_jax.models.apply import Variables
from twohand_jax.models.sapiens import (
    DEPTH,
    DTYPES,
    NORMALS,
    OUTPUTS,
    POSE,
    SEGMENTATION,
    SapiensConfig,
    size_name,
)
from twohand_jax.types import Cues
from twohand_jax.weights import sapiens as weights
from twohand_jax.weights.sapiens import Loaded

KEYPOINTS = "keypoints"
KIND_OF = {
    KEYPOINTS: POSE,
    SEGMENTATION: SEGMENTATION,
    DEPTH: DEPTH,
    NORMALS: NORMALS,
}
Images = Sequence[UInt8[np.ndarray, "h w 3"]]
Persons = Sequence[Float[np.ndarray, "4"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SapiensCuesConfig:
    """How pictures are shown to the networks.

    Attributes:
        batch: pictures on each device at a time; None is 1 on a CPU and 8 elsewhere.
        dtype: of networks that are loaded, "float32" or "bfloat16"; None is float32 on
            a CPU and bfloat16 elsewhere.
        keypoint_margin: factor by which a person's box grows for the pose network.
        map_margin: the same for the other two.
        fsdp: devices that share one copy of the weights; each holds its part, and
            gathers the rest layer by layer. 1: every device has all of them.
    """

    batch: int | None = None
    dtype: str | None = None
    keypoint_margin: float = 1.25
    map_margin: float = 1.0
    fsdp: int = 1

    def __post_init__(self) -> None:
        if (self.batch is not None and self.batch < 1) or self.dtype not in (
            None,
            *DTYPES,
        ):
            raise InputError(
                f"Sapiens cannot look at pictures {self.batch} at a time in "
                f"{self.dtype}; give at least 1, and one of {', '.join(DTYPES)}."
            )


class SapiensCues:
    """Cues by up to three networks (an ``extraction.Extractor``).

    The foreground over which depth is normalised is the segmentation network's; without
    one it is the whole picture.

    Attributes:
        config: how pictures are shown to the networks.
        makes: the cues.
        dtype: of the activations.
    """

    def __init__(
        self,
        networks: Mapping[str, Loaded],
        *,
        config: SapiensCuesConfig = SapiensCuesConfig(),
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        """Place the networks on the devices.

        Args:
            networks: by the cue that they make.
            config: how pictures are shown to them.
            devices: that share each batch; None takes all of this process.

        Raises:
            InputError: there is no network, or one of another kind; the devices do
                not divide into groups of ``config.fsdp``.
        """
        _check_networks(networks)
        devices = jax.local_devices() if devices is None else devices
        batch = config.batch or (1 if _on_cpu() else 8)
        self.config = config
        self.makes = cue_table.in_order(networks)
        mesh = _mesh(devices, config.fsdp)
        self._runners = {
            cue: SapiensRunner(networks[cue], batch=batch, mesh=mesh)
            for cue in self.makes
        }
        self.dtype = self._runners[self.makes[0]].config.dtype

    @classmethod
    def load(
        cls,
        models: Mapping[str, str | Path],
        *,
        config: SapiensCuesConfig = SapiensCuesConfig(),
    ) -> "SapiensCues":
        """The networks in directories written by ``twohand weights convert sapiens``.

        Args:
            models: directories by the name of the cue that each makes.
            config: how pictures are shown to them.

        Raises:
            InputError: a directory holds no such network, or none is given.
        """
        dtype = config.dtype or ("float32" if _on_cpu() else "bfloat16")
        with jax.default_device(_host()):  # an accelerator gets its part alone
            networks = {
                cue: weights.load(directory, dtype=dtype)
                for cue, directory in models.items()
            }
        return cls(networks, config=config)

    @property
    def name(self) -> str:
        """Sapiens and the sizes of the networks."""
        sizes = {size_name(runner.config) for runner in self._runners.values()}
        return "_".join(["sapiens", *sorted(sizes)])

    @property
    def version(self) -> str:
        """The weights behind each cue, and the precision."""
        return ", ".join(
            f"{cue} {runner.origin} {runner.config.dtype}"
            for cue, runner in self._runners.items()
        )

    def __call__(
        self,
        images: Images,
        boxes: Float[np.ndarray, "n 2 4"],
        valid: Bool[np.ndarray, "n 2"],
        *,
        persons: Persons | None = None,
    ) -> list[Cues]:
        """See ``extraction.Extractor``; Sapiens finds both hands without their boxes.

        Args:
            images: uint8 RGB, of any sizes.
            boxes: without effect.
            valid: the keypoints of a hand that is not there are zeros.
            persons: for each picture x0, y0, x1, y1 of the person whose hands they
                are, pixels; None is the whole picture.
        """
        if persons is None:
            persons = [whole_person(image) for image in images]
        _check(images, persons)
        seen = {cue: self._look(cue, images, persons) for cue in self.makes}
        return [
            stitch(
                image.shape[:2], there, {cue: views[row] for cue, views in seen.items()}
            )
            for row, (image, there) in enumerate(zip(images, valid, strict=True))
        ]

    def _look(self, cue: str, images: Images, persons: Persons) -> list[View]:
        """What a network says about each person."""
        runner, config = self._runners[cue], self.config
        if cue == KEYPOINTS:
            place, margin = keypoint_map, config.keypoint_margin
        else:
            place, margin = area_map, config.map_margin
        maps = [place(np.asarray(one), runner.size, margin=margin) for one in persons]
        pairs = zip(images, maps, strict=True)
        found = runner([cut_person(image, T, runner.size) for image, T in pairs])
        return [View(*each, runner.size) for each in zip(found, maps, strict=True)]


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _host() -> jax.Device | None:
    """The CPU as a device; None where ``JAX_PLATFORMS`` leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def _check_networks(networks: Mapping[str, Loaded]) -> None:
    if not networks:
        raise InputError(
            f"No Sapiens network is given; name the directory of at least one of "
            f"{', '.join(KIND_OF)}."
        )
    for cue, loaded in networks.items():
        kind, outputs = loaded.config.kind, loaded.config.outputs
        if KIND_OF.get(cue) != kind or outputs not in OUTPUTS[kind]:
            raise InputError(
                f"The {kind} network of Sapiens with {outputs} maps ({loaded.origin}) "
                f"is given for {cue}; expected one of the kind {KIND_OF.get(cue)} with "
                f"{' or '.join(map(str, OUTPUTS[kind]))}."
            )


def _check(images: Images, persons: Persons) -> None:
    for index, (image, person) in enumerate(zip(images, persons, strict=True)):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"Picture {index} for Sapiens is {image.dtype} of shape {image.shape}; "
                "expected RGB of type uint8 and shape (height, width, 3)."
            )
        if not np.all(np.isfinite(person)) or not np.all(person[2:] > person[:2]):
            raise InputError(
                f"The box of person {index} for Sapiens is {np.asarray(person)}; "
                "expected x0 < x1 and y0 < y1, pixels."
            )


DATA, FSDP = "data", "fsdp"
SMALLEST_SPLIT = 2**16  # numbers; smaller arrays are whole on every device


def _mesh(devices: Sequence[jax.Device], fsdp: int) -> Mesh:
    if fsdp < 1 or len(devices) % fsdp:
        raise InputError(
            f"{len(devices)} devices do not divide into groups of {fsdp} that share "
            "Sapiens' weights; give a divisor of the number of devices."
        )
    shape, types = (len(devices) // fsdp, fsdp), (AxisType.Auto,) * 2
    return jax.make_mesh(shape, (DATA, FSDP), axis_types=types, devices=devices)


def _places(mesh: Mesh, variables: Variables) -> Variables:
    """Shardings: the longest axis that divides is split over fsdp, as in training."""
    parts = mesh.shape[FSDP]

    def place(leaf: Array) -> NamedSharding:
        axes = [axis for axis, n in enumerate(leaf.shape) if n % parts == 0]
        spec: list[str | None] = [None] * leaf.ndim
        if parts > 1 and axes and leaf.size >= SMALLEST_SPLIT:
            spec[max(axes, key=lambda axis: leaf.shape[axis])] = FSDP
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(place, variables)


class SapiensRunner:
    """A network with its decoding as one compiled program.

    Attributes:
        config: of the network.
        origin: which weights it has.
        size: height and width of its input.
    """

    def __init__(self, loaded: Loaded, *, batch: int, mesh: Mesh) -> None:
        """Keep the weights on the host until they are first needed.

        Args:
            loaded: the network.
            batch: pictures on each device at a time.
            mesh: data x fsdp devices; each takes its part of every batch.
        """
        self.config, self.origin = loaded.config, loaded.origin
        self.size = loaded.config.image
        self._count, self._mesh = batch * mesh.size, mesh
        self._loaded: Loaded | None = loaded

    @functools.cached_property
    def _variables(self) -> Variables:
        """The weights on the devices, in the dtype of the activations."""
        assert self._loaded is not None
        cast = _cast(self._loaded.variables, self.config)
        self._loaded = None
        return jax.device_put(cast, _places(self._mesh, cast))

    @functools.cached_property
    def _program(self) -> Callable[[Variables, np.ndarray], Array]:
        split = NamedSharding(self._mesh, PartitionSpec((DATA, FSDP)))
        places = jax.tree.map(lambda leaf: leaf.sharding, self._variables)
        return jax.jit(
            _look(self.config), in_shardings=(places, split), out_shardings=split
        )

    def __call__(
        self, inputs: Sequence[UInt8[np.ndarray, "h w 3"]]
    ) -> list[Float[np.ndarray, "..."]]:
        """What the network says about each input (``sapiens_decode``, or the depth).

        The last batch is filled up with black pictures.
        """
        running = []
        for start in range(0, len(inputs), self._count):
            part = np.zeros((self._count, *self.size, 3), np.uint8)
            for row, picture in enumerate(inputs[start : start + self._count]):
                part[row] = picture
            running.append(self._program(self._variables, part))
        found = [row for batch in running for row in np.asarray(batch)]
        return found[: len(inputs)]


def _cast(variables: Variables, config: SapiensConfig) -> Variables:
    dtype = jnp.dtype(config.dtype)
    return jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), variables)


def _look(config: SapiensConfig) -> Callable[[Variables, Array], Array]:
    """Pixels to what is needed of the maps."""
    network = weights.network(config)

    def look(
        variables: Variables, pictures: UInt8[Array, "b h w 3"]
    ) -> Float[Array, "b ..."]:
        maps, _ = network.apply(variables, normalise_image(pictures))
        if config.kind == POSE:
            return sapiens_decode.decode_keypoints(maps, config.image)
        if config.kind == SEGMENTATION:
            return sapiens_decode.hand_margins(maps)
        return maps

    return look


MEAN = (123.5, 116.5, 103.5)  # RGB, 0 to 255
STD = (58.5, 57.0, 57.5)


def whole_person(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "4"]:
    """The box of a whole picture."""
    return np.array([0.0, 0.0, image.shape[1], image.shape[0]])


def keypoint_map(
    box: Float[np.ndarray, "4"], size: tuple[int, int], *, margin: float
) -> Float[np.ndarray, "2 3"]:
    """``T_input_image`` of a pose network: "unbiased" in the sense of UDP.

    The box reaches from the centre of the first to that of the last pixel (Huang et
    al., CVPR 2020), which is how heat maps are decoded (``sapiens_decode``).

    Args:
        box: x0, y0, x1, y1 of a person.
        size: height and width of the input.
        margin: factor by which the box grows first; Sapiens' is 1.25.
    """
    low, extent = _window(box, size, margin)
    scale = (np.array(size[::-1]) - 1) / extent
    return np.concatenate([np.diag(scale), -(scale * low)[:, None]], axis=1)


def area_map(
    box: Float[np.ndarray, "4"], size: tuple[int, int], *, margin: float
) -> Float[np.ndarray, "2 3"]:
    """``T_input_image`` of the other networks: the box is the pixels' area.

    Args:
        box: x0, y0, x1, y1; pixel ``i`` covers ``i`` to ``i + 1``.
        size: height and width of the input.
        margin: factor by which the box grows first.
    """
    low, extent = _window(box, size, margin)
    scale = np.array(size[::-1]) / extent
    offset = scale * (0.5 - low) - 0.5
    return np.concatenate([np.diag(scale), offset[:, None]], axis=1)


def cut_person(
    image: UInt8[np.ndarray, "h w 3"],
    T_input_image: Float[np.ndarray, "2 3"],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "i j 3"]:
    """The input of a network, bilinear, black outside the picture."""
    return cv2.warpAffine(image, T_input_image, size[::-1], flags=cv2.INTER_LINEAR)


def normalise_image(pictures: UInt8[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """Pixels as the networks were trained on."""
    mean, std = jnp.asarray(MEAN, jnp.float32), jnp.asarray(STD, jnp.float32)
    return (pictures.astype(jnp.float32) - mean) / std


def _window(
    box: Float[np.ndarray, "4"], size: tuple[int, int], margin: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """First corner and extent of a box grown to the input's aspect ratio."""
    center = (box[:2] + box[2:]) / 2
    width, height = margin * (box[2:] - box[:2])
    aspect = size[1] / size[0]
    extent = np.array([max(width, height * aspect), max(height, width / aspect)])
    return center - extent / 2, extent

"""InterWild (Moon, CVPR 2023) as a regressor and a hand detector of this library.

Its checkpoint holds two networks: BoxNet, which finds a person's hands, and the network
of the hands. The latter is ``models.regressor`` without cues and fusion; what InterWild
means by its numbers is ``CropConfig`` and ``LossConfig``.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jaxtyping import PyTree

from twohand_jax import fields, paths
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.apply import Variables
from twohand_jax.models.box_net import BoxNet, BoxNetConfig
from twohand_jax.models.regressor import Regressor, RegressorConfig
from twohand_jax.models.resnet import ResNetConfig
from twohand_jax.models.transnet import TransNetConfig
from twohand_jax.types import NUM_JOINTS
from twohand_jax.weights import native, torch_files, torchvision
from twohand_jax.weights.torch_files import StateDict, WeightSource

T = TypeVar("T", bound=PyTree)
BOXES = "boxes"  # folder of the detector in the model directory
BOX_NET = "box_net"  # section of the detector's config.json
# What its training does (docs/method.md), as far as one of ours can do it.
EXPERIMENT: dict[str, Any] = {
    "experiment": "regressor",
    "augment": {},
    "loss": {"mean": "all", "joints": "regressed"},
    "optim": {"learning_rate": 1e-4, "weight_decay": 0.0},
    "train": {"total_steps": 0, "batch_size": 128},
    "data": {"train": "InterHand2.6M", "test": "InterHand2.6M", "hand": "mano"},
}
FOCAL, OBJECT_M = 5000.0, 0.6  # of the virtual camera, pixels; what it looks at
_HANDS, _BODY, _TRANS = "hand_roi_net.backbone", "body_backbone", "hand_trans_net"
_HEADS = {
    "position": "hand_position_net.conv.0",
    "squeeze": "hand_rotation_net.conv.0",
    "squeeze_norm": "hand_rotation_net.conv.1",
    "orient": "hand_rotation_net.root_pose_out.0",
    "pose": "hand_rotation_net.pose_out.0",
    "shape": "hand_rotation_net.shape_out.0",
    "camera": "hand_rotation_net.cam_out.0",
}
_DECONV = "body_box_net.deconv."
_SIDES = ("rhand_size", "lhand_size")
_NEVER_READ = rf"mano_layer_(right|left)\..*|{_TRANS}\.backbone\.(conv1|bn1)\..*"
_COUNTERS = r".*\.num_batches_tracked"


class Released(NamedTuple):
    """Both networks of a checkpoint.

    Attributes:
        model: settings of the hands' network.
        crop: how it wants its crops, and what its estimates mean.
        variables: its weights.
        boxes: settings of BoxNet.
        box_variables: its weights.
    """

    model: RegressorConfig
    crop: CropConfig
    variables: Variables
    boxes: BoxNetConfig
    box_variables: Variables


def convert(state: StateDict, *, where: str | Path) -> Released:
    """Both networks from the state dict of a checkpoint of its training.

    Args:
        state: as ``torch_files.read`` gives it; sizes are taken from it.
        where: the file, for messages.

    Raises:
        InputError: the weights belong to another network; the message names the first
            that is missing or of another shape.
    """
    try:
        model, boxes = _model(state), _boxes(state)
    except (LookupError, ValueError) as error:
        told = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise InputError(
            f"{where} holds no network of InterWild: {told}; expected a checkpoint of "
            "its training, snapshot_6.pth, with the weights under 'network'."
        ) from error
    hands = {name: v for name, v in state.items() if not _of_body(name)}
    body = {name: v for name, v in state.items() if _of_body(name)}
    return Released(
        model=model,
        crop=CropConfig(
            crop_size=model.crop_size,
            cells=model.cells,
            focal=FOCAL * 256 / model.crop_size,
            gate=(),
            placed_by="transnet",
            center="half",
            flat_hand_mean=False,
            wrist="regressed",
        ),
        variables=torch_files.fill(
            apply.shapes(apply.network(lambda rngs: Regressor(model, rngs=rngs))),
            hands,
            lambda path: _hand_source(path, model),
            ignored=f"{_NEVER_READ}|{_COUNTERS}",
            where=where,
        ),
        boxes=boxes,
        box_variables=torch_files.fill(
            apply.shapes(apply.network(lambda rngs: BoxNet(boxes, rngs=rngs))),
            {name: _deconv_turned(name, value) for name, value in body.items()},
            lambda path: _box_source(path, boxes),
            ignored=_COUNTERS,
            where=where,
        ),
    )


def save(directory: str | Path, released: Released) -> None:
    """Write a regressor's model directory, and the detector in a folder of it.

    Args:
        directory: created when missing.
        released: as ``convert`` gives it.
    """
    directory = paths.local(directory)
    boxes = {BOX_NET: dataclasses.asdict(released.boxes)}
    native.save(directory / BOXES, released.box_variables, boxes)
    sections = {
        "model": dataclasses.asdict(released.model),
        "crop": dataclasses.asdict(released.crop),
    }
    native.save(directory, released.variables, EXPERIMENT | sections)


def load_boxes(directory: str | Path) -> tuple[BoxNetConfig, Variables]:
    """BoxNet of a directory that ``save`` wrote, or of its folder ``boxes``.

    Raises:
        InputError: there is no BoxNet, or its files do not fit together.
    """
    folder = paths.local(directory)
    if (folder / BOXES).is_dir():
        folder = folder / BOXES
    section = native.load_config(folder).get(BOX_NET)
    if not isinstance(section, dict):
        raise InputError(
            f"{directory} holds no hand detector; give a directory that "
            "`twohand weights convert interwild` wrote."
        )
    config = fields.dataclass_of(BoxNetConfig, section, f"{folder}: {BOX_NET}")
    net = apply.network(lambda rngs: BoxNet(config, rngs=rngs))
    return config, native.load(folder, apply.shapes(net))


def _of_body(name: str) -> bool:
    return name.startswith(("body_backbone.", "body_box_net."))


def _model(state: StateDict) -> RegressorConfig:
    """Settings of the hands' network, its sizes from the weights."""
    image = _resnet(state, _HANDS)
    positions = len(state[f"{_HEADS['position']}.weight"])
    width, channels, *_ = state[f"{_TRANS}.conv.0.weight"].shape
    cells, depth = positions // NUM_JOINTS, channels // (2 * NUM_JOINTS)
    transnet = _resnet(state, f"{_TRANS}.backbone")
    if transnet.width != width:
        raise ValueError(
            f"'{_TRANS}.conv.0.weight' has {width} channels, "
            f"expected {transnet.width}, as '{_TRANS}.backbone.conv1.weight' has"
        )
    return RegressorConfig(
        cues=(),
        image=image,
        fusion=None,
        transnet=TransNetConfig(grid=depth, depth=depth, resnet=transnet),
        crop_size=cells * image.stride,
        cells=cells,
        head_channels=image.channels,
        rotation_channels=len(state[f"{_HEADS['squeeze']}.weight"]),
        conv_std=0.001,
        camera_range=FOCAL * OBJECT_M / (cells * image.stride),
        image_mean=(0.0, 0.0, 0.0),
        image_std=(1.0, 1.0, 1.0),
    )


def _boxes(state: StateDict) -> BoxNetConfig:
    deconvs = [v.ndim == 4 for n, v in state.items() if n.startswith(_DECONV)]
    return BoxNetConfig(
        image=_resnet(state, _BODY),
        width=state["body_box_net.bbox_center.0.weight"].shape[1],
        deconvs=sum(deconvs),
    )


def _resnet(state: StateDict, prefix: str) -> ResNetConfig:
    """Sizes of the ResNet under a name."""
    stages = []
    for stage in range(1, 5):
        start = rf"{re.escape(prefix)}\.layer{stage}\.\d+\.conv1\.weight"
        stages.append(sum(re.fullmatch(start, name) is not None for name in state))
    return ResNetConfig(
        width=len(state[f"{prefix}.conv1.weight"]),
        depths=tuple(max(blocks, 1) for blocks in stages),
        bottleneck=f"{prefix}.layer1.0.conv3.weight" in state,
    )


def _deconv_turned(name: str, value: Any) -> Any:
    """A transposed convolution's kernel with its outputs first, as others have it."""
    is_deconv = name.startswith(_DECONV) and value.ndim == 4
    return value.transpose(1, 0, 2, 3) if is_deconv else value


def _hand_source(path: str, model: RegressorConfig) -> WeightSource:
    """InterWild's name of a weight of ``models.regressor``."""
    group, part, *rest = path.split("/")
    field = torchvision.FIELDS[rest[-1]]
    if part == "image":
        assert isinstance(model.image, ResNetConfig)
        return _backbone(_HANDS, "/".join([group, *rest]), model.image)
    if part == "heads":
        return WeightSource(f"{_HEADS[rest[0]]}.{field}")
    if rest[0] == "stages":
        assert model.transnet is not None
        return _backbone(
            f"{_TRANS}.backbone", "/".join([group, *rest]), model.transnet.resnet
        )
    place = {"norm": "conv.1", "output": "fc.0"}.get(rest[0], "conv.0")
    return WeightSource(f"{_TRANS}.{place}.{field}")


def _box_source(path: str, boxes: BoxNetConfig) -> WeightSource:
    """InterWild's name of a weight of ``models.box_net``."""
    group, part, *rest = path.split("/")
    field = torchvision.FIELDS[rest[-1]]
    if part == "image":
        return _backbone(_BODY, "/".join([group, *rest]), boxes.image)
    if part == "center":
        return WeightSource(f"body_box_net.bbox_center.0.{field}")
    index = int(rest[0])
    if part in ("deconvs", "norms"):
        at = 3 * index + (part == "norms")
        return WeightSource(f"body_box_net.deconv.{at}.{field}")
    layer = 0 if part == "hidden" else 2
    return WeightSource(f"body_box_net.{_SIDES[index]}.{layer}.{field}")


def _backbone(prefix: str, path: str, config: ResNetConfig) -> WeightSource:
    found = torchvision.source(path, config.depths)
    return found._replace(name=f"{prefix}.{found.name}")

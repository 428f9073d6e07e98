"""The regressor's network and its training step in PyTorch, layer for layer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from twohand_jax.errors import InputError
from twohand_jax.models.regressor import RegressorConfig
from twohand_jax.models.resnet import ResNetConfig
from twohand_jax.models.transnet import TransNetConfig
from twohand_jax.types import NUM_JOINTS

JOINTS = 2 * NUM_JOINTS


class Block(nn.Module):
    """Basic or bottleneck residual block."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = width * 4 if bottleneck else width
        plan = [(inputs, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            plan = [(inputs, width, 1, 1), (width, width, 3, stride)]
            plan += [(width, outputs, 1, 1)]
        self.layers = nn.ModuleList(_conv_norm(*sizes) for sizes in plan)
        projects = stride != 1 or inputs != outputs
        self.project = _conv_norm(inputs, outputs, 1, stride) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        """Residual function plus (projected) input."""
        y = x
        for index, layer in enumerate(self.layers):
            y = layer(y)
            y = torch.relu(y) if index + 1 < len(self.layers) else y
        return torch.relu(y + (x if self.project is None else self.project(x)))


class Encoder(nn.Module):
    """Projections of all maps, their tokens' place and kind, a Transformer encoder."""

    def __init__(self, config: RegressorConfig):
        super().__init__()
        fusion, kinds = config.fusion, 1 + len(config.cues)
        if fusion is None:
            raise InputError(
                "The PyTorch peer has networks with a fusion only, and model.fusion is "
                "None: benchmark another config, or give --peers none."
            )
        channels = [config.image.channels] + [config.cue.channels] * (kinds - 1)
        self.project = nn.ModuleList(nn.Linear(c, fusion.width) for c in channels)
        self.position = nn.Parameter(torch.zeros(config.cells**2, fusion.width))
        self.kind = nn.Parameter(torch.zeros(kinds, 1, fusion.width))
        self.missing = nn.Parameter(torch.zeros(kinds - 1, fusion.width))
        layer = nn.TransformerEncoderLayer(
            fusion.width,
            fusion.heads,
            fusion.mlp,
            dropout=0.0,
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, fusion.layers, enable_nested_tensor=False
        )
        self.norm = nn.LayerNorm(fusion.width)
        self.output = nn.Linear(fusion.width, config.head_channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Fused feature map of the image, from all maps."""
        tokens = []
        for index, (features, project) in enumerate(
            zip(maps, self.project, strict=True)
        ):
            flat = project(features.flatten(2).transpose(1, 2))
            if index > 0:  # all cues are there, but a program must be able to miss one
                absent = flat.new_zeros(len(flat), 1, 1, dtype=torch.bool)
                flat = torch.where(absent, self.missing[index - 1].to(flat.dtype), flat)
            place = self.position + self.kind[index]
            tokens.append(flat + place.to(flat.dtype))
        image = self.layers(torch.cat(tokens, 1))[:, : self.position.shape[0]]
        batch, _, height, width = maps[0].shape
        fused = self.output(self.norm(image)).transpose(1, 2)
        return fused.reshape(batch, -1, height, width)


class Heads(nn.Module):
    """2.5D joints, rotations, shape and camera of each hand."""

    def __init__(self, config: RegressorConfig):
        super().__init__()
        channels, squeezed = config.head_channels, config.rotation_channels
        self.cells = config.cells
        self.position = nn.Conv2d(channels, NUM_JOINTS * config.cells, 1)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.norm = nn.BatchNorm2d(squeezed)
        self.rotations = nn.Linear(NUM_JOINTS * (squeezed + 3), 6 + 90)
        self.rest = nn.Linear(channels, 10 + 3)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Joints in cells; rotations of root and fingers; shape and camera."""
        batch, _, height, width = features.shape
        logits = self.position(features).float().reshape(batch, NUM_JOINTS, -1)
        heat = logits.softmax(-1).reshape(batch, NUM_JOINTS, self.cells, height, width)
        sums = [heat.sum(axes) for axes in ((2, 3), (2, 4), (3, 4))]
        cells = [torch.arange(s.shape[-1], device=s.device) for s in sums]
        joints = torch.stack(
            [(s * c).sum(-1) for s, c in zip(sums, cells, strict=True)], -1
        )
        fixed = joints.detach()
        squeezed = torch.relu(self.norm(self.squeeze(features)))
        seen = _sample(squeezed, fixed[..., :2]).float()
        flat = torch.cat([seen, fixed], -1).flatten(1)
        pooled = features.mean((2, 3)).float()
        return joints, self.rotations(flat), self.rest(pooled)


class TransNet(nn.Module):
    """The relative translation from both hands' joints."""

    def __init__(self, config: TransNetConfig):
        super().__init__()
        self.config = config
        resnet, width = config.resnet, config.resnet.width
        self.kernel = nn.Parameter(0.01 * torch.randn(9, JOINTS, config.depth, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.BatchNorm2d(width)
        self.stages = _stages(resnet, width)
        self.output = nn.Linear(2 * (resnet.channels + 2), 3)

    def forward(self, joints: Tensor) -> Tensor:
        """From joints ``b 2 21 3`` in cells of the grid."""
        grid, batch = self.config.grid, len(joints)
        first = self._first(joints.reshape(batch, JOINTS, 3))
        first = first + self.bias.to(first.dtype)
        maps = first.reshape(batch, grid, grid, -1).permute(0, 3, 1, 2)
        x = self.stages(torch.relu(self.norm(maps)))
        wrists = joints[:, :, 0, :2] / (grid / x.shape[-1])
        parts = torch.cat([_sample(x, wrists).float(), wrists], -1)
        return self.output(parts.flatten(1))

    def _first(self, joints: Tensor) -> Tensor:
        config, batch = self.config, len(joints)
        sizes = (config.grid, config.grid, config.depth)
        gx, gy, gz = (
            self._profile(joints[..., axis], size) for axis, size in enumerate(sizes)
        )
        mixed = torch.einsum("tjzo,bjz->btjo", self.kernel, gz * config.amplitude)
        taps = [nn.functional.pad(g, (1, 1)).unfold(2, g.shape[2], 1) for g in (gy, gx)]
        patches = torch.einsum("bjuy,bjvx->byxuvj", *taps)
        patches = patches.reshape(batch, config.grid**2, 9 * JOINTS)
        return patches @ mixed.reshape(batch, 9 * JOINTS, -1)

    def _profile(self, values: Tensor, size: int) -> Tensor:
        cells = torch.arange(size, device=values.device)
        squared = (cells - values[..., None]) ** 2
        return torch.exp(-squared / (2 * self.config.sigma**2))


class Regressor(nn.Module):
    """The whole network."""

    def __init__(self, config: RegressorConfig):
        super().__init__()
        self.config = config
        self.image = _resnet(config.image)
        self.cues = nn.ModuleList(_resnet(config.cue) for _ in config.cues)
        self.fusion, self.heads = Encoder(config), Heads(config)
        self.transnet = None if config.transnet is None else TransNet(config.transnet)

    def forward(self, pictures: list[Tensor]) -> list[Tensor]:
        """Raw estimates from image and cues of all hands, ``2b 3 s s`` each."""
        encoders = [self.image, *self.cues]
        maps = [
            encode(picture) for encode, picture in zip(encoders, pictures, strict=True)
        ]
        joints, rotations, rest = self.heads(self.fusion(maps))
        found = [joints, rotations, rest]
        if self.transnet is not None and self.config.transnet is not None:
            grid = self.config.transnet.grid / self.config.cells
            placed = joints.detach().reshape(-1, 2, NUM_JOINTS, 3) * grid
            found.append(self.transnet(placed))
        return found


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    pad = (kernel - 1) // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def _stages(config: ResNetConfig, inputs: int) -> nn.Sequential:
    blocks = []
    for stage, depth in enumerate(config.depths):
        width = config.width * 2**stage
        last = stage == len(config.depths) - 1
        stride = 1 if stage == 0 else (config.last_stride if last else 2)
        for index in range(depth):
            blocks.append(
                Block(inputs, width, stride if index == 0 else 1, config.bottleneck)
            )
            inputs = width * 4 if config.bottleneck else width
    return nn.Sequential(*blocks)


def _resnet(config: object) -> nn.Sequential:
    if not isinstance(config, ResNetConfig):
        raise InputError(
            f"The PyTorch peer has ResNets only, not {type(config).__name__}: "
            "benchmark a config whose model.image is a ResNet, or give --peers none."
        )
    stem = _conv_norm(3, config.width, 7, 2)
    return nn.Sequential(
        stem, nn.ReLU(), nn.MaxPool2d(3, 2, 1), _stages(config, config.width)
    )


def _sample(features: Tensor, cells: Tensor) -> Tensor:
    """Bilinear samples ``b n c`` of ``b c h w`` at (x, y) cells."""
    height, width = features.shape[2:]
    sides = [torch.arange(size, device=cells.device) for size in (width, height)]
    x, y = (
        (1 - (cells[..., axis : axis + 1] - side).abs()).clamp(min=0)
        for axis, side in enumerate(sides)
    )
    weights = (y[..., :, None] * x[..., None, :]).to(features.dtype)
    return torch.einsum("bnhw,bchw->bnc", weights, features)


Call = Callable[[], None]
Outputs = Callable[[], list[Tensor]]


def programs(
    config: RegressorConfig, batch: int, *, threads: int, gpu: bool
) -> tuple[Call, Call]:
    """Forward pass and network step, each returning when its work is done.

    Args:
        config: sizes and dtype; bfloat16 is PyTorch's autocast.
        batch: pictures of two hands.
        threads: on a CPU.
        gpu: whether to run on one, compiled.
    """
    torch.set_num_threads(threads)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    last = torch.channels_last
    module: Any = Regressor(config).to(device)
    module = module.to(memory_format=last)  # which torch's types do not know of
    net: Any = torch.compile(module) if device == "cuda" else module
    side = config.crop_size
    pictures = [
        torch.rand(2 * batch, 3, side, side, device=device).to(memory_format=last)
        for _ in range(1 + len(config.cues))
    ]
    half = config.dtype == "bfloat16"

    def outputs() -> list[Tensor]:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            return net(pictures)

    return forward_of(module, outputs), step_of(module, outputs)


def forward_of(module: torch.nn.Module, outputs: Outputs) -> Call:
    """The forward pass of inference."""

    def forward() -> None:
        module.eval()
        with torch.no_grad():
            outputs()
        _wait()

    return forward


def step_of(module: torch.nn.Module, outputs: Outputs) -> Call:
    """Forward, backward and AdamW, with the mean square of the outputs as loss."""
    optimizer = torch.optim.AdamW(module.parameters(), 1e-4, fused=True)

    def step() -> None:
        module.train()
        optimizer.zero_grad(set_to_none=True)
        squares = [output.float().square().mean() for output in outputs()]
        torch.stack(squares).sum().backward()
        optimizer.step()
        _wait()

    return step


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()

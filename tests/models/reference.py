"""The published networks in PyTorch, written here from their papers' descriptions.

Names of the modules are those of the published state dicts.
"""

import math

import torch
from torch import nn


class Block(nn.Module):
    """Basic block, or bottleneck with the stride in its 3x3 layer (V1.5)."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        plan = [(inputs, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            plan = [(inputs, width, 1, 1), (width, width, 3, stride)]
            plan += [(width, outputs, 1, 1)]
        self.count = len(plan)
        for i, (a, b, k, s) in enumerate(plan, start=1):
            conv = nn.Conv2d(a, b, k, s, (k - 1) // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(b))
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = torch.relu(y) if i < self.count else y
        return torch.relu(self.downsample(x) + y)


class ResNet(nn.Module):
    """torchvision's ResNet down to its last feature map, with the unused classifier."""

    def __init__(self, depths, bottleneck, width=64, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for stage, depth in enumerate(depths):
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Block(inputs, width * 2**stage, stride, bottleneck))
                inputs = width * 2**stage * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages = len(depths)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x


def embed(inputs, hidden, width):
    """Holder of two linear layers under ``dense``."""
    holder = nn.Module()
    holder.dense = nn.ModuleList([nn.Linear(inputs, hidden), nn.Linear(hidden, width)])
    return holder


class Denoiser(nn.Module):
    """InterHandGen's network; attention runs over the first axis, as released."""

    def __init__(self, numbers, width, hidden, mlp, heads=4, skips=(1, 3, 5, 6)):
        super().__init__()
        self.width, self.skips = width, skips
        self.temb = embed(width, hidden, width)
        self.cemb = embed(numbers, hidden, width)
        self.iemb = embed(numbers, hidden, width)
        layer = nn.TransformerEncoderLayer(width, heads, mlp)
        self.trans_enc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.trans_out = nn.Linear(3 * width, hidden)
        self.fc_input = nn.Linear(numbers, hidden)
        self.fc_layers = nn.ModuleList(
            nn.Linear(hidden * (2 if i in skips else 1) + 2 * width, hidden)
            for i in range(7)
        )
        self.fc_output = nn.Linear(hidden, numbers)

    def forward(self, x, t, condition):
        half = self.width // 2
        rates = [10_000.0 ** (-i / (half - 1)) for i in range(half)]
        angles = t[:, None].double() * torch.tensor(rates, dtype=torch.float64)
        waves = torch.cat([angles.sin(), angles.cos()], 1).float()

        def token(holder, value):
            hidden = holder.dense[0](value)
            return holder.dense[1](hidden * torch.sigmoid(hidden))

        time, other = token(self.temb, waves), token(self.cemb, condition)
        tokens = torch.stack([time, other, token(self.iemb, x)], 1)
        h = self.trans_out(self.trans_enc(tokens).flatten(1))
        for i, layer in enumerate(self.fc_layers):
            seen = [h, self.fc_input(x)] if i in self.skips else [h]
            h = torch.relu(layer(torch.cat([*seen, time, other], -1)))
        return self.fc_output(h)


def randomised(module, seed=0):
    """The module with every parameter and statistic away from its initial value."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.ndim >= 2:
                fan = math.prod(value.shape[1:])
                value.copy_(torch.randn_like(value) / math.sqrt(fan))
            elif "var" in name or (name.endswith("weight") and value.ndim == 1):
                value.copy_(0.5 + torch.rand_like(value))
            elif value.is_floating_point():
                value.copy_(0.2 * torch.randn_like(value))
    return module.eval()


def state(module):
    """State dict as numpy arrays."""
    return {k: v.numpy().copy() for k, v in module.state_dict().items()}

"""Sapiens in PyTorch, with the released networks' names and shapes of weights.

The peer of ``models.sapiens`` in the benchmark, and what its tests agree with.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from twohand_jax.models.sapiens import POSE, SapiensConfig
from twohand_jax.models.vit import EPSILON


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (b, n, d) to tokens."""
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers, nested as OpenMMLab nests them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        expand = nn.Sequential(nn.Linear(width, hidden), nn.GELU())
        self.layers = nn.Sequential(expand, nn.Linear(hidden, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each token on its own."""
        return self.layers(x)


class Layer(nn.Module):
    """A pre-norm Transformer layer."""

    def __init__(self, config: SapiensConfig):
        super().__init__()
        self.ln1 = nn.LayerNorm(config.width, eps=EPSILON)
        self.attn = Attention(config.width, config.heads)
        self.ln2 = nn.LayerNorm(config.width, eps=EPSILON)
        self.ffn = FeedForward(config.width, config.mlp)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (b, n, d) to tokens."""
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class PatchEmbed(nn.Module):
    """The convolution that makes tokens of patches."""

    def __init__(self, config: SapiensConfig):
        super().__init__()
        self.projection = nn.Conv2d(
            3, config.width, config.patch, config.patch, padding=config.patch_shift
        )


class VisionTransformer(nn.Module):
    """Pictures (b, 3, h, w) to tokens on a grid (b, d, i, j)."""

    def __init__(self, config: SapiensConfig):
        super().__init__()
        rows, columns = config.grid
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, rows * columns, config.width))
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.layers)])
        self.ln1 = nn.LayerNorm(config.width, eps=EPSILON)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Tokens after the last norm."""
        grid = self.patch_embed.projection(image)
        x = grid.flatten(2).transpose(1, 2) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        return self.ln1(x).transpose(1, 2).reshape(grid.shape)


class DenseHead(nn.Module):
    """Tokens on a grid to maps; pose networks name their last layer differently."""

    def __init__(self, config: SapiensConfig):
        super().__init__()
        self.last = "final_layer" if config.kind == POSE else "conv_seg"
        self.deconv_layers, width = nn.Sequential(), config.width
        for outputs in config.deconvs:
            self.deconv_layers.append(
                nn.ConvTranspose2d(width, outputs, 4, 2, padding=1, bias=False)
            )
            self.deconv_layers.extend([nn.InstanceNorm2d(outputs), nn.SiLU()])
            width = outputs
        self.conv_layers = nn.Sequential()
        for outputs in config.convs:
            self.conv_layers.append(nn.Conv2d(width, outputs, 1))
            self.conv_layers.extend([nn.InstanceNorm2d(outputs), nn.SiLU()])
            width = outputs
        self.add_module(self.last, nn.Conv2d(width, config.outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (b, k, i, j)."""
        x = self.conv_layers(self.deconv_layers(x))
        return self.get_submodule(self.last)(x)


class TorchSapiens(nn.Module):
    """A whole network; its state dict is laid out as the released ones."""

    def __init__(self, config: SapiensConfig):
        super().__init__()
        self.backbone = VisionTransformer(config)
        self.head_name = "head" if config.kind == POSE else "decode_head"
        self.add_module(self.head_name, DenseHead(config))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Pictures (b, 3, h, w) to maps (b, k, i, j)."""
        return self.get_submodule(self.head_name)(self.backbone(image))


def programs(
    config: SapiensConfig, batch: int, *, threads: int, gpu: bool
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Backbone and whole network on random numbers, each waiting for its result.

    Args:
        config: sizes and dtype; the weights are in that dtype, too.
        batch: pictures.
        threads: on a CPU.
        gpu: whether to run on one, compiled.
    """
    torch.set_num_threads(threads)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, config.dtype)
    module = TorchSapiens(config).to(device, dtype).eval()
    pictures = torch.rand(batch, 3, *config.image, device=device, dtype=dtype)

    def program(part: nn.Module) -> Callable[[], None]:
        compiled = torch.compile(part) if device == "cuda" else part

        def call() -> None:
            with torch.no_grad():
                compiled(pictures)
            if device == "cuda":
                torch.cuda.synchronize()

        return call

    return program(module.backbone), program(module)

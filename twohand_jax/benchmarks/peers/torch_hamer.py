"""HaMeR in PyTorch, with the released network's names and shapes of weights.

The peer of ``models.hamer`` in the benchmark, and what its tests agree with.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from twohand_jax.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from twohand_jax.models.hamer import (
    CAMERA,
    POSE,
    SHAPE,
    DecoderConfig,
    HamerConfig,
    activations,
)
from twohand_jax.models.vit import EPSILON, VitConfig


def attend(tokens: Sequence[Tensor], heads: int) -> Tensor:
    """Softmax attention of all heads; queries, keys and values (b, n, heads·d)."""
    parts = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in tokens]
    return functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Self-attention of the picture's tokens."""

    def __init__(self, config: VitConfig):
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (b, n, d) to tokens."""
        return self.proj(attend(self.qkv(x).chunk(3, dim=-1), self.heads))


class Mlp(nn.Module):
    """Two linear layers."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Each token on its own."""
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm Transformer layer."""

    def __init__(self, config: VitConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=EPSILON)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=EPSILON)
        self.mlp = Mlp(config.width, config.mlp)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (b, n, d) to tokens."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """The convolution that makes tokens of patches."""

    def __init__(self, config: VitConfig):
        super().__init__()
        side = config.patch
        self.proj = nn.Conv2d(3, config.width, side, side, padding=config.patch_shift)


class Backbone(nn.Module):
    """Pictures (b, 3, h, w) to tokens (b, n, d); the first position is all tokens'."""

    def __init__(self, config: VitConfig):
        super().__init__()
        tokens = config.grid[0] * config.grid[1]
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + tokens, config.width))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.last_norm = nn.LayerNorm(config.width, eps=EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        """Tokens after the last norm."""
        x = self.patch_embed.proj(image).flatten(2).transpose(1, 2)
        x = x + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            x = block(x)
        return self.last_norm(x)


class SelfAttention(nn.Module):
    """Self-attention of the decoder's tokens."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        inner, self.heads = config.heads * config.head_width, config.heads
        self.to_qkv = nn.Linear(config.width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, config.width), nn.Identity())

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens (b, n, d) to tokens."""
        return self.to_out(attend(self.to_qkv(x).chunk(3, dim=-1), self.heads))


class CrossAttention(nn.Module):
    """The decoder's tokens look at those of the picture."""

    def __init__(self, config: DecoderConfig, context: int):
        super().__init__()
        inner, self.heads = config.heads * config.head_width, config.heads
        self.to_kv = nn.Linear(context, 2 * inner, bias=False)
        self.to_q = nn.Linear(config.width, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, config.width), nn.Identity())

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens (b, n, d) to tokens."""
        key, value = self.to_kv(context).chunk(2, dim=-1)
        return self.to_out(attend((self.to_q(x), key, value), self.heads))


class FeedForward(nn.Module):
    """Two linear layers, with the places of dropout between them."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(config.width, config.mlp),
            nn.GELU(),
            nn.Identity(),
            nn.Linear(config.mlp, config.width),
            nn.Identity(),
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Each token on its own."""
        return self.net(x)


class PreNorm(nn.Module):
    """What is added to a token: a function of its norm."""

    def __init__(self, width: int, function: nn.Module):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = function

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens (b, n, d) to tokens."""
        return self.fn(self.norm(x), context)


class DecoderLayers(nn.Module):
    """All layers, each of self-attention, cross-attention and an MLP."""

    def __init__(self, config: DecoderConfig, context: int):
        super().__init__()

        def layer() -> nn.ModuleList:
            parts = (
                SelfAttention(config),
                CrossAttention(config, context),
                FeedForward(config),
            )
            return nn.ModuleList([PreNorm(config.width, part) for part in parts])

        self.layers = nn.ModuleList([layer() for _ in range(config.layers)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens (b, n, d) to tokens."""
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            for part in layer:
                x = x + part(x, context)
        return x


class Decoder(nn.Module):
    """A token that looks at a picture's tokens."""

    def __init__(self, config: DecoderConfig, *, numbers: int, context: int):
        super().__init__()
        self.to_token_embedding = nn.Linear(numbers, config.width)
        self.pos_embedding = nn.Parameter(torch.randn(1, 1, config.width))
        self.transformer = DecoderLayers(config, context)

    def forward(self, numbers: Tensor, context: Tensor) -> Tensor:
        """Numbers (b, 1, k) of the token to the token (b, d)."""
        x = self.to_token_embedding(numbers) + self.pos_embedding
        return self.transformer(x, context)[:, 0]


class ManoHead(nn.Module):
    """Pose, shape and camera, in steps from their mean."""

    init_hand_pose: Tensor
    init_betas: Tensor
    init_cam: Tensor

    def __init__(self, config: HamerConfig):
        super().__init__()
        sizes = {"init_hand_pose": POSE, "init_betas": SHAPE, "init_cam": CAMERA}
        numbers = sum(sizes.values()) if config.mean_token else 1
        self.config, width = config, config.decoder.width
        self.transformer = Decoder(
            config.decoder, numbers=numbers, context=config.vit.width
        )
        self.decpose = nn.Linear(width, POSE)
        self.decshape = nn.Linear(width, SHAPE)
        self.deccam = nn.Linear(width, CAMERA)
        for name, size in sizes.items():
            self.register_buffer(name, torch.zeros(1, size))

    def forward(self, context: Tensor) -> Tensor:
        """Tokens of pictures to (b, 109)."""
        mean = torch.cat([self.init_hand_pose, self.init_betas, self.init_cam], dim=1)
        values = mean.expand(len(context), -1)
        for _ in range(self.config.iterations):
            given = values if self.config.mean_token else values[:, :1] * 0
            token = self.transformer(given[:, None], context)
            steps = self.decpose(token), self.decshape(token), self.deccam(token)
            values = values + torch.cat(steps, dim=1)
        return values


class TorchHamer(nn.Module):
    """A whole network; its state dict is laid out as the released one's."""

    def __init__(self, config: HamerConfig):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.vit)
        self.mano_head = ManoHead(config)

    def forward(self, crop: Tensor) -> Tensor:
        """Crops (b, 3, s, s), RGB in [0, 1], to pose in 6D, shape and camera."""
        mean = crop.new_tensor(IMAGENET_MEAN)[:, None, None]
        std = crop.new_tensor(IMAGENET_STD)[:, None, None]
        cut = (self.config.crop_size - self.config.vit.image[1]) // 2
        seen = (crop - mean) / std
        return self.mano_head(self.backbone(seen[..., cut : seen.shape[-1] - cut]))


def programs(
    config: HamerConfig, *, threads: int, gpu: bool
) -> Callable[[int], Callable[[], None]]:
    """The network, as a function of how many crops it shall run on.

    What it gives runs on that many crops of random numbers and waits for the result.

    Args:
        config: sizes and dtype; the weights are in that dtype, too.
        threads: on a CPU.
        gpu: whether to run on one, compiled.
    """
    torch.set_num_threads(threads)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, activations(config.dtype).name)
    module = TorchHamer(config).to(device, dtype).eval()
    compiled = torch.compile(module) if device == "cuda" else module

    def program(crops: int) -> Callable[[], None]:
        side = config.crop_size
        pictures = torch.rand(crops, 3, side, side, device=device, dtype=dtype)

        def call() -> None:
            with torch.no_grad():
                compiled(pictures)
            if device == "cuda":
                torch.cuda.synchronize()

        return call

    return program

"""The denoiser and guided refinement in PyTorch, as InterHandGen runs them."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from smplx import lbs
from torch import Tensor, nn

from twohand_jax.diffusion import ddim
from twohand_jax.diffusion.refine import RefineConfig
from twohand_jax.diffusion.representation import POSE, ROTATION, SHAPE, TRANSLATION
from twohand_jax.inference.prior import Prior
from twohand_jax.mano.joints import MANO16, PARENTS
from twohand_jax.models.apply import Variables
from twohand_jax.models.denoiser import LONGEST_PERIOD, DenoiserConfig
from twohand_jax.types import LEFT, RIGHT


class Problem(NamedTuple):
    """Pairs in the prior frame: normalised vectors, the fixed hand, the line of sight.

    ``sizes`` are the steps of the guidance, the same for all pairs.
    """

    clean: Float[np.ndarray, "n 64"]
    condition: Float[np.ndarray, "n 64"]
    fixed: Float[np.ndarray, "n 778 3"]
    sight: Float[np.ndarray, "n 3"]
    sizes: Float[np.ndarray, "k 64"]


class Surface(NamedTuple):
    """A mesh with its vertex normals."""

    vertices: Tensor
    normals: Tensor


class Refiner:
    """A prior and a hand model on a PyTorch device."""

    def __init__(self, prior: Prior, config: RefineConfig, device: str):
        def tensor(array: object) -> Tensor:
            return torch.tensor(np.asarray(array), device=device)

        assert isinstance(prior.sizes, DenoiserConfig)  # the one network known here
        model, walk = prior.model, config.ddim
        self.config, self.tensor = config, tensor
        self.denoiser = Denoiser(prior.sizes, prior.variables).to(device)
        schedule = np.asarray(prior.schedule.alphas_cumprod, np.float64)
        self.times = ddim.timesteps(walk, len(schedule)).tolist()
        kept = schedule[self.times]
        self.alphas, self.below = kept.tolist(), [*kept[1:].tolist(), 1.0]
        self.mean, self.scale = (tensor(part) for part in prior.statistics)
        self.components = tensor(model.pose_components[RIGHT])
        self.pose_mean = tensor(model.pose_mean[RIGHT])
        self.template, self.shapedirs = (
            tensor(part[RIGHT]) for part in (model.template, model.shapedirs)
        )
        self.posedirs = tensor(model.posedirs[RIGHT]).reshape(-1, 135).T.contiguous()
        self.regressor, self.weights = (
            tensor(part[RIGHT]) for part in (model.joint_regressor, model.weights)
        )
        self.faces = tensor(model.faces).long()
        self.parents = torch.tensor(PARENTS, device=device)

    def __call__(self, problem: Problem) -> Float[np.ndarray, "n 778 3"]:
        """The refined other hands, in the prior frame; pair after pair."""
        pairs = zip(*map(self.tensor, problem[:-1]), strict=True)
        sizes = self.tensor(problem.sizes)
        refined = [
            self.refine(clean, condition, fixed, sight, sizes)
            for clean, condition, fixed, sight in pairs
        ]
        return torch.stack(refined).cpu().numpy()

    @torch.no_grad()
    def refine(
        self,
        clean: Tensor,
        condition: Tensor,
        fixed: Tensor,
        sight: Tensor,
        sizes: Tensor,
    ) -> Tensor:
        """The refined other hand of one pair."""
        surface = Surface(fixed, _normals(fixed, self.faces[LEFT]))
        x, missed = self.invert(clean[None], condition[None])
        for step, t in enumerate(self.times):
            estimate = self.denoiser(x, t, condition[None])
            noise = self._noise(x, estimate, step)
            changed = estimate - self.move(estimate, surface, sight, sizes[step])
            x = self._down(changed, noise, step)
            x = x + self.config.residual * missed[step]
        return self.hand(x)[0]

    def invert(self, clean: Tensor, condition: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The noise a clean vector comes from, and what each step down misses."""
        below, noise, missed = clean, torch.zeros_like(clean), []
        for step in reversed(range(len(self.times))):
            for _ in range(self.config.ddim.fixed_point + 1):
                x = self._up(below, noise, step)
                estimate = self.denoiser(x, self.times[step], condition)
                noise = self._noise(x, estimate, step)
            missed.append(below - self._down(estimate, noise, step))
            below = x
        return below, missed[::-1]

    def move(
        self, clean: Tensor, fixed: Surface, sight: Tensor, sizes: Tensor
    ) -> Tensor:
        """The step of the guidance that is taken away from a clean vector."""
        with torch.enable_grad():
            leaf = clean.detach().requires_grad_()
            energy = self.collide(self.hand(leaf)[0], fixed)
            (gradient,) = torch.autograd.grad(energy, leaf)
        move = sizes * gradient
        guidance = self.config.guidance
        length = move.norm(dim=-1, keepdim=True)
        limit = math.inf if guidance.limit is None else guidance.limit
        move = move * torch.clamp(limit / length.clamp(min=1e-20), max=1.0)
        shift = move[..., TRANSLATION]
        along = (shift * sight).sum(-1, keepdim=True) * sight
        move[..., TRANSLATION] = along + guidance.across * (shift - along)
        return move

    def hand(self, clean: Tensor) -> Tensor:
        """Vertices ``n 778 3`` of normalised vectors, in the prior frame."""
        vectors = clean * self.scale + self.mean
        pose = (vectors[:, POSE] @ self.components).reshape(-1, 15, 3) + self.pose_mean
        fingers = lbs.batch_rodrigues(pose.reshape(-1, 3)).reshape(-1, 15, 3, 3)
        root = _rotation(vectors[:, ROTATION])[:, None]
        vertices, joints = lbs.lbs(
            vectors[:, SHAPE],
            torch.cat([root, fingers], 1),
            self.template,
            self.shapedirs,
            self.posedirs,
            self.regressor,
            self.parents,
            self.weights,
            pose2rot=False,
        )
        place = vectors[:, TRANSLATION] - joints[:, MANO16.MIDDLE_BASE]
        return vertices + place[:, None]

    def collide(self, vertices: Tensor, fixed: Surface) -> Tensor:
        """The weighted collision energy of one hand with the fixed one."""
        energy = self.config.energy
        with torch.no_grad():
            moving = Surface(vertices, _normals(vertices, self.faces[RIGHT]))
            to_moving, to_fixed = nearest(fixed.vertices, vertices)
            hit_fixed = self._hits(fixed, moving, to_moving)
            hit_moving = self._hits(moving, fixed, to_fixed)
        cost = self._cost(fixed.vertices - vertices[to_moving], hit_fixed)
        cost = cost + self._cost(vertices - fixed.vertices[to_fixed], hit_moving)
        count = hit_fixed.sum() + hit_moving.sum()
        return energy.collision * cost / count.clamp(min=1)

    def _hits(self, query: Surface, target: Surface, index: Tensor) -> Tensor:
        criteria = self.config.energy.criteria
        towards = target.vertices[index] - query.vertices
        normal = target.normals[index]
        hit = (towards * normal).sum(-1) > 0
        if criteria.angle is not None:
            hit &= (query.normals * normal).sum(-1) < math.cos(criteria.angle)
        if criteria.cutoff is not None:
            hit &= (towards**2).sum(-1) < criteria.cutoff**2
        return hit

    def _cost(self, offset: Tensor, hit: Tensor) -> Tensor:
        squared = (offset**2).sum(-1)
        rho = self.config.energy.criteria.rho
        return torch.where(hit, squared / (squared + rho**2), 0.0).sum()

    def _noise(self, x: Tensor, clean: Tensor, step: int) -> Tensor:
        alpha = self.alphas[step]
        return (x - math.sqrt(alpha) * clean) / math.sqrt(1 - alpha)

    def _down(self, clean: Tensor, noise: Tensor, step: int) -> Tensor:
        below = self.below[step]
        return math.sqrt(below) * clean + math.sqrt(1 - below) * noise

    def _up(self, x: Tensor, noise: Tensor, step: int) -> Tensor:
        alpha, below = self.alphas[step], self.below[step]
        clean = (x - math.sqrt(1 - below) * noise) / math.sqrt(below)
        return math.sqrt(alpha) * clean + math.sqrt(1 - alpha) * noise


def nearest(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the nearest vertices, both ways; without the inexact product form."""
    exact = "donot_use_mm_for_euclid_dist"
    table = torch.cdist(first, second, compute_mode=exact)
    return table.argmin(1), table.argmin(0)


def _normals(vertices: Tensor, faces: Tensor) -> Tensor:
    corners = vertices[faces]
    areas = torch.linalg.cross(
        corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    )
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(0, faces[:, corner], areas)
    return total / total.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def _rotation(six: Tensor) -> Tensor:
    """Rotations whose first two rows point along the given ones."""
    first = torch.nn.functional.normalize(six[:, :3], dim=-1)
    rest = six[:, 3:] - (six[:, 3:] * first).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(rest, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], 1)


class Denoiser(nn.Module):
    """One pair at a time, ``1 64``: attention across items is then that of one item."""

    keep: Tensor
    rates: Tensor

    def __init__(self, config: DenoiserConfig, variables: Variables):
        super().__init__()
        width, hidden, numbers = config.embedding, config.hidden, config.numbers
        self.skips = config.skips
        self.time = _embed(width, hidden, width)
        self.condition = _embed(numbers, hidden, width)
        self.noisy = _embed(numbers, hidden, width)
        layer = nn.TransformerEncoderLayer(
            width,
            config.heads,
            config.mlp,
            dropout=0.0,
            batch_first=config.attention == "tokens",
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.layers, enable_nested_tensor=False
        )
        self.merge = nn.Linear(3 * width, hidden)
        self.skip = nn.Linear(numbers, hidden)
        self.blocks = nn.ModuleList(
            nn.Linear(hidden * (2 if i in self.skips else 1) + 2 * width, hidden)
            for i in range(config.blocks)
        )
        self.output = nn.Linear(hidden, numbers)
        exponents = torch.linspace(0.0, 1.0, width // 2)
        self.register_buffer("rates", torch.exp(-math.log(LONGEST_PERIOD) * exponents))
        fixed: Any = variables.batch_stats
        self.register_buffer("keep", torch.tensor(np.asarray(fixed["keep"])))
        self.load(variables.params)
        self.eval()

    def forward(self, x: Tensor, t: int, condition: Tensor) -> Tensor:
        """Clean vectors of noisy ones at timestep ``t``."""
        phases = t * self.rates
        waves = torch.cat([torch.sin(phases), torch.cos(phases)]).expand(len(x), -1)
        time, other = self.time(waves), self.condition(condition)
        tokens = self.encoder(torch.stack([time, other, self.noisy(x)], 1))
        h, again = self.merge(tokens.flatten(1)), self.skip(x)
        for index, block in enumerate(self.blocks):
            seen = [h, again] if index in self.skips else [h]
            h = torch.relu(block(torch.cat([*seen, time, other], -1)))
        kept = self.keep[t]
        return kept * x + torch.sqrt(1.0 - kept**2) * self.output(h)

    @torch.no_grad()
    def load(self, params: Any) -> None:
        """Copy our weights."""
        for name in ("time", "condition", "noisy"):
            embed: Any = getattr(self, name)
            _copy(embed[0], params[name]["expand"])
            _copy(embed[2], params[name]["contract"])
        for name in ("merge", "skip", "output"):
            _copy(getattr(self, name), params[name])
        for index, block in enumerate(self.blocks):
            _copy(block, params["blocks"][str(index)])
        for index, layer in enumerate(self.encoder.layers):
            _copy_layer(layer, params["layers"][str(index)])


def _embed(inputs: int, hidden: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, width))


def _copy(layer: Any, weights: Any) -> None:
    """A linear layer's or a layer norm's weights."""
    weight = weights["kernel"].T if "kernel" in weights else weights["scale"]
    layer.weight.copy_(torch.tensor(np.asarray(weight)))
    layer.bias.copy_(torch.tensor(np.asarray(weights["bias"])))


def _copy_layer(layer: Any, weights: Any) -> None:
    """An encoder layer's weights; ours have an axis for the heads."""
    attention = weights["attention"]
    width = layer.linear1.in_features
    stacked = [attention[name] for name in ("query", "key", "value")]
    kernels = [np.reshape(part["kernel"], (width, width)).T for part in stacked]
    biases = [np.reshape(part["bias"], width) for part in stacked]
    layer.self_attn.in_proj_weight.copy_(torch.tensor(np.concatenate(kernels)))
    layer.self_attn.in_proj_bias.copy_(torch.tensor(np.concatenate(biases)))
    out = attention["out"]
    kernel = np.reshape(out["kernel"], (width, width))
    _copy(layer.self_attn.out_proj, {"kernel": kernel, "bias": out["bias"]})
    for ours, theirs in (
        ("norm_attention", layer.norm1),
        ("norm_mlp", layer.norm2),
        ("expand", layer.linear1),
        ("contract", layer.linear2),
    ):
        _copy(theirs, weights[ours])


def refiner(prior: Prior, config: RefineConfig, *, threads: int, gpu: bool) -> Refiner:
    """The program, on a GPU if wanted and there is one.

    Args:
        prior: and its hand model.
        config: as of ``diffusion.refine``.
        threads: on a CPU.
        gpu: whether to run on one.
    """
    torch.set_num_threads(threads)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    return Refiner(prior, config, device)

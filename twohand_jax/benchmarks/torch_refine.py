"""Guided refinement of one pair in PyTorch, as InterHandGen's release runs it.

A Python loop over the pairs and over the DDIM steps, smplx's skinning, all distances
by ``torch.cdist``, the gradient of the collision energy by autograd. Names and numbers
are those of ``diffusion.refine`` with its default criteria of collision.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from smplx import lbs
from torch import Tensor

from twohand_jax.benchmarks.torch_denoiser import Denoiser
from twohand_jax.diffusion import ddim
from twohand_jax.diffusion.layout import POSE, ROTATION, SHAPE, TRANSLATION
from twohand_jax.diffusion.refine import RefineConfig
from twohand_jax.inference.prior import Prior
from twohand_jax.mano.joints import PARENTS
from twohand_jax.types import LEFT, RIGHT

MIDDLE_BASE = 4  # in the model's order of its joints


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

        model, walk = prior.model, config.ddim
        self.config, self.tensor = config, tensor
        self.denoiser = Denoiser(prior.sizes, prior.variables).to(device)
        self.times = ddim.timesteps(walk).tolist()
        kept = np.asarray(prior.schedule.alphas_cumprod, np.float64)[self.times]
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
        place = vectors[:, TRANSLATION] - joints[:, MIDDLE_BASE]
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

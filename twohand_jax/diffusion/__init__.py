"""The two-hand prior: representation, sampling, guidance, refinement."""

from twohand_jax.diffusion import representation, schedule, selective
from twohand_jax.diffusion.ddim import DdimConfig, Inversion, invert, sample
from twohand_jax.diffusion.energies import EnergyConfig
from twohand_jax.diffusion.gate import SENTENCES, GateConfig, Status, choose_reference
from twohand_jax.diffusion.guidance import GuidanceConfig, by_energy, step_sizes
from twohand_jax.diffusion.parts import PriorParts
from twohand_jax.diffusion.refine import (
    RefineConfig,
    Refined,
    descend,
    refine,
)
from twohand_jax.diffusion.statistics import Statistics

__all__ = [
    "SENTENCES",
    "DdimConfig",
    "EnergyConfig",
    "GateConfig",
    "GuidanceConfig",
    "Inversion",
    "PriorParts",
    "RefineConfig",
    "Refined",
    "Statistics",
    "Status",
    "by_energy",
    "choose_reference",
    "descend",
    "invert",
    "refine",
    "representation",
    "sample",
    "schedule",
    "selective",
    "step_sizes",
]

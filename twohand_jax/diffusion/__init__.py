"""The two-hand prior: representation, sampling, guidance, refinement."""

from twohand_jax.diffusion import representation, schedule
from twohand_jax.diffusion.ddim import DdimConfig, Inversion, PriorParts, invert, sample
from twohand_jax.diffusion.gate import SENTENCES, GateConfig, Status, choose_reference
from twohand_jax.diffusion.guidance import (
    EnergyConfig,
    GuidanceConfig,
    by_energy,
    step_sizes,
)
from twohand_jax.diffusion.refine import (
    RefineConfig,
    Refined,
    gradient_descent,
    refine,
    refine_selected,
)
from twohand_jax.diffusion.representation import Statistics

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
    "gradient_descent",
    "invert",
    "refine",
    "refine_selected",
    "representation",
    "sample",
    "schedule",
    "step_sizes",
]

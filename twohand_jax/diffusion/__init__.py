"""The two-hand prior: representation, sampling, guidance, refinement.

Most users need only ``Prior`` and ``refine`` at the top of the library. This package
has their parts and settings.
"""

from twohand_jax.diffusion import ddim, guidance, representation, schedule
from twohand_jax.diffusion.cascade import PRESETS as SAMPLE_PRESETS
from twohand_jax.diffusion.cascade import Collision, SampleConfig
from twohand_jax.diffusion.ddim import DdimConfig, Inversion, PriorParts, invert, sample
from twohand_jax.diffusion.evidence import EvidenceConfig
from twohand_jax.diffusion.gate import SENTENCES, GateConfig, Status, choose_reference
from twohand_jax.diffusion.guidance import (
    EnergyConfig,
    GuidanceConfig,
    PairEnergy,
    by_energy,
    step_sizes,
)
from twohand_jax.diffusion.refine import PRESETS as REFINE_PRESETS
from twohand_jax.diffusion.refine import (
    GateResult,
    RefineConfig,
    Refined,
    check_gate,
    gradient_descent,
    refine,
    refine_selected,
)
from twohand_jax.diffusion.representation import Statistics
from twohand_jax.diffusion.visibility import labelled_area, visible_area

__all__ = [
    "REFINE_PRESETS",
    "SAMPLE_PRESETS",
    "SENTENCES",
    "Collision",
    "DdimConfig",
    "EnergyConfig",
    "EvidenceConfig",
    "GateConfig",
    "GateResult",
    "GuidanceConfig",
    "Inversion",
    "PairEnergy",
    "PriorParts",
    "RefineConfig",
    "Refined",
    "SampleConfig",
    "Statistics",
    "Status",
    "by_energy",
    "check_gate",
    "choose_reference",
    "ddim",
    "gradient_descent",
    "guidance",
    "invert",
    "labelled_area",
    "refine",
    "refine_selected",
    "representation",
    "sample",
    "schedule",
    "step_sizes",
    "visible_area",
]

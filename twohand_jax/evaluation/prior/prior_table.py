"""The table that judges a prior: its samples, and sets that tell what figures mean."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from twohand_jax import mano
from twohand_jax.collision import penetration
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.cascade import Collision, SampleConfig
from twohand_jax.errors import InputError
from twohand_jax.evaluation.prior import plausibility
from twohand_jax.evaluation.prior.plausibility import TrainedPairEncoder
from twohand_jax.inference.prior import Prior
from twohand_jax.mano import topology
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams

COLUMNS = (
    "Frechet",
    "kernel x1000",
    "precision",
    "recall",
    "diversity",
    "volume cm3",
    "depth mm",
    "penetrating %",
    "contact %",
)
DATA, GIVEN, PRIOR, GUIDED, MIXED = (
    "held-out data",
    "prior, one hand given",
    "prior",
    "prior, guided",
    "hands of different pairs",
)
TOUCHING_MM = 1.0  # a pair penetrates when it does so deeper than this


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableConfig:
    """How large the table's sets are.

    Attributes:
        pairs: of each set, and of the data they are compared with.
        measured: the first pairs of each set whose penetration is measured.
        batch: pairs drawn at a time.
        free, guided: how the prior's two sets are drawn.
    """

    pairs: int = 1000
    measured: int = 250
    batch: int = 125
    free: SampleConfig = SampleConfig()
    guided: SampleConfig = SampleConfig(energy=Collision())


def table(
    prior: Prior,
    encoder: TrainedPairEncoder,
    data: ManoParams,
    key: Key[Array, ""],
    *,
    config: TableConfig = TableConfig(),
) -> Iterator[tuple[str, dict[str, float]]]:
    """Figures of each set against the first half of the data, one row at a time.

    The second half of the data shows what figures perfect samples would have. Its
    reference hands with second hands of the prior show the conditional model alone.
    Hands of different pairs (each pose, shape and place as in the data, but independent
    of the other hand's) show what a model would have that knows single hands only.

    Args:
        prior: to be judged.
        encoder: the feature space.
        data: held-out pairs.
        key: of the samples.
        config: sizes.

    Raises:
        InputError: too few pairs.
    """
    count = min(config.pairs, len(data.transl) // 2)
    if count < 10:
        raise InputError(
            f"The data hold {len(data.transl)} pairs of hands and {config.pairs} were "
            "asked for; the table needs at least 10 to compare with 10 others."
        )
    known = encoder(_rows(data, slice(0, count)))
    others = _rows(data, slice(count, 2 * count))
    sets = {
        DATA: lambda: others,
        GIVEN: lambda: prior.sample_second(
            key, others, _references(others), config=config.free
        ),
        PRIOR: lambda: draw(prior, key, count, config.free, batch=config.batch),
        GUIDED: lambda: draw(prior, key, count, config.guided, batch=config.batch),
        MIXED: lambda: mixed(prior.model, others),
    }
    for name, make in sets.items():
        yield name, _row(prior.model, encoder, make(), known, measured=config.measured)


def _row(
    model: ManoModel,
    encoder: TrainedPairEncoder,
    params: ManoParams,
    known: Float[np.ndarray, "n d"],
    *,
    measured: int,
) -> dict[str, float]:
    """All figures of one set, in the order of ``COLUMNS``."""
    found = plausibility.compare(encoder(params), known)
    contact = contact_figures(model, _rows(params, slice(0, measured)))
    figures = found._replace(kernel=1e3 * found.kernel)
    return dict(zip(COLUMNS, [*figures, *contact], strict=True))


def draw(
    prior: Prior, key: Key[Array, ""], count: int, walk: SampleConfig, *, batch: int
) -> ManoParams:
    """Pairs of a prior, drawn a batch at a time."""
    parts = [
        prior.sample(jax.random.fold_in(key, number), batch, config=walk)
        for number in range(-(-count // batch))
    ]
    whole = jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
    return _rows(whole, slice(0, count))


def mixed(model: ManoModel, params: ManoParams) -> ManoParams:
    """Each pair's reference hand with the other hand of the pair after the next.

    The steps by two keep the reference's side, which alternates.
    """
    reference = _references(params)
    vectors = representation.pack(model, params, reference)
    strangers = jnp.roll(vectors[:, representation.OTHER], -2, axis=0)
    pairs = vectors.at[:, representation.OTHER].set(strangers)
    frame = representation.pair_frame(model, params, reference)
    return representation.unpack(model, pairs, reference, frame)


def contact_figures(
    model: ManoModel, params: ManoParams
) -> tuple[float, float, float, float]:
    """Mean volume (cm³) and depth (mm), shares of penetrating pairs and contact (%)."""
    vertices = np.asarray(mano.forward(model, params).vertices)
    faces = [topology.close_wrist(np.asarray(model.faces[side])) for side in range(2)]
    found = penetration.measure(
        vertices[:, RIGHT], vertices[:, LEFT], faces[RIGHT], faces[LEFT]
    )
    return (
        float(found.volume_cm3.mean()),
        float(found.max_depth_mm.mean()),
        float(100.0 * (found.max_depth_mm > TOUCHING_MM).mean()),
        float(100.0 * found.contact_ratio.mean()),
    )


def _references(params: ManoParams) -> Int[Array, "n"]:
    """The right and the left hand in turn, as ``Prior.sample`` has them."""
    return jnp.arange(len(params.transl)) % 2


def _rows(params: ManoParams, rows: slice) -> ManoParams:
    return jax.tree.map(lambda leaf: leaf[rows], params)

"""Hands, cameras and meshes of a shard's pictures, computed in one batch."""

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Bool

from data_pipelines.synthetic.config import SyntheticConfig
from data_pipelines.synthetic.labels import Sample
from data_pipelines.synthetic.poses import sampler, view
from twohand_jax import mano
from twohand_jax.types import Camera, HandGeometry, ManoModel, ManoParams

CHUNK = 64


def draw(
    stream: np.random.SeedSequence,
    count: int,
    *,
    model: ManoModel,
    config: SyntheticConfig,
) -> Iterator[Sample]:
    """The hands of ``count`` pictures, in the camera frame of each.

    A pose takes far longer to make than a picture (two hands must be moved out of each
    other), so each is seen ``config.views`` times, by another camera in another scene.
    """
    pose_seed, view_seed = stream.generate_state(2).tolist()
    number = -(-count // config.views)
    poses = sampler.sample(
        pose_seed, number, model=model, config=_sampler_config(config)
    )
    rows = np.repeat(np.arange(number), config.views)[:count]
    seen = jax.tree.map(lambda x: x[rows], poses)
    params, camera = view.place(
        view_seed, seen, (config.size, config.size), model=model
    )
    kinds = [sampler.KINDS[kind] for kind in seen.kind]
    yield from posed(model, params, camera, seen.present, kinds)


def posed(
    model: ManoModel,
    params: ManoParams,
    camera: Camera,
    shown: Bool[np.ndarray, "n 2"],
    kinds: Sequence[str],
) -> Iterator[Sample]:
    """Pictures' hands from their parameters, all in the camera frame, host arrays."""
    geometry = posed_geometry(model, params)
    for row, kind in enumerate(kinds):
        yield Sample(
            params=ManoParams(*(value[row] for value in params)),
            joints=geometry.joints[row],
            vertices=geometry.vertices[row],
            camera=Camera(*(value[row] for value in camera)),
            shown=shown[row],
            kind=kind,
            model=model.name,
        )


def _sampler_config(config: SyntheticConfig) -> sampler.SamplerConfig:
    if not config.kinds:
        return sampler.DEFAULT
    weights = {kind: sampler.DEFAULT.weights.get(kind, 1.0) for kind in config.kinds}
    return sampler.SamplerConfig(weights=weights)


@jax.jit
def _forward(model: ManoModel, params: ManoParams) -> HandGeometry:
    return mano.forward(model, params)


def posed_geometry(model: ManoModel, params: ManoParams) -> HandGeometry:
    """The posed hands as host arrays, in chunks of one size: one compilation."""
    count = len(params.transl)
    rows = np.resize(np.arange(count), -(-count // CHUNK) * CHUNK)
    parts = [
        jax.tree.map(
            np.asarray,
            _forward(model, ManoParams(*(value[chunk] for value in params))),
        )
        for chunk in rows.reshape(-1, CHUNK)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *parts)

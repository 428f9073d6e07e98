"""Run as a program: HaMeR's predictions on several devices beside those on one."""

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from tests.weights.tiny_hamer import state_of, tiny, torch_network
from twohand_jax import mano
from twohand_jax.evaluation import methods
from twohand_jax.inference import predict
from twohand_jax.models import apply
from twohand_jax.models.hamer import Hamer
from twohand_jax.types import CanvasView
from twohand_jax.weights import hamer

COUNT = 8
CROP = predict.CropConfig(crop_size=64, aspect=0.75, canvas_size=96, placed_by="origin")


def views() -> CanvasView:
    """Pictures of noise, each with two hands."""
    one = predict.blank((), crop=CROP)
    many = jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * COUNT), one)
    rng = np.random.default_rng(0)
    box = np.tile(np.array([10.0, 10.0, 40.0, 50.0], np.float32), (COUNT, 2, 1))
    noise = rng.integers(0, 256, many.canvas.shape, dtype=np.uint8)
    return many._replace(canvas=noise, box=box, score=np.ones((COUNT, 2), np.float32))


def main() -> None:
    """Print what is the same, or fail."""
    config = tiny()
    _, variables = hamer.convert(
        state_of(torch_network(config)), where="tiny", config=config
    )
    network = apply.network(lambda rngs: Hamer(config, rngs=rngs))
    ask = jax.jit(
        lambda variables, model, view: predict.predict(
            variables, model, view, apply=network.apply, crop=CROP
        )
    )
    one = ask(variables, mano.load(), views())
    mesh = methods.local_mesh()
    everywhere = jax.device_put((variables, mano.load()), methods.everywhere(mesh))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    many = ask(*everywhere, jax.device_put(views(), rows))
    assert len(many.geometry.joints.sharding.device_set) == jax.device_count()
    joints = np.asarray(one.geometry.joints)
    assert np.ptp(joints, axis=0).max() > 1e-3
    np.testing.assert_allclose(many.geometry.joints, joints, atol=1e-4)
    print(f"same hands of {COUNT} pictures on {jax.device_count()} devices")


if __name__ == "__main__":
    main()

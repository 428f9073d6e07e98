"""Programs that many tests run, compiled whole: eager operations compile one by one."""

import jax

from twohand_jax import mano
from twohand_jax.evaluation import truth

forward = jax.jit(mano.forward, static_argnames="fingertips")
rest_wrist = jax.jit(mano.params.rest_wrist)
posed_truth = jax.jit(truth.posed_truth)

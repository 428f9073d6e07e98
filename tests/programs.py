"""Programs that many tests run, compiled whole: eager operations compile one by one."""

import jax

from twohand_jax import mano

forward = jax.jit(mano.forward, static_argnames="fingertips")
rest_wrist = jax.jit(mano.params.rest_wrist)

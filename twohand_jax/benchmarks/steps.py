"""The programs of a network that ``benchmarks.train`` times, compiled and ready."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from twohand_jax import experiments
from twohand_jax.experiments import regressor
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.models.regressor import RegressorConfig
from twohand_jax.train import dry_run, sharding
from twohand_jax.types import Inputs

FORWARD, NETWORK_STEP, TRAINING_STEP = "forward", "network step", "training step"


class CompiledProgram(NamedTuple):
    """A compiled program with its arguments; memory is what the compiler plans for."""

    call: Callable[[], object]
    flops: float
    compile_seconds: float
    memory_bytes: int | None


def network_programs(model: RegressorConfig, batch: int) -> dict[str, CompiledProgram]:
    """The regressor's forward pass and step, without augmentation and our losses."""
    network, inputs = regressor.network(model), filled(input_shapes(model, batch))
    optimizer = optax.adamw(1e-4)
    shapes = apply.shapes(network)
    variables, own = weights(shapes), weights(shapes)  # the step gives its own away
    moments = zeros(jax.eval_shape(optimizer.init, shapes.params))
    forward = jax.jit(lambda variables, inputs: network.apply(variables, inputs)[0])
    step = jax.jit(_step(network, optimizer), donate_argnums=(0, 1))
    return {
        FORWARD: compile_program(forward, (), variables, inputs),
        NETWORK_STEP: compile_program(step, (own, moments), inputs),
    }


def training_step(config: Mapping[str, Any]) -> CompiledProgram:
    """The step that ``twohand train`` runs, on one device."""
    outline = experiments.outline(experiments.parse(config))
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    start = time.perf_counter()
    program = dry_run.compile_step(outline, mesh)
    took = time.perf_counter() - start
    first = zeros(program.state)._replace(
        params=weights(program.state.params),
        batch_stats=weights(program.state.batch_stats),
    )
    batch, constants = filled(outline.batch), filled(outline.constants)
    rest = (batch, constants, jax.random.key(0), jnp.asarray(1, jnp.int32))
    call = carrying(program.compiled, (first,), *rest)
    return CompiledProgram(call, program.flops, took, _memory(program.compiled))


def filled(shapes: PyTree) -> PyTree:
    """Random numbers where a tree has shapes only; affine maps are the identity."""
    rng = np.random.default_rng(0)

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if leaf.dtype == bool:
            return jnp.ones(leaf.shape, bool)
        if leaf.shape[-2:] == (2, 3):
            return jnp.broadcast_to(jnp.eye(2, 3), leaf.shape)
        high = 1 if jnp.issubdtype(leaf.dtype, jnp.floating) else 255
        return jnp.asarray(rng.uniform(0.1, high, leaf.shape).astype(leaf.dtype))

    return jax.tree.map(fill, shapes)


def weights(shapes: PyTree) -> PyTree:
    """Weights that keep activations finite; a network's own take long to compile."""
    rng = np.random.default_rng(0)

    def fill(leaf: Any) -> Array:
        if len(leaf.shape) < 2:
            return jnp.ones(leaf.shape, leaf.dtype)
        spread = np.prod(leaf.shape[:-1]) ** -0.5
        return jnp.asarray(rng.normal(0.0, spread, leaf.shape), leaf.dtype)

    return jax.tree.map(fill, shapes)


def zeros(shapes: PyTree) -> PyTree:
    """Zeros of all shapes."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _step(network: Network, optimizer: optax.GradientTransformation) -> Callable:
    def step(variables: Variables, moments: Any, inputs: Inputs) -> tuple:
        def loss(params: PyTree) -> tuple[Array, Variables]:
            output, updated = network.apply(
                variables._replace(params=params), inputs, train=True
            )
            squares = [jnp.mean(leaf**2) for leaf in jax.tree.leaves(output)]
            return jnp.sum(jnp.stack(squares)), updated

        (total, updated), gradient = jax.value_and_grad(loss, has_aux=True)(
            variables.params
        )
        updates, after = optimizer.update(gradient, moments, variables.params)
        params = optax.apply_updates(variables.params, updates)
        return updated._replace(params=params), after, total

    return step


def input_shapes(model: RegressorConfig, batch: int) -> Inputs:
    """Shapes of what a regressor sees of a batch."""

    def floats(*shape: int) -> Any:
        return jax.ShapeDtypeStruct((batch, *shape), jnp.float32)

    def flags(*shape: int) -> Any:
        return jax.ShapeDtypeStruct((batch, *shape), jnp.bool_)

    side = model.crop_size
    picture = floats(2, side, side, 3)
    return Inputs(
        image=picture,
        cues=dict.fromkeys(model.cues, picture),
        present=dict.fromkeys(model.cues, flags()),
        T_crop_image=floats(2, 2, 3),
        box=floats(2, 4),
        hand_valid=flags(2),
        overlap=flags(),
    )


def compile_program(function: Any, carried: tuple, *rest: Any) -> CompiledProgram:
    """Compile a jitted function for these arguments.

    Args:
        function: whose first results take the place of ``carried`` in the next call.
        carried: first arguments, which may be donated.
        rest: the other arguments, the same in every call.
    """
    start = time.perf_counter()
    lowered = function.lower(*carried, *rest)
    compiled = lowered.compile()
    took = time.perf_counter() - start
    flops = (lowered.cost_analysis() or {}).get("flops", float("nan"))
    return CompiledProgram(
        carrying(compiled, carried, *rest), flops, took, _memory(compiled)
    )


def carrying(compiled: Any, carried: tuple, *rest: Any) -> Callable[[], object]:
    """Calls that wait, and whose first results are the next call's arguments."""

    def call() -> None:
        nonlocal carried
        found = jax.block_until_ready(compiled(*carried, *rest))
        carried = found[: len(carried)]

    return call


def _memory(compiled: jax.stages.Compiled) -> int | None:
    found: Any = compiled.memory_analysis()
    if found is None:
        return None
    extra = max(found.output_size_in_bytes - found.alias_size_in_bytes, 0)
    return found.argument_size_in_bytes + found.temp_size_in_bytes + extra

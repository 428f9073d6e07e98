"""What a run would need, without running it: parameters, FLOPs, memory, shardings."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from twohand_jax import mano
from twohand_jax.crops import cue_table
from twohand_jax.data.poses import PairBatch
from twohand_jax.models.apply import Network
from twohand_jax.train import estimate, optim, sharding
from twohand_jax.train import state as states
from twohand_jax.train import step as steps
from twohand_jax.train.estimate import Cost
from twohand_jax.train.loop import LoopConfig
from twohand_jax.train.step import Loss
from twohand_jax.types import Batch, Camera, Cues, Targets

LARGEST = 8


class Outline(NamedTuple):
    """A task in shapes only.

    Attributes:
        network, loss: see ``train.task``.
        constants: of the loss, arrays or shapes.
        batch: shapes of a batch.
        optim, loop: settings.
        unit: what a batch consists of.
        precision: "float32" or "bfloat16", of most products.
    """

    network: Network
    loss: Loss
    constants: PyTree
    batch: PyTree
    optim: optim.OptimConfig
    loop: LoopConfig
    unit: str
    precision: str = "float32"


class CompiledStep(NamedTuple):
    """The compiled step and what it works on."""

    state: states.TrainState
    compiled: jax.stages.Compiled
    flops: float


class TracedStep(NamedTuple):
    """The traced step and what it works on, in shapes."""

    state: states.TrainState
    lowered: jax.stages.Lowered
    flops: float


def compile_step(outline: Outline, mesh: jax.sharding.Mesh) -> CompiledStep:
    """Compile the training step from shapes; allocates no arrays.

    Args:
        outline: what is trained.
        mesh: devices to compile for.
    """
    traced = trace_step(outline, mesh)
    return CompiledStep(traced.state, traced.lowered.compile(), traced.flops)


def trace_step(outline: Outline, mesh: jax.sharding.Mesh) -> TracedStep:
    """Trace the training step.

    Args:
        outline: what is trained.
        mesh: devices that it would run on.
    """
    optimizer = optim.optimizer(outline.optim)
    step = steps.make(outline.loss, optimizer, ema_decay=outline.optim.ema_decay)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(
        lambda k: states.create(outline.network, optimizer, k), jax.random.key(0)
    )
    whole = sharding.replicated(mesh)
    places = sharding.state(mesh, state)
    jitted = jax.jit(
        step,
        in_shardings=(places, sharding.batch(mesh), whole, whole, whole),
        out_shardings=(places, whole),
        donate_argnums=0,
    )
    number = jax.ShapeDtypeStruct((), jnp.int32)
    lowered = jitted.lower(state, outline.batch, outline.constants, key, number)
    flops = (lowered.cost_analysis() or {}).get("flops", float("nan"))
    return TracedStep(state, lowered, flops)


def describe(outline: Outline) -> str:
    """The report of ``twohand train --dry-run``.

    The step is compiled only for accelerators: what a CPU's program takes says nothing
    of theirs.
    """
    mesh = sharding.make_mesh(fsdp=outline.loop.fsdp)
    program = trace_step(outline, mesh)
    size = outline.loop.batch_size
    lines = [
        *_parameters(program.state.params),
        "",
        f"Training step, batch {size}: {program.flops / 1e9:.3g} GFLOP, "
        f"{program.flops / size / 1e9:.3g} GFLOP per {outline.unit} (forward, "
        "backward and update, as traced)",
        *estimate.describe(cost(outline, program)),
    ]
    if jax.default_backend() != "cpu":
        lines += _memory(program.lowered.compile(), mesh)
    return "\n".join([*lines, "", *_placement(program.state, mesh)])


def cost(outline: Outline, traced: TracedStep) -> Cost:
    """FLOPs and bytes of the traced step."""
    return Cost(
        flops=traced.flops,
        state=estimate.nbytes(traced.state),
        gradients=estimate.nbytes(traced.state.params),
        activations=estimate.activations(
            outline.loss,
            traced.state,
            outline.batch,
            outline.constants,
            size=outline.loop.batch_size,
        ),
        batch=estimate.nbytes(outline.batch),
        precision=outline.precision,
    )


def _parameters(params: PyTree) -> list[str]:
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in params.items()
    }
    total = sum(counts.values())
    lines = [f"Parameters: {total / 1e6:.2f} M, {4 * total / 1e6:.1f} MB in float32"]
    return lines + [f"  {name:<12} {n / 1e6:8.2f} M" for name, n in counts.items()]


def _memory(compiled: jax.stages.Compiled, mesh: jax.sharding.Mesh) -> list[str]:
    found: Any = compiled.memory_analysis()
    if found is None:
        return ["Memory: this backend's compiler gives no analysis."]
    kept = found.argument_size_in_bytes
    extra = found.output_size_in_bytes - found.alias_size_in_bytes
    total = kept + found.temp_size_in_bytes + max(extra, 0)
    device = mesh.devices.flat[0].device_kind
    return [
        f"Memory of each device, from the program compiled for {device}: "
        f"{total / 2**30:.2f} GiB (state, constants and batch {kept / 2**30:.2f}, "
        f"activations and other temporaries {found.temp_size_in_bytes / 2**30:.2f})"
    ]


def _placement(state: states.TrainState, mesh: jax.sharding.Mesh) -> list[str]:
    shape = " x ".join(f"{n} {name}" for name, n in mesh.shape.items())
    places = sharding.state(mesh, state.params)
    leaves = jax.tree_util.tree_leaves_with_path(state.params)
    pairs = zip(leaves, jax.tree.leaves(places), strict=True)
    largest = sorted(pairs, key=lambda pair: -np.prod(pair[0][1].shape))[:LARGEST]
    lines = [f"Mesh: {shape} devices; the largest arrays and how they are split:"]
    for (path, leaf), place in largest:
        name = "/".join(str(getattr(key, "key", key)) for key in path)
        split = [axis or "-" for axis in place.spec] or ["whole on every device"]
        lines.append(f"  {name} {leaf.shape}: {', '.join(split)}")
    return lines


def abstract_records(
    size: int, *, canvas: int, cues: Sequence[str] = cue_table.DEFAULT
) -> Batch:
    """What the reader hands over: ``size`` records on canvases of ``canvas`` pixels."""

    def floats(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *shape), jnp.float32)

    def flags(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *shape), jnp.bool_)

    targets = Targets(
        camera=Camera(floats(2), floats(2)),
        camera_valid=flags(),
        box=floats(2, 4),
        hand_valid=flags(2),
        joints_2d=floats(2, 21, 2),
        joints_2d_valid=flags(2, 21),
        joints_3d=floats(2, 21, 3),
        joints_3d_valid=flags(2, 21),
        mano=jax.eval_shape(functools.partial(mano.zeros, size)),
        mano_valid=flags(2),
        rel_trans=floats(3),
        rel_trans_valid=flags(),
        interacting=flags(),
        doubt=floats(2),
    )
    shapes = {name: cue_table.shape_of(name, canvas, canvas) for name in cues}
    known = Cues(
        {
            name: jax.ShapeDtypeStruct((size, *shape), dtype)
            for name, (shape, dtype) in shapes.items()
        },
        {name: flags() for name in cues},
    )
    return Batch(
        canvas=jax.ShapeDtypeStruct((size, canvas, canvas, 3), jnp.uint8),
        T_canvas_image=floats(2, 3),
        cues=known,
        targets=targets,
        weight=floats(),
        record=jax.ShapeDtypeStruct((size,), jnp.int32),
    )


def abstract_pairs(size: int) -> PairBatch:
    """A batch of the prior's training."""
    return PairBatch(
        vectors=jax.ShapeDtypeStruct((size, 2, 64), jnp.float32),
        weight=jax.ShapeDtypeStruct((size,), jnp.float32),
        record=jax.ShapeDtypeStruct((size,), jnp.int32),
    )

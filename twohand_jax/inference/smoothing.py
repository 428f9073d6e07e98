"""One person's hands over the frames of a clip: the fit's terms, and smooth motion.

Least squares over a window of frames at once, so that nothing lags: to the fit's terms
of each frame (keypoints, joints in metres, the network's estimate, anatomy) come the
accelerations of wrists, palms and joints. Windows have one size, whatever the clip's
length: each begins with the last frames of the one before, which stay, and looks at
frames ahead that the next one decides.

A step solves for all frames together (Levenberg-Marquardt). A frame's unknowns meet
those of the two frames on either side, so that blocks of two frames are tridiagonal.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax.geometry import cameras, rotations
from twohand_jax.inference import fit
from twohand_jax.inference.block_solver import Normal, joined, solve_blocks
from twohand_jax.inference.predict import EMPTY
from twohand_jax.inference.programs import Programs, shapes_of
from twohand_jax.types import Camera, ManoModel, ManoParams, Prediction

HIGHEST = jax.lax.Precision.HIGHEST
POSE, WRIST, UNKNOWNS = 3, 48, 51  # where a hand's unknowns begin, and their number
CENTIMETRE = 0.01  # the unit of the wrist's unknowns, to be alike in size to angles
CARRIED = 2  # frames that a window takes over from the one before
STAYS = 1e8


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmoothingConfig:
    """Standard deviations of the accelerations, and how a clip is cut.

    Attributes:
        wrist: metres a second squared; infinite leaves each frame to itself.
        palm: radians a second squared.
        joints: radians a second squared, of each axis of each joint.
        window: frames of a window, an even number.
        ahead: frames at a window's end that the next window decides.
        max_steps: limit of the iterations in a window.
        frame: the fit's terms of each frame.
    """

    wrist: float = 1.5
    palm: float = 8.0
    joints: float = 12.0
    window: int = 48
    ahead: int = 14
    max_steps: int = 10
    frame: fit.FitConfig = fit.DEFAULT


DEFAULT = SmoothingConfig()
UNSMOOTHED = SmoothingConfig(wrist=np.inf, palm=np.inf, joints=np.inf)


class Motion(NamedTuple):
    """A person's hands in a row of frames, camera frame, right first.

    Attributes:
        orient: axis-angle.
        pose: axis-angles relative to the mean pose.
        wrist: metres.
    """

    orient: Float[np.ndarray, "f 2 3"]
    pose: Float[np.ndarray, "f 2 15 3"]
    wrist: Float[np.ndarray, "f 2 3"]


class Evidence(NamedTuple):
    """What is known of them.

    Attributes:
        network: the network's estimates; of hands that were not seen anything.
        keypoints: x, y, score; 0 for those that were not seen.
        world: see ``fit.fit``.
        alive: hands that are there, seen or not.
    """

    network: Motion
    keypoints: Float[np.ndarray, "f 2 21 3"]
    world: Float[np.ndarray, "f 2 21 3"]
    alive: Bool[np.ndarray, "f 2"]


class _State(NamedTuple):
    """Palms as matrices, pose as a change in anatomical axes, wrists in metres."""

    orient: Float[Array, "w 2 3 3"]
    pose: Float[Array, "w 2 15 3"]
    wrist: Float[Array, "w 2 3"]


class _Window(NamedTuple):
    """Arguments of a window's program."""

    evidence: Any  # an ``Evidence`` of its frames
    before: Any  # a ``Motion`` of these, of which the carried frames count
    carried: Any
    betas: Any
    camera: Camera
    interval: Any


def smooth(
    model: ManoModel,
    evidence: Evidence,
    betas: Float[np.ndarray, "10"],
    camera: Camera,
    interval: float,
    *,
    config: SmoothingConfig = DEFAULT,
    programs: Programs | None = None,
) -> Motion:
    """The hands that the evidence of all frames and smooth motion suggest.

    Args:
        model: hand model.
        evidence: of each frame.
        betas: shape of both hands, the same in all frames.
        camera: of all frames.
        interval: seconds between two frames.
        config: weights and sizes of windows.
        programs: where the window's program is kept.
    """
    count = len(evidence.alive)
    size, step = config.window, config.window - config.ahead - CARRIED
    programs = Programs() if programs is None else programs
    name = prepare(model, programs, config=config)
    done = jax.tree.map(np.copy, evidence.network)
    start = 0
    while start < count:
        first = max(0, start - CARRIED)
        rows = np.arange(first, first + size)
        inside = np.minimum(rows, count - 1)
        part = jax.tree.map(lambda leaf, at=inside: leaf[at], evidence)
        part = part._replace(alive=part.alive & (rows < count)[:, None])
        before = jax.tree.map(lambda leaf, at=inside: leaf[at], done)
        carried = rows < start
        window = _Window(
            jax.tree.map(_single, part),
            jax.tree.map(_single, before),
            carried,
            _single(betas),
            Camera(*map(_single, camera)),
            np.float32(interval),
        )
        found = Motion(*jax.block_until_ready(programs.get(name)(model, window)))
        is_last = first + size >= count
        end = count if is_last else start + step
        for whole, some in zip(done, found, strict=True):
            whole[start:end] = np.asarray(some)[start - first : end - first]
        start = end
    return done


def _single(leaf: Any) -> np.ndarray:
    leaf = np.asarray(leaf)
    return leaf if leaf.dtype == bool else leaf.astype(np.float32)


def prepare(
    model: ManoModel, programs: Programs, *, config: SmoothingConfig = DEFAULT
) -> str:
    """Start to compile the window's program; returns its name."""
    name = "smoothing" if np.isfinite(config.wrist) else "no smoothing"
    if not programs.has(name):
        shapes = shapes_of((model, _blank(config.window)))
        make = functools.partial(functools.partial, solve, config=config)
        programs.prepare(name, make, *shapes, key=str(config))
    return name


def _blank(frames: int) -> _Window:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    motion = Motion(*(zeros(frames, 2, *each) for each in ((3,), (15, 3), (3,))))
    joints, alive = zeros(frames, 2, 21, 3), np.zeros((frames, 2), bool)
    camera = Camera(zeros(2), zeros(2))
    evidence = Evidence(motion, joints, joints, alive)
    carried = np.zeros(frames, bool)
    return _Window(evidence, motion, carried, zeros(10), camera, zeros())


def solve(model: ManoModel, window: Any, *, config: SmoothingConfig) -> Motion:
    """One window; hands that are not there come back as they were."""
    problems = jax.lax.map(
        functools.partial(_shortened, model, window), window.evidence
    )
    shared = _problem(model, window, jax.tree.map(lambda x: x[0], window.evidence))
    start = _State(
        problems.start.orient,
        jnp.zeros_like(problems.pose),
        jax.vmap(cameras.backproject, in_axes=(0, 0, None))(
            problems.start.wrist_px, problems.start.depth, window.camera
        ),
    )
    carried = window.carried[:, None]
    own = _as_state(model, shared, problems, window.before)
    start = _where(carried, own, start)
    scale = window.interval**2 * jnp.concatenate(
        [
            jnp.full(POSE, config.palm),
            jnp.full(WRIST - POSE, config.joints),
            jnp.full(UNKNOWNS - WRIST, config.wrist / CENTIMETRE),
        ]
    )
    alive = window.evidence.alive.astype(jnp.float32)
    weight = jnp.zeros_like(alive).at[1:-1].set(alive[:-2] * alive[1:-1] * alive[2:])
    terms = _Terms(shared, problems, weight, 1.0 / scale, window.carried)
    state = _descend(terms, start, config)
    state = _where(alive[:, :, None] > 0, state, start)
    change = jnp.einsum("hjak,whja->whjk", shared.axes, state.pose, precision=HIGHEST)
    leaves: Any = (
        rotations.matrix_to_axis_angle(state.orient),
        problems.pose + change - model.pose_mean,
        state.wrist,
    )
    return Motion(*leaves)


def _problem(model: ManoModel, window: _Window, one: Any) -> fit.Problem:
    """The fit's problem of one frame's evidence."""
    network = one.network
    seen = jnp.sum(one.keypoints[..., 2] > 0, axis=-1) > 0
    prediction: Prediction = EMPTY._replace(
        mano=ManoParams(
            network.orient,
            network.pose,
            jnp.broadcast_to(window.betas, (2, 10)),
            network.wrist,
        ),
        camera=window.camera,
        score=(seen & one.alive).astype(jnp.float32),
    )
    joints = jnp.zeros((2, 21, 3)).at[:, 0].set(network.wrist)
    geometry = prediction.geometry._replace(joints=joints)
    prediction = prediction._replace(geometry=geometry)
    return fit.pose_problem(model, prediction, one.keypoints, one.world)


def _shortened(model: ManoModel, window: _Window, one: Any) -> fit.Problem:
    """The same without what all frames share."""
    whole: Any = _problem(model, window, one)
    return whole._replace(hand=None, axes=None, limits=None, camera=None, betas=None)


def _as_state(
    model: ManoModel, shared: fit.Problem, problems: fit.Problem, motion: Any
) -> _State:
    change = motion.pose + model.pose_mean - problems.pose
    return _State(
        rotations.axis_angle_to_matrix(motion.orient),
        jnp.einsum("hjak,whjk->whja", shared.axes, change, precision=HIGHEST),
        motion.wrist,
    )


def _where(condition: Bool[Array, "w ..."], one: _State, other: _State) -> _State:
    def choose(x: Array, y: Array) -> Array:
        shape = (*condition.shape, *[1] * (x.ndim - condition.ndim))
        return jnp.where(condition.reshape(shape), x, y)

    return jax.tree.map(choose, one, other)


class _Terms(NamedTuple):
    """All that the cost depends on besides the unknowns.

    ``weight`` is 1 for each frame and hand whose acceleration counts, ``inverse`` one
    over the deviations of the accelerations of a hand's unknowns.
    """

    shared: fit.Problem
    problems: fit.Problem
    weight: Float[Array, "w 2"]
    inverse: Float[Array, "51"]
    carried: Bool[Array, "w"]


def _moved(state: _State, delta: Float[Array, "*w 2 51"]) -> _State:
    turn = rotations.axis_angle_to_matrix(delta[..., :POSE])
    pose = delta[..., POSE:WRIST].reshape(*delta.shape[:-1], 15, 3)
    return _State(
        jnp.matmul(turn, state.orient, precision=HIGHEST),
        state.pose + pose,
        state.wrist + CENTIMETRE * delta[..., WRIST:],
    )


def _frame_residuals(
    delta: Float[Array, "2 51"],
    state: _State,
    problem: fit.Problem,
    config: fit.FitConfig,
) -> tuple[Float[Array, "2 r"], Float[Array, ""]]:
    """The fit's terms of each hand, and that of both hands' depths."""
    moved, start = _moved(state, delta), problem.start
    turn = jnp.einsum("hij,hkj->hik", moved.orient, start.orient, precision=HIGHEST)
    depth = jnp.maximum(moved.wrist[:, 2], fit.MIN_DEPTH / 4)
    pixel = cameras.project(moved.wrist, problem.camera)
    change = fit.Change(
        orient=rotations.matrix_to_axis_angle(turn),
        pose=moved.pose,
        betas=jnp.zeros((2, 10)),
        shift=(pixel - start.wrist_px) / problem.side[:, None],
        depth=jnp.log(depth / start.depth),
    )
    terms = fit.residuals(change, problem, config)
    names = ("keypoints", "world", "orient", "pose", "anatomy", "shift", "depth")
    each_hand = [terms[name].reshape(2, -1) for name in names]
    return jnp.concatenate(each_hand, axis=-1), terms["depth_gap"]


def _whole(terms: _Terms, problem: fit.Problem) -> fit.Problem:
    """A frame's problem with what all frames share."""
    kept = {n: v for n, v in problem._asdict().items() if v is not None}
    return terms.shared._replace(**kept)


def _accelerations(terms: _Terms, state: _State) -> Float[Array, "w 2 51"]:
    """In deviations, of the middle one of three frames each; 0 at both ends."""
    absolute = jnp.einsum(
        "hjak,whjk->whja", terms.shared.axes, terms.problems.pose, precision=HIGHEST
    )
    pose = (absolute + state.pose).reshape(*state.pose.shape[:2], -1)
    linear = jnp.concatenate([pose, state.wrist / CENTIMETRE], axis=-1)
    turn = jnp.einsum(
        "whij,whkj->whik", state.orient[1:], state.orient[:-1], precision=HIGHEST
    )
    velocity = rotations.matrix_to_axis_angle(turn)
    inner = jnp.concatenate(
        [velocity[1:] - velocity[:-1], linear[2:] - 2 * linear[1:-1] + linear[:-2]],
        axis=-1,
    )
    return jnp.pad(inner, ((1, 1), (0, 0), (0, 0))) * (
        terms.weight[..., None] * terms.inverse
    )


def _cost(terms: _Terms, state: _State, config: fit.FitConfig) -> Float[Array, ""]:
    def one(args: tuple[_State, fit.Problem]) -> Float[Array, ""]:
        at, problem = args
        hands, gap = _frame_residuals(
            jnp.zeros((2, UNKNOWNS)), at, _whole(terms, problem), config
        )
        return jnp.sum(hands**2) + gap**2

    each = jax.lax.map(one, (state, terms.problems))
    counted = jnp.where(terms.carried, 0.0, each)
    return jnp.sum(counted) + jnp.sum(_accelerations(terms, state) ** 2)


def _normal(terms: _Terms, state: _State, config: fit.FitConfig) -> Normal:
    count = len(state.wrist)
    H, g = jax.lax.map(
        functools.partial(_frame_normal, terms, config), (state, terms.problems)
    )
    # Accelerations are second differences D of the unknowns: H += D'WD, g += D'a.
    a, w = _accelerations(terms, state), terms.weight**2
    squared = (terms.inverse**2)[None, None]
    slope = terms.inverse * terms.weight[..., None] * a
    past, next_ = (jnp.roll(slope, by, axis=0) for by in (1, -1))
    g = g + (past + next_ - 2 * slope).reshape(count, -1)
    here = jnp.roll(w, 1, axis=0) + 4 * w + jnp.roll(w, -1, axis=0)
    one = -2 * (w + jnp.roll(w, -1, axis=0))  # between a frame and the next
    two = jnp.roll(w, -1, axis=0)  # and the one after that

    def line(values: Float[Array, "w 2"]) -> Float[Array, "w n n"]:
        flat = (values[..., None] * squared).reshape(count, -1)
        return flat[:, :, None] * jnp.eye(flat.shape[1])

    H = H + line(here)
    stays = terms.carried.astype(H.dtype)
    H = H + STAYS * stays[:, None, None] * jnp.eye(H.shape[1])
    g = jnp.where(terms.carried[:, None], 0.0, g)
    first, second = H[0::2], H[1::2]
    one, two = line(one), line(two)
    zero = jnp.zeros_like(first)
    diagonal = joined(first, one[0::2], jnp.swapaxes(one[0::2], 1, 2), second)
    beside = joined(two[0::2], zero, one[1::2], two[1::2])
    return Normal(diagonal, beside, -g.reshape(count // 2, -1))


def _frame_normal(
    terms: _Terms, config: fit.FitConfig, args: tuple[_State, fit.Problem]
) -> tuple[Float[Array, "n n"], Float[Array, "n"]]:
    """J'J and J'r of a frame; both hands' unknowns are moved at once."""
    state, problem = args[0], _whole(terms, args[1])

    def hands(delta: Float[Array, "51"]) -> tuple[Array, Array]:
        both = jnp.broadcast_to(delta, (2, UNKNOWNS))
        found = _frame_residuals(both, state, problem, config)[0]
        return found, found

    J, r = jax.jacfwd(hands, has_aux=True)(jnp.zeros(UNKNOWNS))
    H = [jnp.matmul(side.T, side, precision=HIGHEST) for side in J]
    H = jax.scipy.linalg.block_diag(*H)
    g = jnp.concatenate([j.T @ e for j, e in zip(J, r, strict=True)])

    def gap(depth: Float[Array, "2"]) -> Float[Array, ""]:
        delta = jnp.zeros((2, UNKNOWNS)).at[:, -1].set(depth)
        return _frame_residuals(delta, state, problem, config)[1]

    apart, slope = jax.value_and_grad(gap)(jnp.zeros(2))
    at = jnp.array([UNKNOWNS - 1, 2 * UNKNOWNS - 1])
    H = H.at[at[:, None], at].add(slope[:, None] * slope)
    return H, g.at[at].add(slope * apart)


class _Progress(NamedTuple):
    state: _State
    cost: Float[Array, ""]
    damping: Float[Array, ""]
    steps: Array
    gain: Float[Array, ""]


LEAST_GAIN = 3e-3  # of the cost, below which an accepted step is the last


def _descend(terms: _Terms, start: _State, config: SmoothingConfig) -> _State:
    def goes_on(at: _Progress) -> Array:
        return (at.steps < config.max_steps) & (at.gain > LEAST_GAIN)

    def step(at: _Progress) -> _Progress:
        normal = _normal(terms, at.state, config.frame)
        delta = solve_blocks(normal, at.damping).reshape(-1, 2, UNKNOWNS)
        moved = _moved(at.state, delta)
        cost = _cost(terms, moved, config.frame)
        better = cost < at.cost  # also false for what is not a number
        state = _where(better[None], moved, at.state)
        gain = jnp.where(better, (at.cost - cost) / at.cost, 1.0)
        damping = jnp.where(better, at.damping / 5, at.damping * 8)
        damping = jnp.clip(damping, 1e-6, 1e3)
        return _Progress(
            state, jnp.where(better, cost, at.cost), damping, at.steps + 1, gain
        )

    begin = _Progress(
        start,
        _cost(terms, start, config.frame),
        jnp.asarray(1e-2),
        jnp.asarray(0),
        jnp.asarray(1.0),
    )
    return jax.lax.while_loop(goes_on, step, begin).state

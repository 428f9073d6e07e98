"""Agreement with smplx.MANO (PyTorch) on random models in MANO's file format."""

import jax
import numpy as np
import pytest

from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.geometry import rotations
from twohand_jax.mano import params as mano_params
from twohand_jax.types import SIDES, ManoParams

torch = pytest.importorskip("torch")
smplx = pytest.importorskip("smplx")

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
TIPS = [744, 320, 443, 554, 671]


@pytest.fixture(autouse=True)
def exact_rodrigues(monkeypatch):
    """Exact rotations for smplx, which adds 1e-8 to the axis-angle before its norm.

    That alone moves vertices by 1e-8 m, more than the float64 tolerance here.
    """

    def exponential(axis_angle):
        x, y, z = axis_angle.unbind(-1)
        zero = torch.zeros_like(x)
        rows = [zero, -z, y, z, zero, -x, -y, x, zero]
        return torch.matrix_exp(torch.stack(rows, -1).reshape(-1, 3, 3))

    monkeypatch.setattr("smplx.lbs.batch_rodrigues", exponential)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    right, left = fake_mano.random_fields(11), fake_mano.random_fields(12)
    plain = fake_mano.write_plain(tmp_path_factory.mktemp("plain"), right, left)
    official = fake_mano.write_official(tmp_path_factory.mktemp("mano"), right, left)
    return official, plain


forward = jax.jit(mano.forward, static_argnames="fingertips")
forward_matrices = jax.jit(mano.forward_matrices)


def random_params(batch: int, dtype: str, scale: float = 0.6) -> ManoParams:
    rng = np.random.default_rng(5)
    return ManoParams(
        global_orient=rng.normal(0, 1, (batch, 2, 3)).astype(dtype),
        hand_pose=rng.normal(0, scale, (batch, 2, 15, 3)).astype(dtype),
        betas=rng.normal(0, 1.5, (batch, 2, 10)).astype(dtype),
        transl=rng.normal(0, 0.5, (batch, 2, 3)).astype(dtype),
    )


def smplx_module(plain, side, dtype, *, flat):
    return smplx.MANO(
        str(plain / f"MANO_{SIDES[side].upper()}.pkl"),
        use_pca=False,
        flat_hand_mean=flat,
        dtype=getattr(torch, dtype),
    )


def run_smplx(plain, side, params, dtype, *, flat=False, weights=None):
    """Vertices and joints, or with weights the gradients of their weighted sum."""
    module = smplx_module(plain, side, dtype, flat=flat)
    leaves = [torch.tensor(np.asarray(x)[:, side], requires_grad=True) for x in params]
    orient, pose, betas, transl = leaves
    out = module(
        global_orient=orient,
        hand_pose=pose.reshape(len(pose), 45),
        betas=betas,
        transl=transl,
    )
    every = torch.cat([out.joints, out.vertices[:, TIPS]], dim=1)
    joints = every[:, mano.joints.CANONICAL_FROM_MODEL]
    if weights is None:
        return out.vertices.detach().numpy(), joints.detach().numpy()
    w_vertices, w_joints = (torch.tensor(w[:, side]) for w in weights)
    ((out.vertices * w_vertices).sum() + (joints * w_joints).sum()).backward()
    return [leaf.grad.numpy() for leaf in leaves]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("flat", [False, True])
def test_vertices_and_joints(files, dtype, flat):
    official, plain = files
    with jax.enable_x64(dtype == "float64"):
        model = mano.load(official, dtype=dtype)
        params = random_params(5, dtype)
        pose = mano_params.from_flat(model, params.hand_pose)
        ours = forward(
            model,
            params._replace(hand_pose=pose if flat else params.hand_pose),
            fingertips="smplx",
        )
        assert ours.vertices.dtype == dtype
        for side in (0, 1):
            theirs = run_smplx(plain, side, params, dtype, flat=flat)
            for our, their in zip(ours, theirs, strict=True):
                error = np.abs(np.asarray(our)[:, side] - their).max()
                assert error < TOLERANCE[dtype]


@pytest.mark.parametrize(("dtype", "batch"), [("float32", 3), ("float64", 80)])
@pytest.mark.slow
def test_gradients(files, dtype, batch):
    """Batch 80 takes the chunked path."""
    official, plain = files
    params = random_params(batch, dtype)
    rng = np.random.default_rng(1)
    weights = [
        rng.normal(size=(batch, 2, n, 3)).astype(dtype) / batch for n in (778, 21)
    ]
    with jax.enable_x64(dtype == "float64"):
        model = mano.load(official, dtype=dtype)

        def total(params):
            out = forward(model, params, fingertips="smplx")
            return sum((x * w).sum() for x, w in zip(out, weights, strict=True))

        ours = jax.jit(jax.grad(total))(params)
        for side in (0, 1):
            theirs = run_smplx(plain, side, params, dtype, weights=weights)
            for our, their in zip(ours, theirs, strict=True):
                scale = np.abs(their).max()
                error = np.abs(np.asarray(our)[:, side] - their).max() / scale
                assert error < (2e-5 if dtype == "float32" else 1e-10)


def test_pca(files):
    """The first coefficients alone, as smplx's use_pca with num_pca_comps."""
    official, plain = files
    coefficients = np.random.default_rng(3).normal(size=(4, 2, 12)).astype("float32")
    params = random_params(4, "float32")
    model = mano.load(official)
    pose = mano_params.from_pca(model, coefficients)
    ours = forward(model, params._replace(hand_pose=pose))
    for side in (0, 1):
        module = smplx.MANO(
            str(plain / f"MANO_{SIDES[side].upper()}.pkl"),
            use_pca=True,
            num_pca_comps=12,
            flat_hand_mean=False,
        )
        theirs = module(
            global_orient=torch.tensor(params.global_orient[:, side]),
            hand_pose=torch.tensor(coefficients[:, side]),
            betas=torch.tensor(params.betas[:, side]),
            transl=torch.tensor(params.transl[:, side]),
        )
        error = np.asarray(ours.vertices)[:, side] - theirs.vertices.detach().numpy()
        assert np.abs(error).max() < 1e-5


def test_rotation_matrices_against_the_layer(files):
    """smplx.MANOLayer takes matrices, mean pose included."""
    official, plain = files
    params = random_params(3, "float32")
    model = mano.load(official)
    R = [
        np.array(rotations.axis_angle_to_matrix(x))
        for x in (params.global_orient, params.hand_pose)
    ]
    ours = forward_matrices(model, *R, params.betas, params.transl)
    for side in (0, 1):
        layer = smplx.MANOLayer(
            str(plain / f"MANO_{SIDES[side].upper()}.pkl"), use_pca=False
        )
        theirs = layer(
            global_orient=torch.tensor(R[0][:, side, None]),
            hand_pose=torch.tensor(R[1][:, side]),
            betas=torch.tensor(params.betas[:, side]),
            transl=torch.tensor(params.transl[:, side]),
        )
        error = np.asarray(ours.vertices)[:, side] - theirs.vertices.detach().numpy()
        assert np.abs(error).max() < 1e-5

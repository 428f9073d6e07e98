"""Random hand models, written in the layout of the official MANO files.

The pickles come out as Python 2 wrote them: byte strings, ``numpy.core`` names, a
``chumpy.reordering.Select`` over a ``chumpy.ch.Ch``, and scipy's sparse matrix under
its old module name. Neither chumpy nor Python 2 is needed to write them.
"""

import contextlib
import io
import pickle
import struct
import sys
import types
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse

from twohand_jax import mano
from twohand_jax.mano import loading
from twohand_jax.mano.joints import PARENTS
from twohand_jax.types import ManoModel

Fields = dict[str, np.ndarray]


def random_fields(seed: int) -> Fields:
    """Arrays of one hand with the sizes and magnitudes of MANO's, otherwise random.

    The numbers fit into float32, to which smplx rounds even a float64 model.
    """
    rng = np.random.default_rng(seed)
    regressor = rng.random((16, 778)) * (rng.random((16, 778)) < 0.02)
    regressor[:, :16] += np.eye(16)
    weights = rng.random((778, 16)) ** 8
    parents = np.array([2**32 - 1, *PARENTS[1:]], np.uint32)
    fields = {
        "v_template": rng.normal(0, 0.05, (778, 3)),
        "f": rng.integers(0, 778, (1538, 3)).astype(np.uint32),
        "shapedirs": rng.normal(0, 0.003, (778, 3, 10)),
        "posedirs": rng.normal(0, 0.001, (778, 3, 135)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(16, dtype=np.uint32)]),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
        "hands_mean": rng.normal(0, 0.3, 45),
    }
    return {
        key: value if value.dtype == np.uint32 else value.astype("f4").astype("f8")
        for key, value in fields.items()
    }


def corrected_fields(side: int) -> Fields:
    """The open hand's surface and rig, with random pose correctives, which it lacks."""
    hand = mano.load()
    fields = random_fields(side)
    return fields | {
        "v_template": np.asarray(hand.template[side], float),
        "f": np.asarray(hand.faces[side], np.uint32),
        "shapedirs": np.asarray(hand.shapedirs[side], float),
        "J_regressor": np.asarray(hand.joint_regressor[side], float),
        "weights": np.asarray(hand.weights[side], float),
    }


def random_model(seed: int = 0, *, mirrored: bool = False, dtype: type = np.float32):
    """A two-hand model; the left hand is its own or the right one's mirror image."""
    right = random_fields(seed)
    left = loading.mirrored(right) if mirrored else random_fields(seed + 1000)
    return model_of(right, left, dtype)


def model_of(right: Fields, left: Fields, dtype: type = np.float32) -> ManoModel:
    return loading._assemble(right, left, "random", dtype)


def write_plain(folder: Path, right: Fields, left: Fields) -> Path:
    """Both hands as pickles of plain arrays, which smplx reads without chumpy."""
    for name, fields in (("MANO_RIGHT.pkl", right), ("MANO_LEFT.pkl", left)):
        extra = {"hands_coeffs": np.zeros((4, 45)), "bs_style": "lbs"}
        (folder / name).write_bytes(pickle.dumps(fields | extra))
    return folder


def write_official(
    folder: Path, right: Fields, left: Fields, *, protocol: int = 2
) -> Path:
    """Both hands as the official distribution stores them."""
    (folder / "MANO_RIGHT.pkl").write_bytes(official_bytes(right, protocol))
    (folder / "MANO_LEFT.pkl").write_bytes(official_bytes(left, protocol))
    return folder


def official_bytes(fields: Fields, protocol: int = 2) -> bytes:
    """The pickle of one hand as Python 2 and chumpy wrote it."""
    with _old_modules() as (ch, select, csc):
        longer = np.concatenate([fields["shapedirs"], fields["shapedirs"] + 1], axis=2)
        content = dict(fields) | {
            "shapedirs": select(
                a=ch(x=longer, _dirty_vars=set(), _itr=None),
                idxs=np.arange(longer.size).reshape(longer.shape)[..., :10].ravel(),
                preferred_shape=(778, 3, 10),
                _dirty_vars={"a"},
            ),
            "J_regressor": csc(**_csc_state(fields["J_regressor"])),
            "weights": np.asfortranarray(fields["weights"]),
            "J": np.zeros((16, 3)),
            "bs_style": "lbs",
            "bs_type": "lrotmin",
        }
        file = io.BytesIO()
        _Python2Pickler(file, protocol=protocol).dump(content)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def _csc_state(matrix: np.ndarray) -> dict[str, object]:
    sparse = scipy.sparse.csc_matrix(matrix)
    return {
        "_shape": sparse.shape,
        "data": sparse.data,
        "indices": sparse.indices,
        "indptr": sparse.indptr,
        "maxprint": 50,
    }


class _Stateful:
    def __init__(self, **state: object) -> None:
        self.__dict__.update(state)


@contextlib.contextmanager
def _old_modules() -> Iterator[tuple[type, type, type]]:
    """Classes that pickle under the names of chumpy and of an old scipy."""
    places = (
        ("chumpy.ch", "Ch"),
        ("chumpy.reordering", "Select"),
        ("scipy.sparse.csc", "csc_matrix"),
    )
    fakes = {"chumpy": types.ModuleType("chumpy")}
    classes = []
    for module, name in places:
        fakes[module] = types.ModuleType(module)
        classes.append(type(name, (_Stateful,), {"__module__": module}))
        setattr(fakes[module], name, classes[-1])
    with unittest.mock.patch.dict(sys.modules, fakes):
        yield tuple(classes)


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2's byte strings."""

    # Without what dill has put there, which old versions of Beam import.
    dispatch = {
        kind: save
        for kind, save in pickle._Pickler.dispatch.items()
        if save.__module__ == pickle.__name__
    }
    dispatch[dict] = pickle._Pickler.save_dict

    def _save_string(self, value: str | bytes) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        if self.proto == 0:
            self.write(pickle.STRING + repr(raw)[1:].encode("ascii") + b"\n")
        elif len(raw) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) + raw)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = _save_string

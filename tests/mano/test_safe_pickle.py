"""The MANO pickles are read, and nothing that they name is ever run."""

import builtins
import copyreg
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.mano import fake_mano
from twohand_jax.errors import InputError
from twohand_jax.mano import loading, safe_pickle

MARK = "ran"


class Reduce:
    """Pickles as the call of ``function`` with ``arguments``."""

    def __init__(self, function, *arguments, state=None):
        self.value = (function, arguments, state)

    def __reduce__(self):
        return self.value if self.value[2] is not None else self.value[:2]


def save(path: Path, content) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return path


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """``{'f': module.name(*arguments)}`` in protocol-0 opcodes."""
    return (
        b"(dS'f'\nc" + f"{module}\n{name}\n(".encode() + b"".join(arguments) + b"tRs."
    )


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_official_layout_is_read_exactly(tmp_path, protocol):
    fields = fake_mano.random_fields(3)
    path = save(tmp_path / "M.pkl", fake_mano.official_bytes(fields, protocol))
    arrays = safe_pickle.load_arrays(path, loading.SHAPES)
    assert arrays.keys() == fields.keys()
    for name, array in fields.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_plain_arrays_are_read(tmp_path, protocol):
    fields = fake_mano.random_fields(4) | {
        "weights": np.asfortranarray(np.random.rand(778, 16)),
        "hands_mean": np.arange(45, dtype=">f4"),
    }
    path = save(tmp_path / "M.pkl", pickle.dumps(fields, protocol=protocol))
    arrays = safe_pickle.load_arrays(path, fields)
    for name, array in fields.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


@pytest.mark.parametrize("layout", ["csc", "csr"])
def test_sparse_layouts(tmp_path, layout):
    import scipy.sparse

    dense = np.random.default_rng(0).random((16, 778)) * (np.arange(778) % 7 == 0)
    matrix = scipy.sparse.csc_matrix(dense).asformat(layout)
    path = save(tmp_path / "M.pkl", {"J_regressor": matrix})
    arrays = safe_pickle.load_arrays(path, ["J_regressor"])
    np.testing.assert_array_equal(arrays["J_regressor"], dense)


def hostile(mark: Path) -> dict[str, bytes]:
    """Pickles that would create ``mark`` if anything in them ran."""
    command, code = f"touch {mark}", f"open({str(mark)!r}, 'w')"
    text = f"S{code!r}\n".encode()
    dump = pickle.dumps
    nested = np.empty(1, object)
    nested[0] = Reduce(os.system, command)
    return {
        "posix.system": dump({"f": Reduce(os.system, command)}),
        "builtins.eval": dump({"f": Reduce(builtins.eval, code)}),
        "builtins.exec": dump(Reduce(builtins.exec, code)),
        "subprocess.Popen": dump([Reduce(subprocess.Popen, command)]),
        "builtins.getattr": dump({"f": Reduce(getattr, "x", "join")}),
        "numpy.load": call("numpy", "load", b"S'x.npy'\n"),
        "numpy.testing._private.utils.runstring": call(
            "numpy.testing._private.utils", "runstring", text, b"(d"
        ),
        "numpy.f2py.crackfortran.myeval": call(
            "numpy.f2py.crackfortran", "myeval", text
        ),
        "numpy.core.multiarray.fromfile": call(
            "numpy.core.multiarray", "fromfile", b"S'x'\n"
        ),
        "scipy.sparse.load_npz": call("scipy.sparse", "load_npz", b"S'x'\n"),
        "copy_reg.__newobj__": call("copy_reg", "__newobj__"),
        "__main__.Ch": call("__main__", "Ch"),
        "nested in an object array": dump({"f": nested}),
        "as a dict key": dump({(1, Reduce(os.system, command)): 1}),
        "as the state of another": dump(
            {"f": Reduce(copyreg._reconstructor, object, object, None, state=nested)}
        ),
        "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.",
        "dotted name": b"\x80\x04\x8c\x09chumpy.ch\x8c\x0bCh.__init__\x93.",
    }


@pytest.mark.parametrize("case", sorted(hostile(Path(MARK))))
def test_hostile_pickles_are_refused_by_name(tmp_path, case):
    mark = tmp_path / MARK
    path = save(tmp_path / "M.pkl", hostile(mark)[case])
    with pytest.raises(InputError, match="is refused: the pickle names") as error:
        safe_pickle.load_arrays(path, ["f"])
    if "." in case and " " not in case:
        assert case in str(error.value)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not mark.exists()


def test_permitted_globals_never_run():
    """Even a permitted global only leaves a record behind."""
    unpickler = safe_pickle._Unpickler(
        call("_codecs", "encode", b"S'x'\n", b"S'rot13'\n"), Path("M.pkl")
    )
    record = unpickler.load()["f"]
    assert isinstance(record, safe_pickle.Record)
    assert record.args == ("x", "rot13")


def test_a_huge_memo_index_costs_no_memory(tmp_path):
    path = save(tmp_path / "M.pkl", b"\x80\x02}r\xff\xff\xff\xff.")
    assert safe_pickle.load_arrays(path, ["f"]) == {}


def test_record_classes_are_not_shared_between_files():
    """A file that damages its stand-ins damages nobody else's."""
    data = b"(dS'f'\nccopy_reg\n_reconstructor\ns."
    first, second = (safe_pickle._Unpickler(data, Path("M")).load() for _ in "ab")
    assert first["f"] is not second["f"]


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
F8 = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
O8 = b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntb"


def array_pickle(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    state = b"(I1\n(" + shape + b"t" + dtype + b"I00\n" + data + b"tb"
    return b"(dS'f'\n" + ARRAY + state + b"s."


MALFORMED = {
    "empty": b"",
    "text": b"This is not a pickle at all.",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "not a dict": pickle.dumps([1, 2]),
    "truncated": fake_mano.official_bytes(fake_mano.random_fields(0))[:100_000],
    "object dtype": array_pickle(b"I1\n", O8, b"(lI1\na"),
    "object array": pickle.dumps({"f": np.array([None, 1], object)}),
    "shape too large": array_pickle(b"I99999999999\n", F8, b"S'12345678'\n"),
    "shape negative": array_pickle(b"I-1\nI-1\n", F8, b"S'12345678'\n"),
    "shape of text": array_pickle(b"S'a'\n", F8, b"S'12345678'\n"),
    "no state": b"(dS'f'\n" + ARRAY + b"s.",
    "a class": b"(dS'f'\ncnumpy\nndarray\ns.",
    "text field": pickle.dumps({"f": "hello"}),
    "list bomb": pickle.dumps({"f": [[0] * 9] * 9}),
    "huge string": b"\x80\x04\x8d\xff\xff\xff\xff\xff\x0f\x00\x00abc.",
    "huge bytearray": b"\x80\x05\x96\xff\xff\xff\xff\xff\x0f\x00\x00abc.",
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id": b"Pabc\n.",
    "unknown chumpy node": b"(dS'f'\ncchumpy.ch_ops\nadd\n)\x81}bs.",
    "cyclic expression": (b"(dS'f'\ncchumpy.ch\nCh\n)\x81p0\n}S'x'\ng0\nsbs."),
}


@pytest.mark.parametrize("case", sorted(MALFORMED))
def test_malformed_files_give_one_sentence(tmp_path, case):
    path = save(tmp_path / "M.pkl", MALFORMED[case])
    with pytest.raises(InputError) as error:
        safe_pickle.load_arrays(path, ["f"])
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert "is refused" not in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"_shape": (10**6, 10**6)},
        {"indptr": np.array([0, 2**40])},
        {"indptr": np.array([0, -5, 3])},
        {"indices": np.full(20, -1)},
        {"indices": np.full(20, 10**6)},
        {"data": "abc"},
    ],
    ids=lambda d: next(iter(d)),
)
def test_damaged_sparse_matrices_are_refused(tmp_path, damage):
    import scipy.sparse

    matrix = scipy.sparse.csc_matrix(np.ones((4, 5)))
    matrix.__dict__.update(damage)
    path = save(tmp_path / "M.pkl", {"J_regressor": matrix})
    with pytest.raises(InputError, match="'J_regressor' is not a numeric array"):
        safe_pickle.load_arrays(path, ["J_regressor"])


def test_a_file_too_large_is_not_even_read(tmp_path):
    path = tmp_path / "M.pkl"
    with path.open("wb") as file:
        file.truncate(safe_pickle.MAX_BYTES + 1)
    with pytest.raises(InputError, match="64 MiB"):
        safe_pickle.load_arrays(path, ["f"])


def test_a_missing_or_unreadable_file(tmp_path):
    for path in (tmp_path / "none.pkl", tmp_path):
        with pytest.raises(InputError, match="is a folder|is missing"):
            safe_pickle.load_arrays(path, ["f"])


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_lists_and_numbers_are_read_and_none_is_left_out(tmp_path, protocol):
    content = {
        "list": [1, 2.5, np.float32(3.0)],
        "number": np.int64(7),
        "plain": 4,
        "none": None,
    }
    path = save(tmp_path / "M.pkl", pickle.dumps(content, protocol=protocol))
    arrays = safe_pickle.load_arrays(path, content)
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "list": [1.0, 2.5, 3.0],
        "number": 7,
        "plain": 4,
    }


def test_messages_name_the_kind_of_file(tmp_path):
    for content in (b"", pickle.dumps([1]), pickle.dumps({"f": "text"})):
        path = save(tmp_path / "M.pkl", content)
        with pytest.raises(InputError, match="HO-3D annotation"):
            safe_pickle.load_arrays(path, ["f"], what="HO-3D annotation")

"""TorchScript archives that are damaged or hostile: refused, and never run."""

import pickle
import zipfile

import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.weights import torch_files

torch = pytest.importorskip("torch")


@pytest.fixture
def archive(tmp_path):
    """A sound archive of one linear layer."""
    path = tmp_path / "m.pt"
    torch.jit.script(torch.nn.Linear(3, 2)).save(path)
    return path


def rewritten(path, change, *, compression=zipfile.ZIP_STORED):
    """The same archive with some members changed, by the end of their names."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    out = path.with_name("changed.pt")
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, change.get(name.split("/", 1)[1], content))
    return out


def index_of(path):
    with zipfile.ZipFile(path) as file:
        return next(file.read(n) for n in file.namelist() if n.endswith("/data.pkl"))


def test_a_sound_archive_is_read(archive):
    assert set(torch_files.read_torchscript(archive)) == {"weight", "bias"}
    assert torch_files.is_torchscript(archive)
    same = rewritten(archive, {})
    assert set(torch_files.read_torchscript(same)) == {"weight", "bias"}


def test_what_torch_save_writes_and_other_files_are_no_archives(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pth")
    (tmp_path / "text").write_text("no zip file")
    for name in ("a.pth", "text", "absent"):
        assert not torch_files.is_torchscript(tmp_path / name)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_an_index_that_names_anything_else_is_refused(protocol, archive, tmp_path):
    bait = tmp_path / "bait"
    index = pickle.dumps(Hostile(bait), protocol=protocol)
    with pytest.raises(InputError, match="refused: its index names io.open|damaged"):
        torch_files.read_torchscript(rewritten(archive, {"data.pkl": index}))
    assert not bait.exists()


def test_code_is_never_opened(archive):
    with zipfile.ZipFile(archive) as file:
        code = [n.split("/", 1)[1] for n in file.namelist() if "/code/" in n]
    broken = rewritten(archive, dict.fromkeys(code, b"\x00 not a program"))
    assert set(torch_files.read_torchscript(broken)) == {"weight", "bias"}


@pytest.mark.parametrize(
    "change",
    [
        {"data.pkl": b""},
        {"data.pkl": b"\x80\x02}q\x00."[:-1]},
        {"data/0": b"\x00" * 4},
        {"data/0": b""},
    ],
)
def test_damaged_members_are_refused(change, archive):
    with pytest.raises(InputError, match="not readable as a TorchScript archive"):
        torch_files.read_torchscript(rewritten(archive, change))


def test_compressed_members_are_refused(archive):
    squeezed = rewritten(archive, {}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed or too large"):
        torch_files.read_torchscript(squeezed)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_archives_cut_short_are_refused(kept, archive):
    data = archive.read_bytes()
    archive.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match="not readable as a TorchScript archive"):
        torch_files.read_torchscript(archive)
    assert not torch_files.is_torchscript(archive)


def test_flipped_bytes_are_refused_or_read_past(archive, tmp_path):
    rng, raw = np.random.default_rng(0), archive.read_bytes()
    changed, outcomes = tmp_path / "changed.pt", set()
    for _ in range(150):
        data = np.frombuffer(raw, np.uint8).copy()
        data[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
        changed.write_bytes(data.tobytes())
        torch_files.is_torchscript(changed)
        try:
            torch_files.read_torchscript(changed)
            outcomes.add("read")
        except InputError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_sizes_that_the_storage_does_not_hold_are_refused(archive):
    index = index_of(archive)
    assert index.count(b"K\x03") > 0  # the weight's three columns, and its stride
    large = index.replace(b"K\x03", b"K\x7f")
    with pytest.raises(InputError, match="outside its storage"):
        torch_files.read_torchscript(rewritten(archive, {"data.pkl": large}))


def test_archives_without_names_or_with_nan_are_refused(tmp_path):
    frozen = torch.jit.freeze(torch.jit.script(torch.nn.Linear(3, 2).eval()))
    frozen.save(tmp_path / "frozen.pt")
    with pytest.raises(InputError, match="frozen TorchScript archive"):
        torch_files.read_torchscript(tmp_path / "frozen.pt")
    layer = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(layer.bias, float("nan"))
    torch.jit.script(layer).save(tmp_path / "nan.pt")
    with pytest.raises(InputError, match="'bias' holds NaN"):
        torch_files.read_torchscript(tmp_path / "nan.pt")


def test_an_export_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as file:
        file.writestr("serialized_exported_program.json", "{}")
    assert torch_files.is_torchscript(tmp_path / "m.pt2")
    with pytest.raises(InputError, match="give the _torchscript.pt2 file"):
        torch_files.read_torchscript(tmp_path / "m.pt2")

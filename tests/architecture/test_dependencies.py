"""What ``make demo`` installs is enough for what it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import core
from tests.data.records import Squares
from twohand_jax import assets
from twohand_jax.pipelines import writer

ROOT = Path(__file__).parents[2]

CORE_ONLY = "import sys; from tests.architecture import core; core.hide_others()\n"


def run_core(
    code: str, *arguments: str, folder: Path = ROOT
) -> subprocess.CompletedProcess:
    words = [sys.executable, "-c", CORE_ONLY + code, *arguments]
    places = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    surroundings = os.environ | {"PYTHONPATH": places}
    return subprocess.run(
        words, capture_output=True, text=True, cwd=folder, env=surroundings
    )


@pytest.mark.slow
def test_other_packages_look_absent():
    done = run_core("import jax, cv2, trimesh, google_crc32c, torch")
    assert "No module named 'torch'" in done.stderr


def test_the_core_stays_small():
    found = core.sizes()
    largest = sorted(found, key=found.__getitem__, reverse=True)[:10]
    assert sum(found.values()) < core.LIMIT_MB
    page = (ROOT / "docs" / "dependencies.md").read_text()
    listed = page.split("## How large the core is")[1].split("\n## ")[0]
    assert all(f"| {name} |" in listed for name in largest[:5])


@pytest.mark.slow
def test_the_demo_needs_no_extra(tmp_path):
    words = ["reconstruct", str(assets.DEMO), "--out", str(tmp_path)]
    done = run_core(f"from twohand_jax.cli import main; sys.exit(main.main({words}))")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo_overlay.png").exists()


COMMANDS = {  # of which each needs an extra, or several
    "reconstruct photo.heic --out out": "heic",
    "reconstruct photo.jpg --out out --detector net.onnx": "onnx",
    "cues photo.jpg --out out --detector net.onnx": "onnx",
    "view results": "view",
    "train --config tiny --workdir run": "data",
    "evaluate --dataset records": "data,evaluation",
    "evaluate --dataset records --no-plots": "data",
    "evaluate --peer mediapipe --dataset records --no-plots": "data",
    "data build synthetic --out out": "data,render",
    "data build benchmark --out out": "data,render",
    "data build freihand --source records --out out": "data",
    "data cues records --out out": "data",
    "data cues records --out out --beam runner=DirectRunner": "data,beam",
    "data inspect records": "data",
    "weights convert torchvision net.pth --arch resnet18 --out out": "weights",
    "weights convert torchvision net.safetensors --arch resnet18 --out out": "weights",
    "prior evaluate --data records": "data",
}
RUN = """
import contextlib, io, json, shlex
from twohand_jax.cli import main
told = {}
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main.main(shlex.split(line))
    told[line] = code, said.getvalue()
print(json.dumps(told))
"""


@pytest.mark.slow
def test_every_command_names_the_extra_that_it_lacks(tmp_path):
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    for name in ("net.onnx", "net.pth", "net.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "photo.jpg").write_bytes(assets.DEMO.read_bytes())
    (tmp_path / "results").mkdir()
    squares = Squares(sizes=(("test", (2,)),))
    writer.write(squares, tmp_path / "records", workers=0, progress=False)
    done = run_core(RUN, json.dumps([*COMMANDS]), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for line, (code, said) in json.loads(done.stdout.splitlines()[-1]).items():
        told = (
            f"install it with `python -m pip install 'twohand_jax[{COMMANDS[line]}]'`"
        )
        assert (code, told in said) == (2, True), f"{line}: {said}"
    assert not (tmp_path / "out").exists() and not (tmp_path / "run").exists()

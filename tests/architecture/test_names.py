"""Names that nothing defines, which shapes in annotations hide from the linter."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_name_is_defined():
    words = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821"]
    words += ["--output-format", "json", "twohand_jax", "data_pipelines", "tests"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    missing = []
    for found in json.loads(done.stdout):
        lines = Path(found["filename"]).read_text().splitlines()
        line, place = lines[found["location"]["row"] - 1], found["location"]["column"]
        is_shape = line[: place - 1].count('"') % 2 == 1
        if not is_shape:
            missing.append(f"{found['filename']}: {found['message']}")
    assert not missing

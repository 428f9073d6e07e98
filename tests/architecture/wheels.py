"""Which wheels of the core requirements there are, for each platform and Python.

    python -m tests.architecture.wheels

asks the package index with ``uv``, which reads markers as the target platform does. It
resolves all requirements together, with all that they require, from wheels alone, and
writes the versions of the direct ones to wheels.json. A test compares that file with
setup.cfg, so that no requirement enters without having been looked for.
"""

import configparser
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).with_name("wheels.json")
PLATFORMS = {  # names of uv's
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux aarch64": "aarch64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
    "Windows x64": "x86_64-pc-windows-msvc",
}
PYTHONS = ("3.11", "3.12", "3.13")


def requirements() -> list[str]:
    """The lines of ``install_requires``."""
    parser = configparser.ConfigParser(comment_prefixes=("#",))
    parser.read(ROOT / "setup.cfg")
    return [line for line in parser["options"]["install_requires"].split("\n") if line]


def resolve(platform: str, python: str) -> dict[str, str]:
    """Versions of all packages that an installation there would bring.

    Raises:
        subprocess.CalledProcessError: something has no wheel; uv's words are shown.
    """
    words = [sys.executable, "-m", "uv", "pip", "compile", "-q", "-", "--no-header"]
    words += ["--no-annotate", "--only-binary", ":all:"]
    words += ["--python-platform", PLATFORMS[platform], "--python-version", python]
    lines = "\n".join(requirements())
    done = subprocess.run(words, input=lines, check=True, text=True, stdout=-1)
    pairs = (line.split("==") for line in done.stdout.splitlines() if "==" in line)
    return {name: version.split(" ")[0] for name, version in pairs}


def name(requirement: str) -> str:
    """The name that a requirement begins with, as the index spells it."""
    head = requirement.split(">")[0].split("<")[0].split(";")[0].split("[")[0]
    return head.strip().lower().replace("_", "-")


def look() -> dict[str, dict[str, dict[str, str]]]:
    """Of each requirement, the version found by platform and Python."""
    found: dict[str, dict[str, dict[str, str]]] = {
        line: {platform: {} for platform in PLATFORMS} for line in requirements()
    }
    for platform in PLATFORMS:
        for python in PYTHONS:
            versions = resolve(platform, python)
            for line, places in found.items():
                places[platform][python] = versions[name(line)]
    return found


if __name__ == "__main__":
    FOUND.write_text(json.dumps(look(), indent=1) + "\n")

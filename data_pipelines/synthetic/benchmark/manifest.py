"""What the benchmark is: its generator, its files' hashes and its counts."""

import dataclasses
import hashlib
import json
from pathlib import Path

from twohand_jax.errors import InputError

NAME = "synthetic_benchmark"
SPLIT = "test"
ASSETS = Path(__file__).parents[1] / "assets"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator:
    """Everything that decides the pictures.

    Attributes:
        version: ``synthetic.config.VERSION``.
        hand: CRC-32C of the hand model's files.
        config: of the pictures and cues (``SyntheticConfig``), as JSON.
        scenes: SHA-256 of the file of scenes.
    """

    version: str
    hand: int
    config: dict[str, object]
    scenes: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The benchmark as it was frozen.

    Attributes:
        version: of the benchmark.
        generator: what made it.
        shards: SHA-256 of each file of records, in order.
        whole: SHA-256 of these files one after the other.
        prints: SHA-256 of the file of fingerprints.
        counts: records of each kind and level of occlusion.
        programs: what it was made with; others may round differently.
    """

    version: str
    generator: Generator
    shards: dict[str, str]
    whole: str
    prints: str
    counts: dict[str, dict[str, int]]
    programs: dict[str, str]

    @property
    def num_records(self) -> int:
        """Records of the set."""
        return sum(sum(levels.values()) for levels in self.counts.values())


class Files:
    """Where the benchmark's own files lie."""

    def __init__(self, assets: Path = ASSETS) -> None:
        """``assets`` is another folder in tests only."""
        self.manifest = assets / "benchmark.json"
        self.scenes = assets / "benchmark_scenes.npz"
        self.prints = assets / "benchmark_prints.npz"


def load(assets: Path = ASSETS) -> Manifest:
    """Read the manifest and see that the files beside it are those it speaks of.

    Raises:
        InputError: a file is not there, damaged or another one.
    """
    files = Files(assets)
    try:
        content = json.loads(files.manifest.read_text())
        found = Manifest(**content | {"generator": Generator(**content["generator"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{files.manifest}, the synthetic benchmark's manifest, cannot be read "
            f"({error}): install twohand_jax again."
        ) from error
    for path, wanted in (
        (files.scenes, found.generator.scenes),
        (files.prints, found.prints),
    ):
        if not path.exists() or sha256(path) != wanted:
            raise InputError(
                f"{path} is missing or not the file that the synthetic benchmark "
                f"{found.version} was frozen with: install twohand_jax again."
            )
    return found


def save(manifest: Manifest, assets: Path) -> None:
    """Write the manifest."""
    text = json.dumps(dataclasses.asdict(manifest), indent=1)
    Files(assets).manifest.write_text(text + "\n")


def sha256(*paths: Path) -> str:
    """Of the files' bytes one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()

"""Which detector and cue extractors a user asked for, as data; and those, loaded.

auto        keypoints by MediaPipe, segmentation and depth by the shipped network
mediapipe   keypoints by MediaPipe
sapiens     whatever converted Sapiens models are given
"""

import dataclasses
from pathlib import Path

from twohand_jax import assets
from twohand_jax.cues.extraction import Extractor, combine
from twohand_jax.errors import InputError
from twohand_jax.weights import native

SOURCES = ("auto", "mediapipe", "sapiens")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CueConfig:
    """Where hands and cues come from.

    Attributes:
        source: one of ``SOURCES``.
        sapiens_keypoints: model directory of ``twohand weights convert sapiens``.
        sapiens_segmentation: the same.
        sapiens_depth: the same.
        sapiens_batch: pictures on each device at a time.
        detector: ONNX file that finds the hands; None for MediaPipe's networks.
        unseen: cues of "auto" that a reconstruction does not show to its network. The
            shipped map network's depth costs the shipped regressor accuracy (see the
            card in assets/open_maps); one trained with it may want it: give ().
    """

    source: str = "auto"
    sapiens_keypoints: Path | None = None
    sapiens_segmentation: Path | None = None
    sapiens_depth: Path | None = None
    sapiens_batch: int = 1
    detector: Path | None = None
    unseen: tuple[str, ...] = ("depth",)

    @property
    def sapiens(self) -> dict[str, Path]:
        """The Sapiens models that are given, by kind of cue."""
        given = {
            "keypoints": self.sapiens_keypoints,
            "segmentation": self.sapiens_segmentation,
            "depth": self.sapiens_depth,
        }
        return {kind: path for kind, path in given.items() if path is not None}


def check(config: CueConfig) -> None:
    """Refuse what cannot work, before anything is loaded.

    Raises:
        InputError: an unknown source, Sapiens without models or models without
            Sapiens, a model directory that is none, or a detector that is not there.
    """
    if config.source not in SOURCES:
        raise InputError(f"cues must be one of {SOURCES}, not {config.source!r}.")
    if config.source == "sapiens" and not config.sapiens:
        raise InputError(
            "The cue source sapiens needs converted models: give some of "
            "--sapiens-keypoints, --sapiens-segmentation and --sapiens-depth, the "
            "directories that `twohand weights convert sapiens` wrote; or use "
            "--cues auto, which needs none."
        )
    if config.source != "sapiens" and config.sapiens:
        options = ", ".join(f"--sapiens-{kind}" for kind in config.sapiens)
        raise InputError(
            f"{options} needs --cues sapiens, but the cue source is {config.source}."
        )
    for path in config.sapiens.values():
        native.load_config(path)
    if config.detector is not None and not Path(config.detector).is_file():
        raise InputError(
            f"There is no detector file {config.detector}; give an ONNX file."
        )


def load(config: CueConfig) -> Extractor | None:
    """What a config adds to a detector that gives keypoints; None for nothing.

    Raises:
        InputError: see ``check``; or a model does not load.
    """
    check(config)
    if config.source == "sapiens":
        from twohand_jax.cues.sapiens import SapiensCues, SapiensCuesConfig

        return SapiensCues.load(
            keypoints=config.sapiens_keypoints,
            segmentation=config.sapiens_segmentation,
            depth=config.sapiens_depth,
            config=SapiensCuesConfig(batch=config.sapiens_batch),
        )
    if config.source == "auto" and assets.MAPS.is_dir():
        from twohand_jax.cues.maps import MapCues

        return MapCues.load()
    return None


def load_in_boxes(config: CueConfig) -> Extractor:
    """What makes all cues of a config where no detector runs, as in records.

    Raises:
        InputError: see ``load``.
    """
    extractor = load(config)
    if config.source == "sapiens" and extractor is not None:
        return extractor
    from twohand_jax.cues.mediapipe_cues import MediaPipeCues

    keypoints = MediaPipeCues()
    return combine([keypoints] if extractor is None else [keypoints, extractor])

"""Finding the hands of a picture and extracting their cues, before the network runs."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from twohand_jax import assets
from twohand_jax.crops import cue_table
from twohand_jax.cues import extraction, selection
from twohand_jax.cues.extraction import Extractor, Provenance, combine
from twohand_jax.cues.mediapipe import MediaPipeCues, MediaPipeHands
from twohand_jax.cues.onnx_detector import HandBoxes
from twohand_jax.errors import InputError
from twohand_jax.inference import detections
from twohand_jax.inference.detections import (
    Detections,
    Detector,
    detect_in_boxes,
    detect_people,
    detections_from_boxes,
    load_box_detector,
    people_in_boxes,
)
from twohand_jax.inference.given import given_people
from twohand_jax.types import NO_CUES, Cues
from twohand_jax.weights import native

GIVEN = Provenance("given", "1")
MEDIAPIPE = Provenance(MediaPipeCues.name, MediaPipeCues.version)
MAPS = ("segmentation", "depth")  # of the segdepth network


class Found(NamedTuple):
    """Hands of a picture, before their cues.

    Attributes:
        hands: boxes, keypoints and scores.
        source: what made the keypoints.
        is_boxed: whether the boxes come from elsewhere than the keypoints.
        cues: those that had to be extracted to tell the hands' sides.
    """

    hands: Detections
    source: Provenance
    is_boxed: bool
    cues: Cues | None = None


class Observation(NamedTuple):
    """Hands of a picture and cues of them, numpy, in pixels of the picture.

    Attributes:
        hands: boxes, keypoints and scores.
        cues: its keypoints are those of ``hands``.
        provenance: what made each cue that is there.
    """

    hands: Detections
    cues: Cues
    provenance: dict[str, Provenance]


def hide(seen: Observation, kinds: Iterable[str]) -> Observation:
    """An observation without some kinds of extracted cues."""
    gone = set(kinds) - {"keypoints"}
    left = {kind: by for kind, by in seen.provenance.items() if kind not in gone}
    shown = [name for name in seen.cues.values if name not in gone]
    return seen._replace(cues=seen.cues.only(shown), provenance=left)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CueConfig:
    """Where hands and cues come from.

    Attributes:
        source: one of ``SOURCES``.
        sapiens_models: directories written by ``twohand weights convert sapiens``, by
            the name of the cue that each one makes.
        sapiens_batch: number of pictures on each device at a time.
        sapiens_fsdp: devices that share one copy of Sapiens' weights.
        detector: ONNX file of the hand detector, or directory of a converted InterWild,
            whose own detector then finds the hands of one person; None for MediaPipe's
            networks.
        unseen: cues of "auto" that a reconstruction does not show to its network, and
            does not make if it needs no others. The shipped segdepth network's maps
            make the shipped regressor less accurate on photographs (docs/results.md).
            For a regressor that profits from them, give ().
    """

    source: str = "auto"
    sapiens_models: tuple[tuple[str, Path], ...] = ()
    sapiens_batch: int = 1
    sapiens_fsdp: int = 1
    detector: Path | None = None
    unseen: tuple[str, ...] = ("segmentation", "depth")

    @property
    def sapiens(self) -> dict[str, Path]:
        """The Sapiens models that are given, by kind of cue."""
        return dict(self.sapiens_models)


class Observer:
    """Finds the hands of pictures and extracts their cues.

    Attributes:
        config: where hands and cues come from.
        detector: a function from picture to hand detections; MediaPipe's is made when
            it is first needed.
    """

    def __init__(
        self, config: CueConfig | None = None, *, detector: Detector | None = None
    ) -> None:
        """Load what the user named; what ships is loaded when it is first needed.

        Args:
            config: where hands and cues come from.
            detector: picture -> hand detections, in place of MediaPipe's networks.

        Raises:
            InputError: the config, or a model it names, cannot be used.
        """
        self.config = CueConfig() if config is None else config
        self.detector = detector
        check_choice(self.config)
        path = self.config.detector
        self._boxes = None if path is None else load_box_detector(path)
        self._sees_one_person = path is not None and Path(path).is_dir()
        self._sapiens = load_extractor(self.config) if self.config.sapiens else None

    @functools.cached_property
    def extractor(self) -> Extractor | None:
        """What makes cues of found hands; None where the detector's are all."""
        if self._sapiens is not None:
            return self._sapiens
        if self.config.source == "auto" and set(MAPS) <= set(self.config.unseen):
            return None
        return load_extractor(self.config)

    def sources(self) -> dict[str, Provenance]:
        """What makes each kind of cue, where hands are found and not given."""
        own = {"keypoints": MEDIAPIPE}
        if self.extractor is None:
            return own
        return own | dict(extraction.provenance(self.extractor))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Cues that a reconstruction does not show to its network."""
        return self.config.unseen if self.config.source == "auto" else ()

    def shown(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of a network's cues that it may be shown."""
        made = {*self.sources()} - set(self.unseen) | {"keypoints"}
        return tuple(name for name in names if name in made)

    def find(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Any = None,
        keypoints: Any = None,
    ) -> Found:
        """The hands of one person, the surest, unless they are given.

        Args:
            image: uint8 RGB.
            boxes: see ``Reconstructor.detailed``.
            keypoints: see ``Reconstructor.detailed``.

        Raises:
            InputError: the hands that are given are no one person's.
        """
        absent = Found(detections.no_detections(), MEDIAPIPE, False)
        if boxes is not None or keypoints is not None:
            people = self._given(image, boxes, keypoints)
            if len(people) > 1:
                raise InputError(
                    f"Hands of {len(people)} people are given, but those of one are "
                    "asked for."
                )
            return people[0] if people else absent._replace(is_boxed=True)
        if self._boxes is None:
            people = self._search(image, max_hands=2)
            return people[0] if people else absent
        found = self._boxes(image)
        evidence, cues = self._sides(image, found)
        unsure = selection.sides_unknown(evidence) & (found.sides < 0)
        if unsure.any():
            evidence[unsure] = selection.sides_from_appearance(
                found.boxes[unsure], image, self._mediapipe()
            )
        hands = detections_from_boxes(found, evidence)
        if cues is not None:
            cues = _of_hands(cues, hands.present)
        return Found(self._look_inside(image, hands), MEDIAPIPE, True, cues)

    def find_people(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Any = None,
        keypoints: Any = None,
        *,
        max_hands: int,
    ) -> list[Found]:
        """The hands of a picture by person, the surest first.

        Args:
            image: uint8 RGB.
            boxes: see ``Reconstructor.people``.
            keypoints: see ``Reconstructor.people``.
            max_hands: how many hands that are searched for are kept.
        """
        if boxes is not None or keypoints is not None:
            return self._given(image, boxes, keypoints)
        if self._boxes is None:
            return self._search(image, max_hands=max_hands)
        if self._sees_one_person:
            one = self.find(image)
            return [one] if one.hands.present.any() else []
        found = self._boxes(image)
        found = HandBoxes(*(values[:max_hands] for values in found))
        evidence, cues = self._sides(image, found)
        people = people_in_boxes(self._mediapipe(), image, found, evidence)
        if cues is None or len(people) == 1:
            # One person's cues are those of the whole picture.
            cues = cues and _of_hands(cues, people[0].present)
            return [Found(hands, MEDIAPIPE, True, cues) for hands in people]
        return [
            Found(hands, MEDIAPIPE, True, _of_person(cues, hands)) for hands in people
        ]

    def _given(
        self, image: UInt8[np.ndarray, "h w 3"], boxes: Any, keypoints: Any
    ) -> list[Found]:
        """People whose hands a caller gives."""
        size = (image.shape[0], image.shape[1])
        return [
            Found(hands, GIVEN, True)
            if hands.has_keypoints
            else Found(self._look_inside(image, hands), MEDIAPIPE, True)
            for hands in given_people(boxes, keypoints, size=size)
        ]

    def _look_inside(
        self, image: UInt8[np.ndarray, "h w 3"], hands: Detections
    ) -> Detections:
        """The hands with keypoints, unless Sapiens makes these."""
        if not hands.present.any() or "keypoints" in self.config.sapiens:
            return hands
        return detect_in_boxes(self._mediapipe(), image, hands)

    def follower(self, *, max_hands: int) -> MediaPipeHands | None:
        """What follows hands through a video; None where others than MediaPipe look.

        Args:
            max_hands: how many hands are followed.
        """
        if self._boxes is not None or self._sapiens is not None:
            return None
        detector = self._mediapipe()
        if not isinstance(detector, MediaPipeHands):
            return None
        return detector.limited(max_hands)

    def _search(
        self, image: UInt8[np.ndarray, "h w 3"], *, max_hands: int
    ) -> list[Found]:
        detector = self._mediapipe()
        if isinstance(detector, MediaPipeHands):
            detector = detector.limited(max_hands)
        people = detect_people(detector, image, max_hands=max_hands)
        return [Found(hands, MEDIAPIPE, False) for hands in people]

    def observe(
        self, images: Sequence[UInt8[np.ndarray, "h w 3"]], found: Sequence[Found]
    ) -> list[Observation]:
        """Cues of pictures whose hands were found."""
        made = {at: one.cues for at, one in enumerate(found) if one.cues is not None}
        left = [
            at
            for at, one in enumerate(found)
            if one.cues is None and one.hands.present.any()
        ]
        if left and self.extractor is not None:
            cues = self._extract(
                [images[at] for at in left], [found[at].hands for at in left]
            )
            made |= dict(zip(left, cues, strict=True))
        return [self._joined(one, made.get(at)) for at, one in enumerate(found)]

    def _extract(
        self, images: Sequence[UInt8[np.ndarray, "h w 3"]], hands: Sequence[Detections]
    ) -> list[Cues]:
        """Cues of people; pictures of several stand there several times.

        Sapiens looks at whole pictures: at each once, and its keypoints are those of
        the one person whose hands it saw.
        """
        assert self.extractor is not None
        boxes = np.stack([one.boxes for one in hands])
        valid = np.stack([one.present for one in hands])
        names = [id(image) for image in images]
        firsts = [names.index(name) for name in names]
        alone = [names.count(name) == 1 for name in names]
        if self._sapiens is None or all(alone):
            return extraction.extract(
                self.extractor, images, boxes, valid, batch=len(images)
            )
        looked = sorted(set(firsts))
        valid[np.logical_not(alone)] = True
        found = extraction.extract(
            self._sapiens,
            [images[at] for at in looked],
            boxes[looked],
            valid[looked],
            batch=len(looked),
        )
        by_first = dict(zip(looked, found, strict=True))
        return [
            by_first[first] if is_alone else _of_person(by_first[first], one)
            for first, is_alone, one in zip(firsts, alone, hands, strict=True)
        ]

    def _joined(self, found: Found, made: Cues | None) -> Observation:
        """The detector's keypoints and the extractor's cues as one."""
        hands = found.hands
        cues = NO_CUES.put("keypoints", hands.keypoints, hands.has_keypoints)
        sources = {"keypoints": found.source}
        if made is not None and self.extractor is not None:
            by = dict(extraction.provenance(self.extractor))
            if found.source == GIVEN:
                by.pop("keypoints", None)
            cues = extraction.merge(cues, made, by)
            sources |= by
            hands = _with_keypoints(found, np.asarray(cues.values["keypoints"]))
            if "keypoints" in by:
                hands = hands._replace(trust=_trust(hands, found.hands))
        there = {kind: by for kind, by in sources.items() if cues.has(kind)}
        return Observation(hands, cues, there)

    def _mediapipe(self) -> Detector:
        if self.detector is None:
            self.detector = MediaPipeHands()
        return self.detector

    def _sides(
        self, image: UInt8[np.ndarray, "h w 3"], found: HandBoxes
    ) -> tuple[Float[np.ndarray, "n 2"], Cues | None]:
        """What Sapiens says of each box's side, and cues made on the way.

        It sees the person, so its word comes before that of each hand's own look.
        """
        evidence, cues = np.zeros((len(found.boxes), 2)), None
        if self._sapiens is not None and len(found.boxes):
            # It needs no boxes, so that what it says here are the cues.
            both = np.ones((1, 2), bool)
            (cues,) = self._sapiens([image], np.zeros((1, 2, 4)), both)
            evidence = selection.sides_from_cues(found.boxes, cues)
        return evidence, cues


def _of_hands(cues: Cues, present: Bool[np.ndarray, "2"]) -> Cues:
    """A picture's cues without the keypoints of hands that are not there."""
    if "keypoints" not in cues.values:
        return cues
    points = np.asarray(cues.values["keypoints"] * present[:, None, None])
    return cues.put("keypoints", points, bool((points[..., 2] > 0).any()))


def _of_person(cues: Cues, hands: Detections) -> Cues:
    """A picture's cues for one of its people.

    The keypoints of an extractor that sees one person count for the hands in whose
    boxes they lie; others keep the detector's.
    """
    if "keypoints" not in cues.values:
        return cues
    seen = np.asarray(cues.values["keypoints"])
    is_seen = np.diagonal(selection.sides_from_keypoints(hands.boxes, seen)) > 0
    points = np.where(is_seen[:, None, None], seen, hands.keypoints)
    return _of_hands(cues.put("keypoints", points, True), hands.present)


def _trust(hands: Detections, before: Detections) -> Float32[np.ndarray, "2"]:
    """An extractor's keypoints are believed, the detector's as far as before."""
    is_new = (hands.keypoints != before.keypoints).any(axis=(1, 2))
    return np.where(is_new, detections.BELIEVED, before.trust)


def _with_keypoints(found: Found, keypoints: Float[np.ndarray, "2 21 3"]) -> Detections:
    """The hands with other keypoints, and boxes about them unless those are fixed."""
    hands = found.hands._replace(
        keypoints=keypoints,
        boxes=found.hands.boxes.copy(),
    )
    for side in np.flatnonzero(hands.present):
        if not found.is_boxed and (keypoints[side, :, 2] > 0).any():
            hands.boxes[side] = detections.box_around(keypoints[side])
    return hands


SOURCES = ("auto", "mediapipe", "sapiens")


def check_choice(config: CueConfig) -> None:
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
            f"{', '.join(f'--sapiens-{name}' for name in cue_table.NAMES)}, the "
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
    if config.detector is not None and not Path(config.detector).exists():
        raise InputError(
            f"There is no detector file {config.detector}; give an ONNX file, or a "
            "directory that `twohand weights convert interwild` wrote."
        )


def load_extractor(config: CueConfig) -> Extractor | None:
    """What a config adds to a detector that gives keypoints; None for nothing.

    Raises:
        InputError: see ``check``; or a model does not load.
    """
    check_choice(config)
    if config.source == "sapiens":
        from twohand_jax.cues.sapiens import SapiensCues, SapiensCuesConfig

        settings = SapiensCuesConfig(
            batch=config.sapiens_batch, fsdp=config.sapiens_fsdp
        )
        return SapiensCues.load(config.sapiens, config=settings)
    if config.source == "auto" and assets.SEGDEPTH.is_dir():
        from twohand_jax.cues.segdepth import SegDepthCues

        return SegDepthCues.load()
    return None


def load_in_boxes(config: CueConfig) -> Extractor:
    """What makes all cues of a config where no detector runs, as in records.

    Raises:
        InputError: see ``load``.
    """
    extractor = load_extractor(config)
    if config.source == "sapiens" and extractor is not None:
        return extractor
    from twohand_jax.cues.mediapipe import MediaPipeCues

    keypoints = MediaPipeCues()
    return combine([keypoints] if extractor is None else [keypoints, extractor])

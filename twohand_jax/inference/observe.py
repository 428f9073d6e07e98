"""What is known of a picture before the network looks: its hands, and cues of them."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.cues import extraction, sides
from twohand_jax.cues.extraction import Extractor, Provenance
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.cues.mediapipe_cues import MediaPipeCues
from twohand_jax.cues.onnx_detector import HandBoxes, OnnxDetector
from twohand_jax.inference import cue_choice, hints
from twohand_jax.inference.cue_choice import CueConfig
from twohand_jax.inference.detect import Detector, detect, of_boxes
from twohand_jax.types import Cues

GIVEN = Provenance("given", "1")
MEDIAPIPE = Provenance(MediaPipeCues.name, MediaPipeCues.version)


class Found(NamedTuple):
    """Hands of a picture, before their cues.

    Attributes:
        hands: boxes, keypoints and scores.
        source: what made the keypoints.
        is_boxed: whether the boxes come from elsewhere than the keypoints.
        cues: those that had to be extracted to tell the hands' sides.
    """

    hands: hints.Hands
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

    hands: hints.Hands
    cues: Cues
    provenance: dict[str, Provenance]


def hide(seen: Observation, kinds: Iterable[str]) -> Observation:
    """An observation without some kinds of extracted cues."""
    gone = set(kinds) & {"segmentation", "depth"} & seen.provenance.keys()
    flags = {f"has_{kind}": np.zeros((), bool) for kind in gone}
    left = {kind: by for kind, by in seen.provenance.items() if kind not in gone}
    return seen._replace(cues=seen.cues._replace(**flags), provenance=left)


class Observer:
    """Finds the hands of pictures and extracts their cues.

    Attributes:
        config: where they come from.
        detector: picture -> hand detections; MediaPipe's, made when first needed.
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
        cue_choice.check(self.config)
        path = self.config.detector
        self._boxes = None if path is None else OnnxDetector(path)
        self._sapiens = cue_choice.load(self.config) if self.config.sapiens else None

    @functools.cached_property
    def extractor(self) -> Extractor | None:
        """What makes cues of found hands; None where the detector's are all."""
        return self._sapiens or cue_choice.load(self.config)

    def sources(self) -> dict[str, Provenance]:
        """What makes each kind of cue, where hands are found and not given."""
        own = {"keypoints": MEDIAPIPE}
        if self.extractor is None:
            return own
        return own | dict(extraction.provenance(self.extractor))

    def find(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Any = None,
        keypoints: Any = None,
    ) -> Found:
        """The hands of a picture, unless they are given.

        Args:
            image: uint8 RGB.
            boxes: see ``Reconstructor.detailed``.
            keypoints: see ``Reconstructor.detailed``.
        """
        hands, cues = hints.given(boxes, keypoints), None
        if keypoints is not None:
            return Found(hands, GIVEN, True)
        if boxes is None:
            if self._boxes is None:
                return Found(detect(self._mediapipe(), image, None), MEDIAPIPE, False)
            hands, cues = self._with_sides(image, self._boxes(image))
        if hands.present.any() and "keypoints" not in self.config.sapiens:
            hands = detect(self._mediapipe(), image, hands)
        return Found(hands, MEDIAPIPE, True, cues)

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
            boxes = np.stack([found[at].hands.boxes for at in left])
            valid = np.stack([found[at].hands.present for at in left])
            pictures = [images[at] for at in left]
            cues = extraction.extract(
                self.extractor, pictures, boxes, valid, batch=len(left)
            )
            made |= dict(zip(left, cues, strict=True))
        return [
            self._joined(image.shape[:2], one, made.get(at))
            for at, (image, one) in enumerate(zip(images, found, strict=True))
        ]

    def _joined(
        self, shape: tuple[int, ...], found: Found, made: Cues | None
    ) -> Observation:
        """The detector's keypoints and the extractor's cues as one."""
        cues = extraction.no_cues(*shape)._replace(
            keypoints=found.hands.keypoints,
            has_keypoints=np.asarray(found.hands.has_keypoints),
        )
        sources, hands = {"keypoints": found.source}, found.hands
        if made is not None and self.extractor is not None:
            by = dict(extraction.provenance(self.extractor))
            if found.source == GIVEN:
                by.pop("keypoints", None)
            cues = extraction.merge(cues, made, by)
            sources |= by
            hands = _with_keypoints(found, np.asarray(cues.keypoints))
        there = {
            kind: by for kind, by in sources.items() if getattr(cues, f"has_{kind}")
        }
        return Observation(hands, cues, there)

    def _mediapipe(self) -> Detector:
        if self.detector is None:
            self.detector = MediaPipeHands()
        return self.detector

    def _with_sides(
        self, image: UInt8[np.ndarray, "h w 3"], found: HandBoxes
    ) -> tuple[hints.Hands, Cues | None]:
        """A right and a left hand of a detector's boxes, and cues made on the way.

        Sapiens sees the person, so its word comes first; then each hand's own look.
        """
        evidence, cues = np.zeros((len(found.boxes), 2)), None
        if self._sapiens is not None and len(found.boxes):
            # It needs no boxes, so that what it says here are the cues.
            both = np.ones((1, 2), bool)
            (cues,) = self._sapiens([image], np.zeros((1, 2, 4)), both)
            evidence = sides.of_cues(found.boxes, cues)
        unsure = sides.silent(evidence) & (found.sides < 0)
        if unsure.any():
            evidence[unsure] = sides.of_appearance(
                found.boxes[unsure], image, self._mediapipe()
            )
        hands = of_boxes(found, evidence)
        if cues is not None:
            there = hands.present[:, None, None]
            points = np.asarray(cues.keypoints * there)
            has_points = np.asarray((points[..., 2] > 0).any())
            cues = cues._replace(keypoints=points, has_keypoints=has_points)
        return hands, cues


def _with_keypoints(
    found: Found, keypoints: Float[np.ndarray, "2 21 3"]
) -> hints.Hands:
    """The hands with other keypoints, and boxes about them unless those are fixed."""
    hands = found.hands._replace(keypoints=keypoints, boxes=found.hands.boxes.copy())
    for side in np.flatnonzero(hands.present):
        if not found.is_boxed and (keypoints[side, :, 2] > 0).any():
            hands.boxes[side] = hints.box_around(keypoints[side])
    return hands

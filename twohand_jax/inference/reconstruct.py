"""From a photograph to both hands: detect, predict, fit, separate."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax import mano, switches
from twohand_jax.cues.extraction import Provenance
from twohand_jax.diffusion.gate import Status
from twohand_jax.diffusion.refine import Refined
from twohand_jax.errors import InputError
from twohand_jax.inference import detections, images, known_camera, predict
from twohand_jax.inference.detections import Detector
from twohand_jax.inference.given import EachHand, EachPerson
from twohand_jax.inference.observe import CueConfig, Found, Observation, Observer, hide
from twohand_jax.inference.programs import Programs, shapes_of
from twohand_jax.inference.refinement import (
    CHOICES,
    is_needed,
    kept_on_joints,
    keypoint_error,
    refiner,
)
from twohand_jax.timing import Stopwatch
from twohand_jax.types import (
    NUM_JOINTS,
    Camera,
    CanvasView,
    Cues,
    ManoModel,
    Prediction,
)

FIT_CHOICES = ("auto", "on", "off")
# How many hands of a picture are kept, and how many people an accelerator's network
# sees at once. CPUs see one after the other: there several at once take as long, and
# another program to compile.
MAX_HANDS, MOST_ROWS = 16, 8


class Reconstruction(NamedTuple):
    """The result for one person, and the steps that led to it.

    Attributes:
        prediction: the result; a score of 0 means that the hand is absent.
        network: the prediction before the keypoint fit and the refinement.
        hands: boxes, keypoints and scores of the detector.
        provenance: the source of each cue that the network saw.
        refinement: result of the two-hand prior; None if it was not used.
        fitted: the prediction after the keypoint fit and before the refinement; equal
            to ``network`` if nothing was fitted.
        camera_from: source of focal length and principal point, see
            ``known_camera.KnownCamera``.
    """

    prediction: Prediction
    network: Prediction
    hands: detections.Detections
    provenance: Mapping[str, Provenance]
    refinement: Refined | None = None
    fitted: Prediction = predict.EMPTY
    camera_from: tuple[str, str] = (known_camera.DIAGONAL, known_camera.MIDDLE)

    @property
    def refined(self) -> bool:
        """Whether the prior changed the hands."""
        found = self.refinement
        return found is not None and int(found.status) == Status.REFINED

    def errors(self) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
        """Mean 2D errors of network and fit against the keypoints, in hand sizes."""
        points = self.hands.keypoints
        return keypoint_error(self.network, points), keypoint_error(
            self.prediction, points
        )


class _Scene(NamedTuple):
    """A picture and its camera."""

    image: UInt8[np.ndarray, "h w 3"]
    camera: Camera
    camera_from: tuple[str, str]


class Reconstructor:
    """A trained network and a hand model, as a function of a picture.

    Attributes:
        model: the hand model of the results.
        crop: how hands are cut out for the network.
        observer: finds hands and extracts their cues.
        programs: compiled programs.
        timing: seconds spent in each stage, summed over all calls.
    """

    def __init__(
        self,
        trained: predict.Trained,
        model: ManoModel,
        *,
        observer: Observer | None = None,
        timing: Stopwatch | None = None,
        cache: Path | None = None,
        prior: str | Path | None = None,
    ) -> None:
        """Put the parts together; ``load`` finds them.

        Args:
            trained: network, weights and crops.
            model: hand model that the network was trained with.
            observer: finds hands and their cues; the default one's when left out.
            timing: where seconds are counted.
            cache: folder for compiled programs; None keeps none.
            prior: model directory of a two-hand prior, loaded when it is first needed;
                None for the shipped one.
        """
        self.model, self.crop = model, trained.crop
        self.timing = Stopwatch() if timing is None else timing
        self._trained = trained
        self.observer = Observer() if observer is None else observer
        self.programs = Programs(cache)
        self._rows = 1 if jax.default_backend() == "cpu" else MOST_ROWS
        self._separator = functools.cache(
            functools.partial(refiner, directory=prior, model=model)
        )

    @classmethod
    @switches.defaults()
    def load(
        cls,
        checkpoint: str | Path | None = None,
        mano_path: str | Path | None = None,
        *,
        cues: CueConfig | str = "auto",
        detector: Detector | None = None,
        timing: Stopwatch | None = None,
        cache: Path | None = None,
        prior: str | Path | None = None,
    ) -> "Reconstructor":
        """Load a model directory and a hand model.

        Args:
            checkpoint: model directory; None for the shipped one.
            mano_path: source of the hand model, see ``mano.load``; None for the open
                hand.
            cues: where hands and cues come from: "auto", "mediapipe", or a config.
            detector: a function from picture to hand detections, to be used instead of
                MediaPipe's networks.
            timing: see the constructor.
            cache: see the constructor.
            prior: see the constructor.

        Raises:
            InputError: a file is missing, damaged or belongs to another config.
        """
        timing = Stopwatch() if timing is None else timing
        config = CueConfig(source=cues) if isinstance(cues, str) else cues
        with timing.stage("load models"):
            observer = Observer(config, detector=detector)
            model = mano.load(mano_path)
            trained = predict.load_network(checkpoint, cache=cache)
        return cls(
            trained, model, observer=observer, timing=timing, cache=cache, prior=prior
        )

    @functools.cached_property
    def _shown(self) -> tuple[str, ...]:
        """The network's cues that there may be; nothing is computed for others."""
        return self.observer.shown(self._trained.cues)

    @property
    def has_prior(self) -> bool:
        """Whether there is a two-hand prior for this hand model.

        Raises:
            InputError: a prior was named and cannot be loaded.
        """
        return self._separator("auto") is not None

    def __call__(
        self,
        image: images.AnyPicture,
        boxes: EachHand | None = None,
        keypoints: EachHand | None = None,
        fit: str = "auto",
        refine: str = "auto",
        camera: Camera | None = None,
    ) -> Prediction:
        """Reconstruct the most certain person of a picture; see ``detailed``."""
        return self.detailed(
            image, boxes, keypoints, fit, refine=refine, camera=camera
        ).prediction

    @switches.defaults()
    def detailed(
        self,
        image: images.AnyPicture,
        boxes: EachHand | None = None,
        keypoints: EachHand | None = None,
        fit: str = "auto",
        focal: float | Sequence[float] | None = None,
        refine: str = "auto",
        center: Sequence[float] | None = None,
        camera: Camera | None = None,
    ) -> Reconstruction:
        """Reconstruct one person's hands, and return the steps as well.

        If a picture shows several people, it takes the most certain hands that belong
        together; ``people`` reconstructs everyone.

        Args:
            image: uint8 RGB array of NumPy or JAX; or a Pillow image, which is rotated
                as its EXIF orientation says; or a ``Photo``.
            boxes: hand boxes (right, left) in pixels, None for a missing hand.
            keypoints: 21 joints x, y(, score) of (right, left), None for a missing
                hand. Without boxes and keypoints, the detector looks for hands; with
                boxes alone, it looks for joints inside them.
            fit: "on" fits the hands to the keypoints, "off" does not, "auto" does if
                keypoints are known.
            focal: focal length in pixels, one number or those of x and y. By default
                EXIF's, or else the picture's diagonal.
            refine: "auto" uses the two-hand prior, if there is one for this hand model,
                to separate overlapping hands that penetrate each other; "always" looks
                at every pair of hands, "never" at none.
            center: principal point in pixels, by default the picture's middle. It is
                elsewhere if the picture was cut out of a larger one.
            camera: the whole camera, instead of ``focal`` and ``center``.

        Raises:
            InputError: an argument is not of the documented form.
        """
        scene = self._scene(images.as_photo(image), fit, refine, focal, center, camera)
        with self.timing.stage("detect"):
            found = self.observer.find(scene.image, boxes, keypoints)
        if found.hands.present.any():
            (one,) = self._reconstruct(scene, [found], fit, refine)
            return one
        (seen,) = self.observer.observe([scene.image], [found])
        absent = predict.EMPTY._replace(camera=scene.camera)
        return Reconstruction(
            absent,
            absent,
            seen.hands,
            seen.provenance,
            fitted=absent,
            camera_from=scene.camera_from,
        )

    def people(
        self,
        image: images.AnyPicture,
        boxes: EachHand | EachPerson | None = None,
        keypoints: EachHand | EachPerson | None = None,
        fit: str = "auto",
        focal: float | Sequence[float] | None = None,
        refine: str = "auto",
        center: Sequence[float] | None = None,
        camera: Camera | None = None,
        *,
        max_hands: int = MAX_HANDS,
    ) -> list[Reconstruction]:
        """Reconstruct all people of a picture, the most certain first.

        A person is a right and a left hand that fit each other in size and place
        (``cues.people``), or a single hand. The list is empty if no hand is found.

        Args:
            image: see ``detailed``.
            boxes: see ``detailed``; or a list of such pairs, one for each person.
            keypoints: see ``detailed``; or a list of such pairs, one for each person.
            fit: see ``detailed``.
            focal: see ``detailed``.
            refine: see ``detailed``.
            center: see ``detailed``.
            camera: see ``detailed``.
            max_hands: largest number of hands, if the detector looks for them.

        Raises:
            InputError: an argument is not of the documented form.
        """
        check_max_hands(max_hands)
        scene = self._scene(images.as_photo(image), fit, refine, focal, center, camera)
        with self.timing.stage("detect"):
            found = self.observer.find_people(
                scene.image, boxes, keypoints, max_hands=max_hands
            )
        return self._reconstruct(scene, found, fit, refine)

    def _scene(self, photo: images.Photo, fit: str, refine: str, *known: Any) -> _Scene:
        """The picture and its camera; starts to compile what they need.

        Args:
            photo: the picture.
            fit: see ``detailed``.
            refine: see ``detailed``.
            known: focal length, principal point, camera, or None for each.
        """
        _check(photo.image, fit, refine)
        height, width = photo.image.shape[:2]
        focal, center, camera = known
        chosen = known_camera.choose(
            height, width, camera=camera, focal=focal, center=center, exif=photo.focal
        )
        self.prepare(wants_fit=fit != "off")
        camera_from = (chosen.focal_from, chosen.center_from)
        return _Scene(photo.image, chosen.camera, camera_from)

    def _reconstruct(
        self, scene: _Scene, found: Sequence[Found], fit: str, refine: str
    ) -> list[Reconstruction]:
        """People whose hands were found."""
        done = []
        for (hands, cues, provenance), network in self.look(
            scene.image, found, scene.camera
        ):
            fitted = network
            if fit != "off" and hands.has_keypoints:
                fitted = self.fit(network, hands)
            refinement = self._separate(fitted, hands, cues, refine)
            one = Reconstruction(
                fitted if refinement is None else refinement.prediction,
                network,
                hands,
                provenance,
                refinement,
                fitted,
                scene.camera_from,
            )
            done.append(one)
        return done

    def look(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        found: Sequence[Found],
        camera: Camera,
    ) -> list[tuple[Observation, Prediction]]:
        """What the network says of people whose hands were found, and what it saw.

        Args:
            image: uint8 RGB.
            found: each person's hands.
            camera: the picture's.
        """
        self.prepare(wants_fit=False)
        with self.timing.stage("cues"):
            seen = self.observer.observe([image] * len(found), found)
            seen = [hide(one, self.observer.unseen) for one in seen]
        views = [
            predict.lay_out(
                image,
                one.hands,
                one.cues,
                camera,
                names=self._shown,
                config=self.crop.canvas(),
                fingers_up=self.crop.fingers_up,
            )
            for one in seen
        ]
        return list(zip(seen, self._predict(views), strict=True))

    def fit(self, network: Prediction, hands: detections.Detections) -> Prediction:
        """The network's hands on their keypoints (``fit.fit``)."""
        self.prepare(wants_fit=True)
        return self._run("fit", self.model, network, hands.evidence, hands.solid_world)

    def _predict(self, views: Sequence[CanvasView]) -> list[Prediction]:
        """What the network says of each view.

        Several that go through it together are filled up to a power of two, so that few
        programs are compiled.
        """
        found: list[Prediction] = []
        for start in range(0, len(views), self._rows):
            part = views[start : start + self._rows]
            if len(part) == 1:
                arguments = (self._trained.variables, self.model, part[0])
                found.append(self._run("network", *arguments))
                continue
            rows = 1 << (len(part) - 1).bit_length()
            padded = [*part, *[part[-1]] * (rows - len(part))]
            batch = jax.tree.map(lambda *leaves: np.stack(leaves), *padded)
            arguments = (self._trained.variables, self.model, batch)
            name = f"network {rows}"
            if not self.programs.has(name):
                self._prepare_network(name, batch)
            both = jax.tree.map(np.asarray, self._run(name, *arguments))
            found += [
                jax.tree.map(lambda leaf, row=row: leaf[row], both)
                for row in range(len(part))
            ]
        return found

    def prepare(self, *, wants_fit: bool) -> None:
        """Start to compile what is not there yet, while the hands are looked for."""
        if not self.programs.has("network"):
            blank = predict.blank(self._shown, crop=self.crop)
            self._prepare_network("network", blank)
        if wants_fit and not self.programs.has("fit"):
            points = np.zeros((2, NUM_JOINTS, 3), np.float32)
            hand = shapes_of((self.model, predict.EMPTY, points, points))
            self.programs.prepare("fit", _make_fit, *hand)

    def _prepare_network(self, name: str, view: CanvasView) -> None:
        """Start to compile the network for views of these shapes."""
        trained, crop = self._trained, self.crop
        shapes = shapes_of((trained.variables, self.model, view))
        make = functools.partial(_make_predict, trained.make_apply, crop)
        self.programs.prepare(name, make, *shapes, key=f"{trained.key} {crop}")

    def _separate(
        self,
        prediction: Prediction,
        hands: detections.Detections,
        cues: Cues,
        choice: str,
    ) -> Refined | None:
        """Ask the prior, where there is one and the hands call for it."""
        if not is_needed(prediction, choice):
            return None
        found = self._separator(choice)
        if found is None:
            return None
        arguments = found.arguments(prediction, hands.keypoints, cues)
        name = f"refine {choice}"
        if not self.programs.has(name):
            shapes = shapes_of(arguments)
            self.programs.prepare(name, found.make, *shapes, key=found.key)
        refined = self._run(name, *arguments, result=predict.NOT_REFINED)
        if choice == "always":
            return refined
        return kept_on_joints(refined, prediction, hands.evidence)

    def _run(self, name: str, *arguments: Any, result: Any = predict.EMPTY) -> Any:
        """Run a program that returns a tree like ``result``."""
        with self.timing.stage(f"compile {name}"):
            compiled = self.programs.get(name)
        with self.timing.stage(name):
            leaves = jax.block_until_ready(compiled(*arguments))
        return jax.tree.unflatten(jax.tree.structure(result), leaves)


def _make_predict(make_apply: Any, crop: Any) -> Any:
    return functools.partial(predict.predict, apply=make_apply(), crop=crop)


def _make_fit() -> Any:
    from twohand_jax.inference.fit import fit

    return fit


def check_max_hands(number: Any) -> None:
    """Refuse a value that is not a number of hands.

    Raises:
        InputError: the value is not a positive whole number.
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InputError(f"max_hands must be 1 or more, not {number!r}.")


def _check(image: Any, fit: str, refine: str) -> None:
    if getattr(image, "dtype", None) != np.uint8 or image.ndim != 3:
        raise InputError(
            "The picture must be an RGB array of type uint8 and shape (height, width, "
            f"3), but is {type(image).__name__} "
            f"{getattr(image, 'dtype', '')} {getattr(image, 'shape', '')}."
        )
    if image.shape[2] != 3 or 0 in image.shape:
        raise InputError(
            f"The picture must have the shape (height, width, 3), not {image.shape}."
        )
    if fit not in FIT_CHOICES:
        raise InputError(f"fit must be one of {FIT_CHOICES}, not {fit!r}.")
    if refine not in CHOICES:
        raise InputError(f"refine must be one of {CHOICES}, not {refine!r}.")

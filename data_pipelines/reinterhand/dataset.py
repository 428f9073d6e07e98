"""Re:InterHand as records: relighted captures of two hands (Moon et al., 2023)."""

import argparse
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from twohand_jax.errors import InputError
from twohand_jax.pipelines.build_dataset import converted
from twohand_jax.pipelines.fits import load_model
from twohand_jax.pipelines.labelled import Labelled, Rejection, Unusable, read_picture
from twohand_jax.pipelines.reinterhand import captures, fisheye, labels
from twohand_jax.pipelines.reinterhand.captures import FOLDERS, LIGHTS, Series
from twohand_jax.pipelines.reinterhand.labels import WorldCamera
from twohand_jax.types import NUM_JOINTS, Camera

NO_FRAME_CAMERA = "the picture's camera has no parameters"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReInterHandConfig:
    """Which pictures are read, and how the egocentric ones become pinhole pictures.

    Attributes:
        cameras: mugsy (third person) and ego (a fisheye lens on the head).
        lights: per_frame (another environment in each frame) and per_segment.
        kept_ratio: egocentric frames with a smaller truncation ratio are left out, as
            the authors' reader does.
        max_angle_deg: egocentric pictures are straightened up to this angle from the
            axis; hands further out are cut off.
    """

    cameras: tuple[str, ...] = tuple(FOLDERS)
    lights: tuple[str, ...] = ("per_frame",)
    kept_ratio: float = 0.2
    max_angle_deg: float = 60.0


class ReInterHand:
    """A copy of Re:InterHand (a ``Dataset``); pictures are read one at a time."""

    name = "reinterhand"
    version = "1.0.0"
    description = (
        "Re:InterHand: captured pairs of hands, rendered again under new light. Moon "
        "et al., A Dataset of Relighted 3D Interacting Hands, NeurIPS 2023. "
        "https://mks0601.github.io/ReInterHand/, CC-BY-NC 4.0. Egocentric pictures are "
        "straightened to pinhole pictures; PNGs are stored as JPEG."
    )

    def __init__(
        self,
        source: Path,
        *,
        config: ReInterHandConfig | None = None,
        mano_path: Path | None = None,
    ) -> None:
        """Remember where things are; nothing is read yet.

        Args:
            source: folder with the captures (m--*).
            config: what to read; everything.
            mano_path: as ``mano.load`` takes it.
        """
        self.source, self.mano_path = source, mano_path
        self.config = config or ReInterHandConfig()

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides what is read."""
        return dataclasses.asdict(self.config)

    @property
    def hand_model(self) -> str:
        """Name of the hand model."""
        return load_model(self.mano_path).name

    def counts(self) -> Mapping[str, int]:
        """Pictures of each split.

        Raises:
            InputError: a capture lacks something.
        """
        counts = {name: int(ends[-1]) for name, (_, ends) in self._splits.items()}
        return {name: count for name, count in counts.items() if count}

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """The pictures of these numbers, in their order."""
        series, ends = self._splits[split]
        for number in numbers:
            row = int(np.searchsorted(ends, number, side="right"))
            frame = int(series[row].frames[number - ends[row]])  # from its end
            name = image_id(series[row], frame)
            try:
                yield self._sample(series[row], frame, name)
            except Unusable as reason:
                yield Rejection(str(reason), name)

    @functools.cached_property
    def _splits(self) -> dict[str, tuple[list[Series], np.ndarray]]:
        """The series of each split, and the number of pictures up to each one's end."""
        found = captures.find(
            self.source,
            cameras=self.config.cameras,
            lights=self.config.lights,
            kept_ratio=self.config.kept_ratio,
        )
        return {
            split: (series, np.cumsum([one.frames.size for one in series]))
            for split, series in found.items()
        }

    def _sample(self, series: Series, frame: int, name: str) -> Labelled:
        world = self._camera(series, frame)
        picture, camera = self._picture(series.image(self.source, frame), world)
        model = load_model(self.mano_path)
        hands = labels.hands(self.source / series.capture, frame, world, model)
        height, width = picture.shape[:2]
        seen = labels.seen(hands, camera, (width, height))
        # Losses do not ask for the box: a hand that is not shown has no labels at all.
        known = np.broadcast_to((hands.known & seen.shown)[:, None], (2, NUM_JOINTS))
        return Labelled(
            image=picture,
            image_id=name,
            subset=f"{series.cameras}_{series.light}",
            size=None,
            camera=camera,
            joints_2d=seen.joints_2d,
            joints_2d_valid=known & seen.in_front,
            joints_3d=hands.joints,
            joints_3d_valid=known,
            mano=hands.params,
            mano_valid=hands.fitted & seen.shown,
            box=seen.box,
        )

    def _camera(self, series: Series, frame: int) -> WorldCamera:
        if series.cameras == "ego":
            path = series.folder(self.source) / "cam_params" / f"{frame:06d}.json"
            return labels.read_camera(labels.load_json(path))
        if series.known is None:
            raise Unusable(NO_FRAME_CAMERA)
        return series.known

    def _picture(
        self, path: Path, world: WorldCamera
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Camera]:
        """The picture without distortion, and its camera."""
        _, image = read_picture(path)
        if world.distortion is None:
            return image, world.camera
        height, width = image.shape[:2]
        view = fisheye.pinhole(
            world.camera,
            world.distortion,
            (width, height),
            max_angle=math.radians(self.config.max_angle_deg),
        )
        image = fisheye.straighten(image, world.camera, world.distortion, view)
        return image, view


def image_id(series: Series, frame: int) -> str:
    """Capture, cameras, light, camera (if there are several) and frame."""
    parts = (series.capture, series.cameras, series.light, series.camera)
    return "/".join((*filter(None, parts), f"{frame:06d}"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dataset's own flags."""
    default = ReInterHandConfig()
    parser.add_argument(
        "--cameras",
        nargs="+",
        choices=tuple(FOLDERS),
        default=default.cameras,
        help="third-person (mugsy) and egocentric pictures (ego: straightened); both",
    )
    parser.add_argument(
        "--lights",
        nargs="+",
        choices=tuple(LIGHTS),
        default=default.lights,
        help="environment maps that change per frame or per segment; per_frame",
    )
    parser.add_argument(
        "--max-angle-deg",
        type=float,
        default=default.max_angle_deg,
        help="how far from the axis egocentric pictures are straightened",
    )


def from_arguments(args: argparse.Namespace) -> ReInterHand:
    """The dataset that the flags describe.

    Raises:
        InputError: the angle is none that a pinhole picture can show.
    """
    if not 1.0 <= args.max_angle_deg <= 85.0:
        raise InputError(
            f"--max-angle-deg is {args.max_angle_deg:g}; expected 1 to 85 degrees."
        )
    config = ReInterHandConfig(
        cameras=tuple(args.cameras),
        lights=tuple(args.lights),
        max_angle_deg=args.max_angle_deg,
    )
    return ReInterHand(args.source, config=config, mano_path=args.mano)


ENTRY = converted(
    name=ReInterHand.name,
    summary="Re:InterHand (Moon et al., NeurIPS 2023): relighted captures of two hands",
    add_arguments=add_arguments,
    from_arguments=from_arguments,
    miniature="twohand_jax.pipelines.reinterhand.fixture",
    protocol="wrist",
)

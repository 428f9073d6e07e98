"""Hand boxes by InterWild's BoxNet, from a directory of converted weights."""

from pathlib import Path

import cv2
import jax
import numpy as np
from jaxtyping import Float, Float32, UInt8

from twohand_jax import paths
from twohand_jax.cues.onnx_detector import HandBoxes
from twohand_jax.models import apply
from twohand_jax.models.box_net import BoxNet
from twohand_jax.types import LEFT, RIGHT
from twohand_jax.weights import interwild

FINE = 2  # pixels of the drawn picture for each of the network's, as in InterWild


class BoxNetDetector:
    """The right and the left hand of a picture of one person.

    The picture is drawn into one of the network's shape, twice as fine, bilinearly, and
    then halved. InterWild keeps no scores: it takes both hands to be there.

    Attributes:
        path: the directory.
        config: sizes of the network.
        room: side of what is drawn over the picture's: 1 as in InterWild's evaluation,
            1.25 as in its demo.
        min_score: lowest share of the heat map of a hand that counts.
    """

    def __init__(
        self, path: str | Path, *, room: float = 1.0, min_score: float = 0.0
    ) -> None:
        """Load the network.

        Args:
            path: a directory that ``twohand weights convert interwild`` wrote.
            room: see the class.
            min_score: see the class.

        Raises:
            InputError: there is no BoxNet, or its files do not fit together.
        """
        self.path, self.room, self.min_score = paths.local(path), room, min_score
        self.config, self._variables = interwild.load_boxes(path)
        net = apply.network(lambda rngs: BoxNet(self.config, rngs=rngs))
        self._run = jax.jit(lambda variables, image: net.apply(variables, image)[0])

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> HandBoxes:
        """Both hands of an RGB picture, the more certain first.

        Boxes may reach beyond the picture, as InterWild's do.
        """
        drawn, scale, shift = self._drawn(image)
        found = jax.device_get(self._run(self._variables, drawn[None]))
        cell = FINE * self.config.cell_px
        low, high = (
            (found.center[0] + half * found.extent[0]) * cell for half in (-0.5, 0.5)
        )
        boxes = (np.concatenate([low, high], axis=-1) - np.tile(shift, 2)) / scale
        scores = np.clip(found.score[0], 0.0, 1.0)
        good = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (scores >= self.min_score)
        kept = [at for at in np.argsort(-scores, kind="stable") if good[at]]
        sides = np.array([RIGHT, LEFT])
        return HandBoxes(boxes[kept].astype(np.float32), scores[kept], sides[kept])

    def _drawn(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> tuple[Float32[np.ndarray, "H W 3"], float, Float[np.ndarray, "2"]]:
        """The network's picture in [0, 1]; and where the drawn one has our pixels.

        Its pixel is ``scale`` times ours plus ``shift``.
        """
        height, width = image.shape[:2]
        rows, columns = FINE * self.config.height, FINE * self.config.columns
        scale = min(rows / height, columns / width) / self.room
        ends = np.array([[columns - 1, rows - 1], [width - 1, height - 1]])
        shift = ends[0] / 2 - scale * ends[1] / 2
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        fine = cv2.warpAffine(
            image.astype(np.float32), matrix, (columns, rows), flags=cv2.INTER_LINEAR
        )
        parts = fine.reshape(rows // FINE, FINE, columns // FINE, FINE, 3)
        return parts.mean(axis=(1, 3)) / 255, scale, shift

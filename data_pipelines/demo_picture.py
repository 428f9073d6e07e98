"""Compose the demo picture: a left and a right hand side by side.

Source: two photographs of one left hand from the npm package fingerpose 0.1.0
(`npm pack fingerpose@0.1.0`, then unpack; MIT, copyright 2020 Andreas Schallwig). The
second is mirrored, so it shows a right hand, and both forearms come from outside, as
one sees one's own hands.

    python data_pipelines/demo_picture.py --source package/assets \
        --out twohand_jax/assets/demo.jpg
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from twohand_jax import files

LEFT_HAND, RIGHT_HAND = "nocurl.jpg", "halfcurl.jpg"
JPEG_QUALITY = 92


def compose(
    first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h v 3"]:
    """The first picture, and right of it the second one mirrored."""
    return np.concatenate([first, second[:, ::-1]], axis=1)


def read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photograph of the package."""
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(
            f"{path} is not a readable picture. Give the assets folder of the unpacked "
            "npm package fingerpose 0.1.0 as --source."
        )
    return image


def main() -> None:
    """Read both photographs, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    picture = compose(
        read(options.source / LEFT_HAND), read(options.source / RIGHT_HAND)
    )
    args = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    files.write_bytes(options.out, cv2.imencode(".jpg", picture, args)[1].tobytes())
    print(f"{options.out}: {picture.shape[1]}x{picture.shape[0]}")


if __name__ == "__main__":
    main()

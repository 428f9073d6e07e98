"""Pictures and their hands as one HTML file to turn and zoom, which needs no server.

The page holds everything: the pictures as JPEG, the meshes as float32, and the script
``assets/hand_page.js``, which draws them with WebGL. It asks nothing of a network.
"""

import base64
import html as escaping
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax import assets
from twohand_jax.mano import topology
from twohand_jax.types import SIDES, Camera, ManoModel
from twohand_jax.viz import html
from twohand_jax.viz.render import HAND_COLORS

MAX_WIDTH = 1024
STYLE = """
[hidden] { display: none !important; }
h1 { overflow-wrap: anywhere; }
.split { display: grid; gap: 1.2rem; grid-template-columns: minmax(0, 1fr); }
@media (min-width: 1000px) { .split { grid-template-columns: minmax(0, 1fr) 25rem; } }
#stage { --shape: 1.5; position: relative; aspect-ratio: var(--shape);
  width: min(100%, 78vh * var(--shape)); margin: 0 auto; overflow: hidden;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
#stage img, #canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
.drawn #stage img { visibility: hidden; }
#canvas { display: block; touch-action: none; cursor: grab; }
#canvas:active { cursor: grabbing; } .plain #canvas, .drawn #plain { display: none; }
.caption { position: absolute; top: .4rem; left: .6rem; z-index: 1; padding: 0 .5rem;
  pointer-events: none; background: var(--card); border-radius: 6px; opacity: .85; }
.caption ~ .caption { left: calc(50% + .6rem); }
.tools { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin: 0 0 .7rem;
  align-items: center; } .tools span { display: flex; gap: .3rem; align-items: center; }
button { font: inherit; color: var(--ink); background: var(--card); cursor: pointer;
  border: 1px solid var(--line); border-radius: 6px; padding: .3rem .8rem; }
button:hover { border-color: var(--soft); }
button[aria-pressed="true"] { border-color: var(--bar); color: var(--bar); }
input[type="range"] { accent-color: var(--bar); width: 8rem; }
#number { width: min(18rem, 40vw); }
.tools i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; }
section table { font-size: .88rem; }
section td, section th { white-space: nowrap; padding-right: .3rem; }
section h3 { overflow-wrap: anywhere; }
.hint { font-size: .85rem; margin: .6rem 0 0; }
"""
HINT = (
    "Drag to turn, wheel or two fingers to zoom, shift and drag to move; double click "
    "to return to the camera."
)
PLAIN = "This browser cannot draw in 3D (it has no WebGL), so only the picture shows."
COMPARE = (
    '<span><button type="button" id="compare" aria-pressed="false">'
    "Before and after refinement</button></span>"
)
CAPTIONS = (
    '<span class="caption" hidden>before</span>'
    '<span class="caption" hidden>after</span>'
)
VIEWS = {"camera": "Camera", "side": "Side", "back": "Back"}


class ShownHand(NamedTuple):
    """A hand of a picture.

    Attributes:
        side: RIGHT or LEFT.
        vertices: in the camera frame, metres.
        before: the same before the two-hand prior moved it; None where it did not.
    """

    side: int
    vertices: Float[np.ndarray, "778 3"]
    before: Float[np.ndarray, "778 3"] | None = None


class ShownPicture(NamedTuple):
    """A picture and what was found in it.

    Attributes:
        title: plain text, such as the file's name.
        image: the picture in any size; None where it is not to be had.
        height: pixels, those of ``camera``.
        width: pixels.
        camera: of the picture.
        hands: those that are there, of all people.
        header: names of the columns of ``rows``.
        rows: numbers of each hand, as text.
        notes: sentences.
    """

    title: str
    image: UInt8[np.ndarray, "h w 3"] | None
    height: int
    width: int
    camera: Camera
    hands: Sequence[ShownHand]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def hand_page(title: str, pictures: Sequence[ShownPicture], model: ManoModel) -> str:
    """The HTML document.

    Args:
        title: of the page, plain text.
        pictures: one, or some to page through.
        model: hand model, for the faces.
    """
    is_several = len(pictures) > 1
    tools = [_views(), _opacity(), _legend()]
    if any(map(is_moved, pictures)):
        tools.insert(1, COMPARE)
    if is_several:
        tools.append(_pager(len(pictures)))
    images = [_image(number, one) for number, one in enumerate(pictures)]
    stage = (
        f'<div id="stage">{"".join(images)}{CAPTIONS}'
        '<canvas id="canvas" tabindex="0" role="img" aria-label="The hands in 3D; '
        'arrow keys turn them, plus and minus zoom"></canvas></div>'
    )
    plain = f'<p id="plain" class="bad">{PLAIN}</p>'
    left = [html.group(tools, style="tools"), stage, plain]
    left.append(html.element("p", HINT, style="soft hint"))
    right = [
        _about(number, one, is_named=is_several) for number, one in enumerate(pictures)
    ]
    split = html.group([html.group(left), html.group(right)], style="split")
    data = json.dumps(_data(pictures, model)).replace("<", "\\u003c")
    parts = [
        html.element("h1", title),
        split,
        f'<script type="application/json" id="hands">{data}</script>',
        f"<script>\n{assets.HAND_PAGE_SCRIPT.read_text()}</script>",
    ]
    return html.page(title, parts, style=STYLE)


def _data(pictures: Sequence[ShownPicture], model: ManoModel) -> dict[str, Any]:
    """What the script draws; arrays are little-endian bytes in base64."""
    faces = [topology.close_wrist(np.asarray(side)) for side in model.faces]
    return {
        "colors": HAND_COLORS,
        "open_faces": len(model.faces[0]),
        "faces": [_code(side, "<u2") for side in faces],
        "pictures": [
            {
                "width": one.width,
                "height": one.height,
                "focal": np.asarray(one.camera.focal, np.float64).tolist(),
                "center": np.asarray(one.camera.center, np.float64).tolist(),
                "hands": [_hand(hand) for hand in one.hands],
            }
            for one in pictures
        ],
    }


def is_moved(one: ShownPicture) -> bool:
    """Whether some hands of a picture were others before the refinement."""
    return any(hand.before is not None for hand in one.hands)


def _hand(hand: ShownHand) -> dict[str, Any]:
    code = {"side": int(hand.side), "vertices": _code(hand.vertices, "<f4")}
    if hand.before is not None:
        code["before"] = _code(hand.before, "<f4")
    return code


def _code(array: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.asarray(array).astype(kind).tobytes()).decode()


def _views() -> str:
    buttons = (
        f'<button type="button" data-view="{name}">{text}</button>'
        for name, text in VIEWS.items()
    )
    return html.group(buttons, name="span")


def _opacity() -> str:
    return (
        '<span><label for="opacity">Hands</label>'
        '<input type="range" id="opacity" min="0" max="100" value="100"></span>'
    )


def _legend() -> str:
    dots = []
    for name, color in zip(SIDES, HAND_COLORS, strict=True):
        shade = "".join(f"{round(255 * part):02x}" for part in color)
        dots.append(f'<i style="background: #{shade}"></i>{name}')
    return html.group(dots, name="span", style="soft")


def _pager(count: int) -> str:
    return (
        '<span><button type="button" id="previous" aria-label="Previous picture">'
        f'&lsaquo;</button><input type="range" id="number" min="0" max="{count - 1}" '
        'value="0" aria-label="Picture"><button type="button" id="next" '
        'aria-label="Next picture">&rsaquo;</button><span id="counted" class="soft">'
        "</span></span>"
    )


def _image(number: int, one: ShownPicture) -> str:
    if one.image is None:
        return ""
    alt = escaping.escape(one.title, quote=True)
    url = html.picture_url(shrunk(one.image, MAX_WIDTH))
    hidden = " hidden" if number else ""
    places = f'id="picture-{number}" data-picture="{number}"{hidden}'
    return f'<img {places} alt="{alt}" src="{url}">'


def shrunk(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "H W 3"]:
    """A picture whose longer side is at most ``side`` pixels."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _about(number: int, one: ShownPicture, *, is_named: bool) -> str:
    parts = [html.element("h3", one.title)] if is_named else []
    if one.rows:
        parts.append(html.table(one.header, one.rows))
    parts += [html.element("p", note, style="soft") for note in one.notes]
    hidden = " hidden" if number else ""
    content = html.group(parts, style="card")
    return f'<section data-picture="{number}"{hidden}>{content}</section>'

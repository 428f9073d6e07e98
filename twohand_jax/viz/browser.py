"""Pictures and their hands in 3D in the browser, with viser (extra ``view``).

The scene is the picture's camera frame; the camera stands at the origin, and its
picture lies just behind the hands. The server listens on this machine alone.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from twohand_jax import extras
from twohand_jax.mano import topology
from twohand_jax.types import SIDES, ManoModel
from twohand_jax.viz import html
from twohand_jax.viz.hand_page import ShownPicture, is_moved
from twohand_jax.viz.render import HAND_COLORS

if TYPE_CHECKING:
    import viser

HOST = "127.0.0.1"
VIEWS = {"Camera": (0.0, 0.0), "Side": (78.0, 14.0), "Back": (180.0, 6.0)}
MARGIN = 0.02  # metres from the hands to the picture behind them
HANDS, EARLIER = "/hands", "/earlier"  # names of what is drawn begin so
UP = (0.0, -1.0, 0.0)


def check() -> None:
    """Raises MissingDependencyError where viser is not installed."""
    instead = "write a page with --html FILE, which needs none"
    with extras.needed_for("The view in the browser needs", "view", instead=instead):
        import viser  # noqa: F401 - whether it is there


class Viewer:
    """A server that shows one picture at a time, and who looks may page.

    Attributes:
        server: of viser.
        current: the picture that is shown.
    """

    def __init__(
        self,
        picture: Callable[[int], ShownPicture],
        count: int,
        model: ManoModel,
        *,
        port: int = 8080,
        unit: str = "Picture",
    ) -> None:
        """Start the server and show the first picture.

        Args:
            picture: gives a picture by its number.
            count: how many there are.
            model: hand model, for the faces.
            port: of this machine; the next free one where it is taken.
            unit: what the slider calls a picture; "Frame" of a video.

        Raises:
            MissingDependencyError: viser is not installed.
        """
        check()
        import viser

        self._picture, self._count, self._unit = picture, count, unit
        self._faces = [topology.close_wrist(np.asarray(side)) for side in model.faces]
        self._lock = threading.Lock()
        self._drawn: list[Any] = []
        self.current: ShownPicture = picture(0)
        self.server = viser.ViserServer(host=HOST, port=port, verbose=False)
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)
        self.server.gui.main_panel.dock_right()
        self.server.scene.set_up_direction(UP)
        self._add_controls()
        self.show(0)
        self.server.on_client_connect(lambda client: self.turn(client, "Camera"))

    @property
    def url(self) -> str:
        """Where the view is."""
        return f"http://{HOST}:{self.server.get_port()}"

    def wait(self) -> None:
        """Serve until Ctrl-C, which raises KeyboardInterrupt."""
        try:
            self.server.sleep_forever()
        finally:
            self.server.stop()

    def show(self, number: int) -> None:
        """Show a picture in place of the one that is shown.

        Who looks keeps the point of view within a video, and from the next picture's
        camera where that is another one.
        """
        with self._lock:
            one = self._picture(number)
            is_other = _lens(one) != _lens(self.current)
            with self.server.atomic():
                for handle in self._drawn:
                    handle.remove()
                self.current = one
                self._drawn = self._draw(one)
                self._about.content = _about(one)
        for client in self.server.get_clients().values() if is_other else ():
            self.turn(client, "Camera")

    def turn(self, client: "viser.ClientHandle | None", view: str) -> None:
        """Move somebody's eye to the picture's camera, or beside the hands.

        Args:
            client: who looks; None for somebody who has just left.
            view: of ``VIEWS``.
        """
        if client is None:
            return
        one = self.current
        yaw, pitch = np.radians(VIEWS[view])
        middle, distance = _middle(one), float(np.linalg.norm(_middle(one)))
        camera = client.camera
        with client.atomic():
            camera.up_direction = UP
            if view == "Camera":
                camera.position = np.zeros(3)
                camera.look_at = np.array([0.0, 0.0, middle[2]])
                camera.fov = _whole(one, camera.aspect)
                return
            back = [-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), -np.cos(yaw)]
            camera.fov = np.radians(45.0)
            apart = min(distance, 2.2 * _extent(one))
            camera.position = middle + apart * np.array(back)
            camera.look_at = middle

    def _add_controls(self) -> None:
        gui = self.server.gui
        if self._count > 1:
            # Any: type checkers don't see that its value can be set.
            self._number: Any = gui.add_slider(self._unit, 1, self._count, 1, 1)
            self._number.on_update(lambda _: self.show(int(self._number.value) - 1))
            steps = gui.add_button_group("", ("Previous", "Next"))
            steps.on_click(lambda _: self._step(1 if steps.value == "Next" else -1))
        views = gui.add_button_group("View", tuple(VIEWS))
        views.on_click(lambda event: self.turn(event.client, views.value))
        self._opacity = gui.add_slider("Hands", 0.0, 1.0, 0.05, 1.0)
        self._opacity.on_update(lambda _: self._fade())
        self._has_picture = gui.add_checkbox("Picture and camera", True)
        self._has_picture.on_update(lambda _: self._fade())
        self._compares = gui.add_checkbox("Before refinement beside", False)
        self._compares.on_update(lambda _: self._fade())
        self._about = gui.add_html("")

    def _step(self, by: int) -> None:
        number = int(np.clip(self._number.value + by, 1, self._count))
        self._number.value = number

    def _fade(self) -> None:
        with self._lock:
            for handle in self._drawn:
                if handle.name.startswith(EARLIER):
                    handle.visible = self._shows_earlier()
                elif handle.name.startswith(HANDS):
                    handle.visible = self._opacity.value > 0
                else:
                    handle.visible = self._has_picture.value
                if hasattr(handle, "opacity"):
                    handle.opacity = self._shade()

    def _shows_earlier(self) -> bool:
        return bool(self._compares.value and self._opacity.value > 0)

    def _shade(self) -> float | None:
        """Opacity of the hands; None draws them as solid bodies."""
        return None if self._opacity.value >= 1 else self._opacity.value

    def _draw(self, one: ShownPicture) -> list[Any]:
        """Handles of what is drawn, the camera first."""
        scene = self.server.scene
        deepest = max(
            (float(hand.vertices[:, 2].max()) for hand in one.hands), default=1
        )
        drawn: list[Any] = [self._frustum(one, deepest + MARGIN)]
        for number, (side, vertices, before) in enumerate(one.hands):
            name = f"/{number}_{SIDES[side]}"
            drawn.append(
                self._hand(HANDS + name, side, vertices, self._opacity.value > 0)
            )
            if before is not None:
                moved = before + _aside(one)
                drawn.append(
                    self._hand(EARLIER + name, side, moved, self._shows_earlier())
                )
        self._compares.visible = is_moved(one)
        if is_moved(one):
            at = _middle(one) - (0.0, _extent(one) / 2, 0.0)
            for name, place in (("before", at + _aside(one)), ("after", at)):
                label = scene.add_label(
                    f"{EARLIER}/{name}", name, position=place, anchor="bottom-center"
                )
                label.visible = self._shows_earlier()
                drawn.append(label)
        return drawn

    def _hand(self, name: str, side: int, vertices: np.ndarray, shows: bool) -> Any:
        return self.server.scene.add_mesh_simple(
            name,
            np.asarray(vertices, np.float32),
            self._faces[side],
            color=HAND_COLORS[side],
            opacity=self._shade(),
            visible=shows,
        )

    def _frustum(self, one: ShownPicture, depth: float) -> Any:
        """The camera with its picture, which lies at a depth."""
        tall = np.tan(_field(one) / 2)
        aspect = one.width / one.height
        # viser scales a frustum of this volume to 1.
        scale = depth * np.cbrt(tall * tall * aspect / 3)
        return self.server.scene.add_camera_frustum(
            "/camera",
            fov=_field(one),
            aspect=aspect,
            scale=float(scale),
            thickness=0.001,
            image=one.image,
            format="jpeg",
            visible=self._has_picture.value,
            cast_shadow=False,
            receive_shadow=False,
        )


def _about(one: ShownPicture) -> str:
    parts = [html.element("b", one.title)]
    if one.rows:
        parts.append(html.table(one.header, one.rows))
    parts += [html.element("p", note) for note in one.notes]
    return f'<div style="padding: 0 1em; font-size: .85em">{"".join(parts)}</div>'


def _whole(one: ShownPicture, aspect: float) -> float:
    """The angle at which a window of some aspect shows the whole picture."""
    wider = max(1.0, one.width / one.height / aspect)
    return float(2 * np.arctan(1.02 * wider * np.tan(_field(one) / 2)))


def _lens(one: ShownPicture) -> tuple[float, ...]:
    return (one.width, one.height, *np.ravel(one.camera).tolist())


def _field(one: ShownPicture) -> float:
    """The picture's height as an angle."""
    return float(2 * np.arctan(one.height / 2 / np.asarray(one.camera.focal)[1]))


def _bounds(one: ShownPicture) -> tuple[np.ndarray, np.ndarray]:
    points = [np.asarray(hand.vertices) for hand in one.hands]
    found = np.concatenate(points) if points else np.array([[0.0, 0.0, 1.0]])
    return found.min(axis=0), found.max(axis=0)


def _middle(one: ShownPicture) -> np.ndarray:
    return np.mean(_bounds(one), axis=0)


def _aside(one: ShownPicture) -> np.ndarray:
    """From the hands to where those before the refinement stand, to their left."""
    low, high = _bounds(one)
    return np.array([-(high[0] - low[0]) - 2 * MARGIN, 0.0, 0.0])


def _extent(one: ShownPicture) -> float:
    """The diagonal of the box around all hands, metres."""
    low, high = _bounds(one)
    return max(float(np.linalg.norm(high - low)), 0.1)

"""The OpenGL objects of a renderer, and the passes of a picture."""

import ctypes
import ctypes.util
import os
import sys
from typing import Any, NamedTuple

import moderngl
import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.synthetic.render import shaders
from data_pipelines.synthetic.render.draw_list import LAYOUT, DrawList
from twohand_jax.errors import InputError, MissingDependencyError

SAMPLES = 4
SHADOW_SIZE = 320
NOISE_SIZE = 256
NOISE_SEED = 7
CLOSED = moderngl.DEPTH_TEST | moderngl.CULL_FACE
Uniforms = dict[str, np.ndarray]
DTYPES = {"f1": np.uint8, "f2": np.float16, "f4": np.float32}


class Buffers(NamedTuple):
    """What the passes leave: colour is linear and premultiplied by its coverage.

    ``geometry`` is normal and depth; ``hands`` counts layers of each hand alone.
    """

    color: Float[np.ndarray, "h w 4"]
    geometry: Float[np.ndarray, "h w 4"]
    part: UInt8[np.ndarray, "h w"]
    hands: UInt8[np.ndarray, "h w 4"]


class Gpu:
    """Programs, targets and textures for pictures of one size."""

    def __init__(
        self, size: tuple[int, int], skins: UInt8[np.ndarray, "k h w 3"]
    ) -> None:
        """Opens a context; ``size`` is height and width, ``skins`` sRGB textures."""
        self.size = size
        self.context = context = create_context()
        context.front_face = "cw"  # as rows run downwards
        context.blend_func = moderngl.ONE, moderngl.ONE
        self.color = context.program(shaders.VERTEX, shaders.COLOR_FRAGMENT)
        self.geometry = context.program(shaders.VERTEX, shaders.GEOMETRY_FRAGMENT)
        self.coverage = context.program(shaders.VERTEX, shaders.COVERAGE_FRAGMENT)
        self.shadow = context.program(shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT)
        self._make_targets()
        self.skins = [_texture(context, skin) for skin in skins]
        self.textures = {
            "u_noise": _texture(context, tileable_noise(NOISE_SIZE, NOISE_SEED)),
            "u_shadow_map": self.shadow_map,
        }

    def _make_targets(self) -> None:
        context, shape = self.context, self.size[::-1]
        sampled = context.texture(shape, 4, dtype="f2", samples=SAMPLES)
        deep = context.depth_texture(shape, samples=SAMPLES)
        self.color_target = context.framebuffer([sampled], deep)
        self.resolved = context.framebuffer([context.texture(shape, 4, dtype="f2")])
        self.geometry_target = context.framebuffer(
            [context.texture(shape, 4, dtype="f4"), context.texture(shape, 1)],
            context.depth_renderbuffer(shape),
        )
        self.coverage_target = context.framebuffer([context.texture(shape, 4)])
        self.shadow_map = context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self.shadow_map.compare_func = "<="
        self.shadow_map.repeat_x = self.shadow_map.repeat_y = False
        self.shadow_target = context.framebuffer(depth_attachment=self.shadow_map)

    def draw(
        self,
        drawn: DrawList,
        *,
        common: Uniforms,
        look: Uniforms,
        skin: int,
        shadows: bool,
    ) -> Buffers:
        """Runs all passes.

        Args:
            drawn: the surfaces.
            common: uniforms of every program.
            look: uniforms of the colour program alone.
            skin: which of the skin textures, modulo their number.
            shadows: whether the first lamp shines at all.
        """
        with self.context:  # another renderer of this process may be current
            return self._draw(drawn, common, look, skin, shadows)

    def _draw(
        self,
        drawn: DrawList,
        common: Uniforms,
        look: Uniforms,
        skin: int,
        shadows: bool,
    ) -> Buffers:
        vertices = self.context.buffer(drawn.vertices.tobytes() or bytes(4))
        indices = self.context.buffer(drawn.triangles.tobytes() or bytes(4))
        buffers, count = (vertices, indices), len(drawn.triangles)
        casting = count if shadows else 0
        self._pass(self.shadow, self.shadow_target, buffers, casting, common)
        textures = self.textures | {"u_skin": self.skins[skin % len(self.skins)]}
        for unit, (name, texture) in enumerate(textures.items()):
            texture.use(unit)
            self.color[name] = unit
        self._pass(self.color, self.color_target, buffers, count, common | look)
        self.context.copy_framebuffer(self.resolved, self.color_target)
        self._pass(self.geometry, self.geometry_target, buffers, count, common)
        # alone, a hand shows its inside through the wrist: nothing is culled
        hands = drawn.num_hand_triangles
        self._pass(
            self.coverage, self.coverage_target, buffers, hands, common, moderngl.BLEND
        )
        for buffer in buffers:
            buffer.release()
        return Buffers(
            color=self._read(self.resolved, 0, 4, "f2").astype(np.float32),
            geometry=self._read(self.geometry_target, 0, 4, "f4"),
            part=self._read(self.geometry_target, 1, 1, "f1")[..., 0],
            hands=self._read(self.coverage_target, 0, 4, "f1"),
        )

    def _pass(
        self,
        program: moderngl.Program,
        target: moderngl.Framebuffer,
        buffers: tuple[moderngl.Buffer, moderngl.Buffer],
        num_triangles: int,
        uniforms: Uniforms,
        flags: int = CLOSED,
    ) -> None:
        """Clears a target and draws the first triangles into it."""
        self.context.enable_only(flags)
        target.use()
        target.clear()
        if num_triangles == 0:
            return
        for name, value in uniforms.items():
            uniform = program.get(name, None)
            if isinstance(uniform, moderngl.Uniform):
                uniform.write(np.asarray(value, np.float32).tobytes())
        used = [name for name in LAYOUT if name in program]
        layout = " ".join(
            f"{width}f" if name in used else f"{width}x4"
            for name, width in LAYOUT.items()
        )
        array = self.context.vertex_array(
            program, [(buffers[0], layout, *used)], index_buffer=buffers[1]
        )
        array.render(vertices=3 * num_triangles)
        array.release()

    def _read(
        self, target: moderngl.Framebuffer, index: int, components: int, dtype: str
    ) -> np.ndarray:
        raw = target.read(
            components=components, attachment=index, dtype=dtype, alignment=1
        )
        return np.frombuffer(raw, DTYPES[dtype]).reshape(*self.size, components)


def _texture(
    context: moderngl.Context, pixels: UInt8[np.ndarray, "h w c"]
) -> moderngl.Texture:
    height, width, channels = pixels.shape
    data = np.ascontiguousarray(pixels).tobytes()
    texture = context.texture((width, height), channels, data, alignment=1)
    texture.build_mipmaps()
    texture.filter = moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR
    return texture


def tileable_noise(size: int, seed: int) -> UInt8[np.ndarray, "s s 4"]:
    """Four channels of periodic noise, from blotches (red) to grain (alpha)."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(size) * size
    radius = np.maximum(np.hypot(frequency[:, None], frequency), 1)
    channels = []
    for slope in (1.5, 1.0, 1.25, 0.5):
        spectrum = np.fft.fft2(rng.standard_normal((size, size))) / radius**slope
        spectrum[0, 0] = 0
        wave = np.fft.ifft2(spectrum).real
        channels.append(np.clip(128 + 50 * wave / wave.std(), 0, 255))
    return np.stack(channels, axis=-1).astype(np.uint8)


INSTALL_LINE = "apt-get install -y libegl1 libgl1-mesa-dri libgles2"


def _missing(reason: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"Rendering the synthetic set needs an EGL driver, but {reason}; expected "
        "libEGL.so.1 with a driver (Mesa's software driver is enough): install it with "
        f"`{INSTALL_LINE}`."
    )


def check_egl() -> None:
    """Raises `MissingDependencyError` with the install line if EGL is not there."""
    if ctypes.util.find_library("EGL") is None:
        raise _missing("the library libEGL was not found")
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        raise _missing(f"libEGL does not load ({error})") from error


def create_context(*, software_threads: int = 0) -> moderngl.Context:
    """Opens a context of OpenGL 3.3 without a display; one for each process.

    ``software_threads`` is how many threads Mesa's software driver may start: none, as
    the pictures are spread over processes. ``LP_NUM_THREADS`` in the environment wins.
    """
    check_egl()
    if "tensorflow" in sys.modules:
        raise InputError(
            "TensorFlow is loaded in this process, and Mesa's driver crashes beside "
            "it; render in a process of its own, as `twohand data build` does."
        )
    os.environ.setdefault("LP_NUM_THREADS", str(software_threads))
    try:
        options: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 330}
        return moderngl.create_context(**options)
    except Exception as error:  # moderngl raises bare Exception
        raise _missing(f"no OpenGL 3.3 context could be opened ({error})") from error


def main() -> int:
    """Try to open a context; the exit code."""
    try:
        create_context().release()
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

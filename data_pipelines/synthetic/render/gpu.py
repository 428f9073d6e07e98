"""The OpenGL objects of a renderer, its GLSL programs, and the passes of a picture."""

import ctypes
import ctypes.util
import os
import sys
from typing import Any, NamedTuple

import moderngl
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.pipelines.synthetic.render.draw_list import LAYOUT, DrawList

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
        self.color = context.program(VERTEX, COLOR_FRAGMENT)
        self.geometry = context.program(VERTEX, GEOMETRY_FRAGMENT)
        self.coverage = context.program(VERTEX, COVERAGE_FRAGMENT)
        self.shadow = context.program(SHADOW_VERTEX, SHADOW_FRAGMENT)
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


VERTEX = """
#version 330
in vec3 in_position;  // metres, camera frame
in vec3 in_normal;
in vec2 in_uv;
in vec3 in_tint;      // skin: colour relative to mean skin; things: first colour
in vec3 in_second;    // things: second colour
in vec4 in_zones;     // ambient visibility, palm, blush, gloss
in vec4 in_kind;      // material, part, side, pattern
uniform vec4 u_projection;  // clip.x = a X + b Z, clip.y = c Y + d Z
uniform vec2 u_depth_range;
uniform mat4 u_shadow_from_cam;
out vec3 position;
out vec3 normal;
out vec2 uv;
out vec3 tint;
out vec3 second;
out vec4 zones;
out vec3 shadow_position;
flat out vec4 kind;
void main() {
    position = in_position;
    normal = in_normal;
    uv = in_uv;
    tint = in_tint;
    second = in_second;
    zones = in_zones;
    kind = in_kind;
    vec3 shifted = in_position + 0.0025 * in_normal;
    shadow_position = (u_shadow_from_cam * vec4(shifted, 1.0)).xyz * 0.5 + 0.5;
    float n = u_depth_range.x, f = u_depth_range.y, z = in_position.z;
    gl_Position = vec4(
        u_projection.x * in_position.x + u_projection.y * z,
        u_projection.z * in_position.y + u_projection.w * z,
        ((f + n) * z - 2.0 * f * n) / (f - n), z);
}
"""

GEOMETRY_FRAGMENT = """
#version 330
in vec3 position;
in vec3 normal;
flat in vec4 kind;
layout(location = 0) out vec4 out_geometry;  // unit normal, depth in metres
layout(location = 1) out float out_part;
void main() {
    vec3 n = normalize(normal);
    n = dot(n, position) > 0.0 ? -n : n;
    out_geometry = vec4(n, position.z);
    out_part = kind.y / 255.0;
}
"""

COVERAGE_FRAGMENT = """
#version 330
flat in vec4 kind;
layout(location = 0) out vec4 out_hands;
void main() {
    out_hands = vec4(kind.y == 1.0, kind.y == 2.0, 0.0, 0.0);
}
"""

SHADOW_VERTEX = """
#version 330
in vec3 in_position;
uniform mat4 u_shadow_from_cam;
void main() {
    gl_Position = u_shadow_from_cam * vec4(in_position, 1.0);
}
"""

SHADOW_FRAGMENT = """
#version 330
void main() {}
"""

COLOR_FRAGMENT = """
#version 330
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec3 tint;
in vec3 second;
in vec4 zones;
in vec3 shadow_position;
flat in vec4 kind;
layout(location = 0) out vec4 out_color;

uniform sampler2D u_skin;
uniform sampler2D u_noise;
uniform sampler2DShadow u_shadow_map;
uniform vec3 u_irradiance[9];
uniform mat3 u_env_from_cam;
uniform float u_ambient;
uniform vec3 u_lamp_direction[2];
uniform vec3 u_lamp_color[2];
uniform float u_shadow;
uniform vec3 u_dorsal[2];
uniform vec3 u_palmar[2];
uniform vec3 u_texture_mean;
uniform vec2 u_offset;
uniform vec4 u_look;   // contrast, blush, mottle, mottle scale
uniform vec4 u_gloss;  // bump, roughness, specular, exposure
uniform vec3 u_scatter;

vec3 irradiance(vec3 n) {
    vec3 d = u_env_from_cam * n;
    vec3 e = u_irradiance[0] * 0.282095
        + 0.488603 * (u_irradiance[1] * d.y + u_irradiance[2] * d.z
                      + u_irradiance[3] * d.x)
        + 1.092548 * (u_irradiance[4] * d.x * d.y + u_irradiance[5] * d.y * d.z
                      + u_irradiance[7] * d.x * d.z)
        + u_irradiance[6] * 0.315392 * (3.0 * d.z * d.z - 1.0)
        + u_irradiance[8] * 0.546274 * (d.x * d.x - d.y * d.y);
    return max(e, vec3(0.02)) * u_ambient;
}

// Bump mapping without tangents (Mikkelsen 2010): height in metres.
vec3 bumped(vec3 n, float height) {
    vec3 dx = dFdx(position), dy = dFdy(position);
    vec3 r1 = cross(dy, n), r2 = cross(n, dx);
    float det = dot(dx, r1);
    vec3 gradient = sign(det) * (dFdx(height) * r1 + dFdy(height) * r2);
    vec3 turned = abs(det) * n - gradient;
    return dot(turned, turned) > 0.0 ? normalize(turned) : n;
}

float fifth(float x) {
    float x2 = x * x;
    return max(x2 * x2 * x, 0.0);
}

float pattern(float which, vec2 p) {
    vec2 width = max(fwidth(p), vec2(1e-4));
    vec2 wave = clamp((abs(fract(p) - 0.5) - 0.25) / width + 0.5, 0.0, 1.0);
    wave = mix(wave, vec2(0.5), smoothstep(0.4, 1.0, width));
    if (which == 1.0) return wave.y;
    if (which == 2.0) return 0.5 * (wave.x + wave.y);
    if (which == 3.0) return texture(u_noise, p / 16.0).r;
    if (which == 4.0) return 1.0 - smoothstep(0.25, 0.35, length(fract(p) - 0.5));
    return 0.0;
}

void main() {
    vec3 n = normal / max(length(normal), 1e-6);
    vec3 view = -normalize(position);
    n = dot(n, view) < 0.0 ? -n : n;
    vec3 albedo, scatter = vec3(0.0);
    float roughness, specular;
    vec2 place = position.xy + position.z * vec2(0.6, -0.8) + 0.37 * kind.z;
    vec4 grain = texture(u_noise, place * 3.1 * u_look.w + u_offset);
    if (kind.x < 2.0) {
        vec3 detail = tint;
        if (kind.x == 0.0)
            detail = pow(texture(u_skin, uv).rgb, vec3(2.2)) / u_texture_mean;
        detail = pow(max(detail, vec3(0.02)), vec3(u_look.x));
        int side = int(kind.z);
        albedo = mix(u_dorsal[side], u_palmar[side], zones.y) * detail;
        albedo *= 1.0 + u_look.z * (grain.r - 0.5);
        albedo *= 1.0 + u_look.z * (grain.b - 0.5) * vec3(0.0, 0.8, 0.6);
        albedo *= 1.0 - u_look.y * zones.z * vec3(-0.05, 0.36, 0.3);
        float tone = dot(detail, vec3(0.2, 0.6, 0.2));
        n = bumped(n, u_gloss.x * (0.0012 * tone + 0.0003 * grain.g));
        roughness = u_gloss.y * (0.85 + 0.3 * grain.g);
        specular = 0.028 * u_gloss.z;
        scatter = u_scatter;
    } else {
        albedo = mix(tint, second, pattern(kind.w, uv));
        albedo *= 0.8 + 0.4 * grain.r;
        roughness = mix(0.8, 0.25, zones.w);
        specular = 0.06 * zones.w;
    }
    float facing = max(dot(n, view), 0.0);
    // samples beside a triangle extrapolate: keep zones in range
    float ambient = clamp(zones.x, 0.0, 1.0);
    // light that enters nearby fills creases, red most
    vec3 filled = 2.0 * scatter * ambient * (1.0 - ambient);
    vec3 light = irradiance(n) * mix(vec3(ambient), vec3(1.0), filled);
    float rim = fifth(1.0 - facing);
    vec3 shine = irradiance(reflect(-view, n)) * ambient
        * (specular + (max(1.0 - roughness, specular) - specular) * rim * 0.5);
    float exponent = 2.0 / (roughness * roughness * roughness * roughness) - 2.0;
    for (int k = 0; k < 2; ++k) {
        float cosine = dot(n, u_lamp_direction[k]);
        float lit = 1.0;
        if (k == 0) {
            float open = texture(u_shadow_map, shadow_position - vec3(0, 0, 0.003));
            lit = 1.0 - u_shadow * (1.0 - open) * smoothstep(-0.05, 0.2, cosine);
        } else {
            lit = ambient;
        }
        vec3 spread = 1.0 + scatter;
        vec3 wrapped = max((cosine + scatter) / (spread * spread), 0.0);
        light += u_lamp_color[k] * wrapped * lit;
        vec3 middle = normalize(view + u_lamp_direction[k]);
        float fresnel = specular
            + (1.0 - specular) * fifth(1.0 - dot(view, middle));
        shine += u_lamp_color[k] * lit * max(cosine, 0.0) * fresnel
            * (exponent + 8.0) / 8.0 * pow(max(dot(n, middle), 0.0), exponent);
    }
    out_color = vec4((albedo * light + shine) * u_gloss.w, 1.0);
}
"""

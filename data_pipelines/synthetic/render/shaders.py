"""The GLSL programs: colour, geometry (depth, label, normals), coverage, shadow."""

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

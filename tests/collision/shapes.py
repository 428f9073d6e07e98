"""Small meshes with known answers."""

import numpy as np


def sphere(
    rings: int, radius: float, center: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """A closed latitude-longitude sphere with outward faces."""
    segments = 2 * rings
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    around = np.arange(segments) / segments * 2 * np.pi
    grid = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(around),
            np.sin(polar)[:, None] * np.sin(around),
            np.broadcast_to(np.cos(polar)[:, None], (rings - 1, segments)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    vertices = np.concatenate([grid, [[0, 0, 1.0]], [[0, 0, -1.0]]])
    top, bottom = len(grid), len(grid) + 1
    faces = []
    for s in range(segments):
        t = (s + 1) % segments
        faces.append([top, s, t])
        last = (rings - 2) * segments
        faces.append([bottom, last + t, last + s])
        for r in range(rings - 2):
            a, b = r * segments + s, r * segments + t
            c, d = a + segments, b + segments
            faces += [[a, c, d], [a, d, b]]
    return vertices * radius + np.asarray(center), np.asarray(faces)


def lens_volume(radius: float, distance: float) -> float:
    """Volume shared by two spheres of one radius."""
    return np.pi * (4 * radius + distance) * (2 * radius - distance) ** 2 / 12

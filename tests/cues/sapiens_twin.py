"""Sapiens' whole way from picture to cues in PyTorch, OpenCV and numpy.

Written from the method's description, not from ``twohand_jax``: one picture and one map
at a time, in float64 where it matters.
"""

import cv2
import numpy as np

from tests.weights.tiny_sapiens import run_torch


def blurred(heatmap, border=5):
    wide = np.pad(heatmap.astype(np.float32), border)
    smooth = cv2.GaussianBlur(wide, (11, 11), 0)[border:-border, border:-border]
    return smooth * (heatmap.max() / smooth.max())


def peak(heatmap):
    """A map's maximum, moved by a Newton step where that leads to a peak near by."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    log = np.log(np.clip(blurred(heatmap), 1e-3, 50)).astype(np.float64)
    n = np.pad(log, 1, mode="edge")[y : y + 3, x : x + 3]
    slope = np.array([n[1, 2] - n[1, 0], n[2, 1] - n[0, 1]]) / 2
    mixed = (
        n[2, 2] - n[1, 2] - n[2, 1] + 2 * n[1, 1] - n[1, 0] - n[0, 1] + n[0, 0]
    ) / 2
    curve = [[n[1, 2] - 2 * n[1, 1] + n[1, 0], mixed]]
    curve = np.array([*curve, [mixed, n[2, 1] - 2 * n[1, 1] + n[0, 1]]])
    if np.linalg.eigvalsh(curve).max() > -1e-6:
        return np.array([x, y], float)
    step = -np.linalg.solve(curve, slope)
    return np.array([x, y]) + (step if np.abs(step).max() <= 2 else 0)


def grown(box, size, margin):
    """First corner and extent of a box, grown to the input's aspect ratio."""
    extent = margin * (box[2:] - box[:2])
    aspect = size[1] / size[0]
    if extent[0] > extent[1] * aspect:
        extent = np.array([extent[0], extent[0] / aspect])
    else:
        extent = np.array([extent[1] * aspect, extent[1]])
    return (box[:2] + box[2:]) / 2 - extent / 2, extent


def maps_of(module, image, T, size):
    """What the PyTorch network makes of a part of the picture."""
    crop = cv2.warpAffine(image, T, size[::-1], flags=cv2.INTER_LINEAR)
    mean, std = np.array([123.5, 116.5, 103.5]), np.array([58.5, 57.0, 57.5])
    return run_torch(module, ((crop - mean) / std).astype(np.float32)[None])[0]


def keypoints(module, image, box, size, order):
    """x, y and score of the keypoints in ``order``, in picture pixels."""
    low, extent = grown(box, size, 1.25)
    scale = (np.array(size[::-1]) - 1) / extent
    T = np.array([[scale[0], 0, -scale[0] * low[0]], [0, scale[1], -scale[1] * low[1]]])
    maps = maps_of(module, image, T, size)
    cells = np.array([maps.shape[1] - 1, maps.shape[0] - 1])
    found = []
    for index in order:
        heatmap = maps[..., index]
        score = heatmap.max()
        point = low + peak(heatmap) / cells * extent if score > 0 else np.zeros(2)
        found.append([*point, max(score, 0.0)])
    return np.array(found)


def planes(module, image, size):
    """Maps of a whole picture, stretched by PyTorch over the part that was looked at.

    The picture's aspect ratio must be the input's.
    """
    import torch

    height, width = image.shape[:2]
    scale = np.array([size[1] / width, size[0] / height])
    T = np.array([[scale[0], 0, 0], [0, scale[1], 0]])
    T[:, 2] = (scale - 1) / 2
    maps = torch.tensor(maps_of(module, image, T, size)).permute(2, 0, 1)[None]
    wide = torch.nn.functional.interpolate(maps, size=(height, width), mode="bilinear")
    return wide[0].numpy()

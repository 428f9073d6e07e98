"""InterWild in PyTorch, from a picture to joints, written from its paper and layout.

Names of the modules are those of its checkpoints. Sizes are free, so that a small one
is quick; the released ones are the defaults.
"""

import pickle
from pathlib import Path

import smplx
import torch
from torch import nn
from torch.nn import functional

from tests.models import reference

PICTURE = (512, 384)
TIPS = (745, 317, 445, 556, 673)
# Wrist, thumb, index, middle, ring and pinky among MANO's joints and then the tips.
ORDER = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)


def resnet(depths, bottleneck, width):
    net = reference.ResNet(depths, bottleneck, width, classes=1)
    channels = net.fc.in_features
    del net.fc
    return net, channels


def sampled(maps, cells):
    """Bilinear samples ``b n c`` at cells x, y; zero outside."""
    height, width = maps.shape[2:]
    ends = torch.tensor([width - 1, height - 1], dtype=maps.dtype)
    grid = (2 * cells / ends - 1)[:, :, None]
    found = functional.grid_sample(maps, grid, align_corners=True)
    return found[..., 0].transpose(1, 2)


def expected_cells(heat):
    """Mean cell of heat maps ``b k ...``, x first."""
    flat = heat.flatten(2).softmax(-1).reshape(heat.shape)
    axes = range(2, heat.ndim)
    found = []
    for axis in reversed(axes):
        marginal = flat.sum([other for other in axes if other != axis])
        found.append((marginal * torch.arange(heat.shape[axis])).sum(-1))
    return torch.stack(found, -1)


def axis_angle(rotation):
    """Logarithm of rotation matrices that are no half turns."""
    cosine = ((rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    angle = cosine.double().arccos()[..., None]
    skew = (rotation - rotation.mT).double()
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    return (angle * functional.normalize(axis, dim=-1)).float()


def matrix_6d(rows):
    first, second = functional.normalize(rows[..., :3], dim=-1), rows[..., 3:]
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -2)


class BoxNet(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        layers = []
        for inputs in (channels, width, width):
            up = nn.ConvTranspose2d(inputs, width, 4, 2, 1, bias=False)
            layers += [up, nn.BatchNorm2d(width), nn.ReLU()]
        self.deconv = nn.Sequential(*layers)
        self.bbox_center = nn.Sequential(nn.Conv2d(width, 2, 1))
        for name in ("rhand_size", "lhand_size"):
            parts = nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
            self.add_module(name, nn.Sequential(*parts))

    def forward(self, features):
        """Centres and sizes of both boxes, and the share of the heat map there."""
        maps = self.deconv(features)
        heat = self.bbox_center(maps)
        center = expected_cells(heat)
        seen = sampled(maps, center)
        size = [self.rhand_size(seen[:, 0]), self.lhand_size(seen[:, 1])]
        share = heat.flatten(2).softmax(-1).reshape(heat.shape)
        score = sampled(share, center).diagonal(dim1=1, dim2=2)
        return center, torch.stack(size, 1), score


class TransNet(nn.Module):
    def __init__(self, grid, width, depths):
        super().__init__()
        self.grid = grid
        self.backbone, channels = resnet(depths, False, width)
        first = nn.Conv2d(42 * grid, width, 3, padding=1)
        self.conv = nn.Sequential(first, nn.BatchNorm2d(width))
        self.fc = nn.Sequential(nn.Linear(2 * (channels + 2), 3))

    def forward(self, joints):
        """From ``b 2 21 3``: pixels, and depths as shares of the heat map."""
        low, high = joints[..., :2].amin(2), joints[..., :2].amax(2)
        middle, half = (low + high) / 2, 0.6 * (high - low)
        low, high = (middle - half).amin(1), (middle + half).amax(1)
        side = (high - low).amax(1, keepdim=True)
        corner = (low + high - side) / 2
        flat = (joints[..., :2] - corner[:, None, None]) / side[:, None, None]
        cells = torch.cat([flat, joints[..., 2:]], -1) * self.grid
        profiles = torch.exp(
            -(((torch.arange(self.grid) - cells[..., None]) / 2.5) ** 2) / 2
        )
        maps = 255 * torch.einsum("bhjz,bhjy,bhjx->bhjzyx", *profiles.unbind(3)[::-1])
        x = torch.relu(self.conv(maps.flatten(1, 3)))
        for stage in range(4):
            x = getattr(self.backbone, f"layer{stage + 1}")(x)
        wrists = cells[:, :, 0, :2] / 8
        return self.fc(torch.cat([sampled(x, wrists), wrists], -1).flatten(1))


class InterWild(nn.Module):
    def __init__(
        self,
        hand_model=None,
        *,
        depths=(3, 4, 6, 3),
        width=64,
        trans=((2, 2, 2, 2), 64),
        squeezed=512,
        box_width=256,
        cells=8,
        grid=64,
    ):
        super().__init__()
        self.cells, self.side = cells, 32 * cells
        self.body_backbone, channels = resnet(depths, True, width)
        self.body_box_net = BoxNet(channels, box_width)
        self.hand_roi_net = nn.Module()
        self.hand_roi_net.backbone, _ = resnet(depths, True, width)
        self.hand_position_net = nn.Module()
        self.hand_position_net.conv = nn.Sequential(nn.Conv2d(channels, 21 * cells, 1))
        rotation = self.hand_rotation_net = nn.Module()
        rotation.conv = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.BatchNorm2d(squeezed)
        )
        flat = 21 * (squeezed + 3)
        for name, sizes in {
            "root_pose_out": (flat, 6),
            "pose_out": (flat, 90),
            "shape_out": (channels, 10),
            "cam_out": (channels, 3),
        }.items():
            rotation.add_module(name, nn.Sequential(nn.Linear(*sizes)))
        self.hand_trans_net = TransNet(grid, trans[1], trans[0])
        self.hands = [] if hand_model is None else _hands(hand_model)

    def forward(self, picture):
        """From an RGB picture ``1 3 512 384`` in [0, 1]; hands right and left."""
        body = functional.interpolate(picture, scale_factor=0.5, mode="bilinear")
        middle, size, score = self.body_box_net(self.body_backbone(body))
        middle, size = 8 * middle[0], 8 * size[0]
        scale = self.side / (2 * size.amax(-1))
        crops = [
            _crop(picture, m, s, self.side) for m, s in zip(middle, scale, strict=True)
        ]
        crops[1] = crops[1].flip(3)
        maps = self.hand_roi_net.backbone(torch.cat(crops))
        joints, pose, shape, camera = self._heads(maps)
        pixels = joints[..., :2] / self.cells * self.side
        mirror = torch.tensor([1.0, -1.0])
        pixels[1] = torch.tensor([self.side - 1.0, 0.0]) + mirror.flip(0) * pixels[1]
        pixels = (pixels - self.side / 2) / scale[:, None, None] + middle[:, None]
        depths = joints[..., 2:] / self.cells
        between = self.hand_trans_net(torch.cat([pixels, depths], -1)[None])[0]
        pose[1] *= torch.tensor([1.0, -1.0, -1.0])
        camera[1, 0] *= -1
        meshes, posed = self._posed(pose, shape)
        place = camera[:, :2] / camera[:, 2:] * 5000 + self.side / 2
        return {
            "boxes": torch.cat([middle - size / 2, middle + size / 2], -1),
            "score": score[0],
            "joints_px": pixels,
            "pose": pose,
            "shape": shape,
            "rel_trans": between,
            "vertices": meshes,
            "joints": posed,
            "depth": camera[:, 2] * scale / 5000,
            "wrist_px": (place - self.side / 2) / scale[:, None] + middle,
        }

    def _heads(self, maps):
        logits = self.hand_position_net.conv(maps)
        shape = (len(maps), 21, self.cells, *maps.shape[2:])
        joints = expected_cells(logits.reshape(shape))
        net = self.hand_rotation_net
        seen = sampled(torch.relu(net.conv(maps)), joints[..., :2])
        flat = torch.cat([seen, joints], -1).flatten(1)
        rows = torch.cat([net.root_pose_out(flat), net.pose_out(flat)], -1)
        pose = axis_angle(matrix_6d(rows.reshape(len(maps), 16, 6)))
        mean = maps.mean((2, 3))
        camera = net.cam_out(mean)
        reach = 5000 * 0.6 / self.side
        camera = torch.cat([camera[:, :2], reach * camera[:, 2:].sigmoid()], -1)
        return joints, pose, net.shape_out(mean), camera

    def _posed(self, pose, shape):
        """Surfaces and regressed joints, both about the wrist."""
        meshes, posed = [], []
        for hand, angles, betas in zip(self.hands, pose, shape, strict=True):
            found = hand(
                betas=betas[None],
                global_orient=angles[None, 0],
                hand_pose=angles[None, 1:].flatten(1),
                transl=torch.zeros(1, 3),
            ).vertices[0]
            joints = torch.cat([hand.J_regressor @ found, found[list(TIPS)]])
            meshes.append(found - joints[0])
            posed.append(joints[list(ORDER)] - joints[0])
        return torch.stack(meshes), torch.stack(posed)


def _hands(folder):
    hands = []
    for name in ("MANO_RIGHT.pkl", "MANO_LEFT.pkl"):
        hand = smplx.MANO(
            str(folder / name),
            is_rhand="RIGHT" in name,
            use_pca=False,
            flat_hand_mean=False,
        )
        hands.append(hand)
    return hands


def _crop(picture, middle, scale, side):
    """The square about ``middle``, which falls on pixel ``side / 2``."""
    ticks = (torch.arange(side) - side / 2) / scale
    y, x = torch.meshgrid(ticks + middle[1], ticks + middle[0], indexing="ij")
    ends = torch.tensor([picture.shape[3] - 1.0, picture.shape[2] - 1.0])
    grid = 2 * torch.stack([x, y], -1) / ends - 1
    return functional.grid_sample(picture, grid[None], align_corners=True)


def random_peer(hand_model=None, **sizes):
    """A network of random weights whose boxes, hands and places are of a usual size."""
    net = reference.randomised(InterWild(hand_model, **sizes))
    with torch.no_grad():
        for name in ("rhand_size", "lhand_size"):
            last = getattr(net.body_box_net, name)[2]
            last.weight *= 0.2
            last.bias.copy_(torch.tensor([12.0, 17.0]))
        net.body_box_net.bbox_center[0].weight *= 2
        rotation = net.hand_rotation_net
        rotation.pose_out[0].bias.copy_(torch.tensor([9.0, 0, 0, 0, 9, 0]).repeat(15))
        rotation.shape_out[0].weight *= 0.3
        for part in (rotation.cam_out[0], net.hand_trans_net.fc[0]):
            part.weight *= 0.03
            part.bias *= 0.2
    return net.eval()


def snapshot(net, path: Path) -> Path:
    """A checkpoint as InterWild's training saves it."""
    weights = {f"module.{name}": value for name, value in net.state_dict().items()}
    moments = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1}]}
    torch.save({"epoch": 6, "network": weights, "optimizer": moments}, path)
    return path


def hostile(path: Path, marker: Path) -> Path:
    """A pickle that would make a file if it were loaded without care."""

    class Evil:
        def __reduce__(self):
            return (Path.touch, (marker,))

    path.write_bytes(pickle.dumps({"network": Evil()}))
    return path

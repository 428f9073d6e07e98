"""What is in a record set: counts, validity rates, provenance, and a contact sheet."""

import dataclasses
from collections import Counter
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from twohand_jax import mano
from twohand_jax.data import images, schema
from twohand_jax.data.decode import Fields, Rows
from twohand_jax.types import ManoModel, ManoParams
from twohand_jax.viz import contact_sheet

TEXTS = ("dataset", "hand_type", "subset", "mano/model")
FLAGS = tuple(feature.name for feature in schema.FEATURES if feature.dtype is np.bool_)


@dataclasses.dataclass
class Summary:
    """Sums over the records of a split.

    ``model`` poses the parameters of the records that were made with it.
    """

    model: ManoModel
    records: int = 0
    texts: dict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: {name: Counter() for name in TEXTS}
    )
    sources: dict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: {cue: Counter() for cue in schema.CUES}
    )
    flags: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    reprojection_px: list[np.ndarray] = dataclasses.field(default_factory=list)
    posing_mm: list[np.ndarray] = dataclasses.field(default_factory=list)
    box_px: list[np.ndarray] = dataclasses.field(default_factory=list)

    def add(self, rows: Rows) -> None:
        """Count a batch of parsed records."""
        fields = {name: value[rows.usable] for name, value in rows.fields.items()}
        self.records += int(rows.usable.sum())
        for name, counter in self.texts.items():
            counter.update(text.decode() for text in fields[name])
        for cue, counter in self.sources.items():
            pairs = zip(
                fields[f"cues/{cue}_source"],
                fields[f"cues/{cue}_version"],
                fields[f"cues/has_{cue}"],
                strict=True,
            )
            counter.update(
                f"{source.decode()} {version.decode()}" if there else "absent"
                for source, version, there in pairs
            )
        for name in FLAGS:
            sums = fields[name].sum(axis=0)
            self.flags[name] = self.flags.get(name, 0) + sums
        self.sizes.update(
            zip(fields["width"].tolist(), fields["height"].tolist(), strict=True)
        )
        self.reprojection_px.append(reprojection_errors(fields))
        self.posing_mm.append(posing_errors_mm(fields, self.model))
        box = fields["hands/box"][fields["hands/valid"] > 0]
        self.box_px.append((box[:, 2:] - box[:, :2]).max(axis=-1))

    def text(self) -> str:
        """The summary in lines for a terminal."""
        lines = [f"{self.records} records"]
        for name, counter in self.texts.items():
            lines.append(f"{name}: {_shares(counter, self.records)}")
        for cue, counter in self.sources.items():
            lines.append(f"{cue} cue: {_shares(counter, self.records)}")
        sizes = Counter({f"{w} x {h}": count for (w, h), count in self.sizes.items()})
        lines.append(f"pictures: {_shares(sizes, self.records)}")
        for name, sums in self.flags.items():
            if not name.startswith("cues/"):
                lines.append(f"{name}: {_rates(np.asarray(sums), self.records)}")
        lines.append(f"hand boxes, px: {_quantiles(self.box_px)}")
        lines.append(f"3D joints projected, px off: {_quantiles(self.reprojection_px)}")
        lines.append(
            f"parameters posed by {self.model.name}, mm off the 3D joints: "
            f"{_quantiles(self.posing_mm)}"
        )
        return "\n".join(lines)


def reprojection_errors(fields: Fields) -> np.ndarray:
    """Distance in pixels of each projected 3D joint from its 2D joint, where known."""
    points = fields["hands/joints_3d"]
    focal = fields["camera/focal"][:, None, None]
    center = fields["camera/center"][:, None, None]
    projected = points[..., :2] / np.maximum(points[..., 2:], 1e-3) * focal + center
    error = np.linalg.norm(projected - fields["hands/joints_2d"], axis=-1)
    known = fields["hands/joints_3d_valid"] * fields["hands/joints_2d_valid"]
    return error[(known * fields["camera/valid"][:, None, None]) > 0]


def posing_errors_mm(fields: Fields, model: ManoModel) -> np.ndarray:
    """Distance of each posed joint from its 3D joint, where both are known.

    Records made with another hand model are left out.
    """
    names = ("global_orient", "hand_pose", "betas", "transl")
    params = ManoParams(*(jnp.asarray(fields[f"mano/{name}"]) for name in names))
    posed = np.asarray(_joints(model, params))
    error_mm = 1000 * np.linalg.norm(posed - fields["hands/joints_3d"], axis=-1)
    known = (fields["mano/valid"][..., None] * fields["hands/joints_3d_valid"]) > 0
    own = fields["mano/model"] == model.name.encode()
    return error_mm[known & own[:, None, None]]


@jax.jit
def _joints(model: ManoModel, params: ManoParams) -> Float[Array, "*b 2 21 3"]:
    return mano.forward(model, params).joints


def sheet(
    batches: Iterable[Rows], *, count: int, columns: int = 2
) -> UInt8[np.ndarray, "h w 3"]:
    """Contact sheet of the first ``count`` records."""
    tiles: list[np.ndarray] = []
    for rows in batches:
        for row in np.flatnonzero(rows.usable)[: count - len(tiles)]:
            tiles.append(_tile(rows.fields, int(row)))
        if len(tiles) >= count:
            break
    return contact_sheet.grid(tiles, columns=columns)


def _tile(fields: Fields, row: int) -> np.ndarray:
    image = images.decode_jpeg(fields["image"][row])
    labels = np.zeros(image.shape[:2], np.uint8)
    depth = np.zeros(image.shape[:2], np.float32)
    if fields["cues/has_segmentation"][row]:
        labels = images.decode_map(fields["cues/segmentation"][row])
    if fields["cues/has_depth"][row]:
        depth = images.depth_from_levels(
            images.decode_map(fields["cues/depth"][row]),
            scale=float(fields["cues/depth_scale"][row]),
            offset=float(fields["cues/depth_offset"][row]),
        )
    found = fields["cues/keypoints"][row] * fields["cues/has_keypoints"][row]
    caption = [fields[name][row].decode() for name in ("image_id", "subset")]
    return contact_sheet.record_tile(
        image,
        labels,
        depth,
        fields["hands/joints_2d"][row],
        fields["hands/joints_2d_valid"][row] > 0,
        found,
        caption=" ".join(caption),
    )


def _shares(counter: Counter[str], total: int) -> str:
    return ", ".join(
        f"{name} {count / max(total, 1):.1%}" for name, count in counter.most_common(12)
    )


def _rates(sums: np.ndarray, total: int) -> str:
    """One rate, or one for each hand."""
    if sums.ndim == 0:
        return f"{sums / max(total, 1):.1%}"
    per_hand = sums.reshape(2, -1).mean(axis=-1) / max(total, 1)
    return f"right {per_hand[0]:.1%}, left {per_hand[1]:.1%}"


def _quantiles(values: list[np.ndarray]) -> str:
    joined = np.concatenate(values) if values else np.zeros(0)
    if not len(joined):
        return "none"
    low, middle, high, top = np.quantile(joined, [0.05, 0.5, 0.95, 1.0])
    return f"5 % {low:.3g}, median {middle:.3g}, 95 % {high:.3g}, largest {top:.3g}"

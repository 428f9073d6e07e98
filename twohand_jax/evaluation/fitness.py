"""Which protocol fits which dataset, known before any network has run."""

from twohand_jax.errors import InputError
from twohand_jax.evaluation.protocols import PROTOCOLS, Protocol

FLAT = "has no 3D labels"
ONE_HAND = "shows one right hand a picture"
# Datasets of which some protocol can find nothing to compare, and the reason.
ONE_HANDED = {"freihand": ONE_HAND, "ho3d": ONE_HAND}
UNLABELLED = {
    ("coco_wholebody", "train"): FLAT,
    ("coco_wholebody", "test"): FLAT,
    ("ho3d", "test"): "keeps joints and meshes of its evaluation split to its server",
}
OWN_PROTOCOL = {"freihand": "freihand", "ho3d": "ho3d", "hic": "hic"}


def check(protocol: Protocol, *, dataset: str, split: str) -> None:
    """Refuse a protocol that would find nothing to compare in a dataset.

    Args:
        protocol: what is to be computed.
        dataset: name of the set in its metadata, such as ``freihand``.
        split: name of the split.

    Raises:
        InputError: the labels that the protocol needs do not exist.
    """
    reason = UNLABELLED.get((dataset, split))
    if reason is not None:
        hint = (
            "write the estimates for the server instead, with --submission."
            if dataset in PROTOCOLS and PROTOCOLS[dataset].submission
            else "choose a record set with 3D labels."
        )
    elif protocol.two_hands and dataset in ONE_HANDED:
        reason = ONE_HANDED[dataset]
        hint = f"choose --protocol {OWN_PROTOCOL[dataset]} or wrist."
    if reason is not None:
        raise InputError(
            f"Protocol {protocol.name!r} compares {protocol.counts}, but {dataset} "
            f"({split}) {reason}: {hint}"
        )

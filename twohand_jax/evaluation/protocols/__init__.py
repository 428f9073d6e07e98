"""The protocols of METHOD §7 by name. A new one is an entry beside its comparison.

Each module lists its protocols in ``PROTOCOLS``; all that depends on a protocol is in
its entry (``base.Protocol``), so that nothing else asks for its name.
"""

from collections.abc import Mapping

from twohand_jax.errors import InputError, did_you_mean
from twohand_jax.evaluation.protocols import photographs, single_hand, two_hands
from twohand_jax.evaluation.protocols.base import (
    DatasetLabels,
    MetricValues,
    Protocol,
    Server,
    ServerPoints,
    check_shapes,
    metric_values,
    reduced_means,
)

__all__ = (
    "LABELS",
    "PROTOCOLS",
    "DatasetLabels",
    "MetricValues",
    "ServerPoints",
    "Protocol",
    "Server",
    "check_fit",
    "check_shapes",
    "default",
    "reduced_means",
    "get",
    "metric_values",
    "server",
)

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        *two_hands.PROTOCOLS,
        *single_hand.PROTOCOLS,
        *photographs.PROTOCOLS,
    )
}
GENERAL = two_hands.PROTOCOLS[0].name
_FLAT = "has no 3D labels"
# Datasets without a protocol of their own of whose labels something must be said.
_OTHERS = (
    DatasetLabels(
        dataset="coco_wholebody",
        withheld=dict.fromkeys(("train", "val", "test"), _FLAT),
    ),
)
LABELS: Mapping[str, DatasetLabels] = {
    labels.dataset: labels
    for labels in (*(protocol.labels for protocol in PROTOCOLS.values()), *_OTHERS)
    if labels is not None
}


def get(name: str) -> Protocol:
    """Protocol by name.

    Raises:
        InputError: there is no protocol of this name.
    """
    if name not in PROTOCOLS:
        raise InputError(
            f"There is no protocol {name!r}{did_you_mean(name, PROTOCOLS)}; choose "
            f"from {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]


def default(dataset: str) -> Protocol:
    """A dataset's own protocol, or ``wrist`` if it has none.

    Args:
        dataset: name of the set in its metadata.
    """
    for protocol in PROTOCOLS.values():
        if protocol.labels is not None and protocol.labels.dataset == dataset:
            return protocol
    return PROTOCOLS[GENERAL]


def server(name: str) -> Server:
    """The server of the named protocol's benchmark.

    Raises:
        InputError: there is no such protocol, or it has no server.
    """
    found = get(name).server
    if found is None:
        known = [one.name for one in PROTOCOLS.values() if one.server is not None]
        raise InputError(
            f"Protocol {name!r} has no server to submit to; --submission goes with "
            f"--protocol {' or '.join(known)}."
        )
    return found


def check_fit(protocol: Protocol, *, dataset: str, split: str) -> None:
    """Refuse a protocol that would find nothing to compare in a dataset.

    Args:
        protocol: what is to be computed.
        dataset: name of the set in its metadata, such as ``freihand``.
        split: name of the split.

    Raises:
        InputError: the labels that the protocol needs do not exist.
    """
    labels = LABELS.get(dataset, DatasetLabels(dataset=dataset))
    reason = labels.withheld.get(split)
    if reason is not None:
        hint = (
            "write the estimates for the server instead, with --submission."
            if default(dataset).server is not None
            else "choose a record set with 3D labels."
        )
        raise InputError(
            f"Protocol {protocol.name!r} compares {protocol.counts}, but {dataset} "
            f"({split}) {reason}: {hint}"
        )

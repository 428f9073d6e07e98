"""Dataclasses from mappings: what fits, and the sentence for what does not."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import pytest

from twohand_jax import fields
from twohand_jax.errors import InputError
from twohand_jax.fields import FieldError, Range, dataclass_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    radius: float
    name: str = ""

    def __post_init__(self) -> None:
        fields.check(self, radius=fields.POSITIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square:
    side: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        if self.name == "circle":
            raise InputError("No square is a circle.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    kind: Literal["whole"] = "whole"
    parts: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Half:
    kind: Literal["half"] = "half"
    parts: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Everything:
    shape: Round | Square | None = None
    share: Whole | Half = Whole()
    pair: tuple[float, float] = (0.0, 1.0)
    many: tuple[int, ...] = ()
    places: str | tuple[Square, ...] = ""
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    mode: Literal["fast", "slow"] = "fast"
    flag: bool = False
    count: int = 0
    rate: float = 0.0
    label: str | None = None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"shape": {"radius": 2}}, Everything(shape=Round(radius=2.0))),
        ({"shape": {"side": 2.0}}, Everything(shape=Square(side=2.0))),
        ({"shape": None}, Everything()),
        ({"share": {"kind": "half"}}, Everything(share=Half())),
        ({"share": {"kind": "whole", "parts": 3}}, Everything(share=Whole(parts=3))),
        ({"pair": [1, 2.5]}, Everything(pair=(1.0, 2.5))),
        ({"many": [1, 2, 3]}, Everything(many=(1, 2, 3))),
        ({"places": "here"}, Everything(places="here")),
        ({"places": [{"side": 3}]}, Everything(places=(Square(side=3.0),))),
        ({"weights": {"a": 1, "b": 0.5}}, Everything(weights={"a": 1.0, "b": 0.5})),
        ({"mode": "slow", "flag": True}, Everything(mode="slow", flag=True)),
        ({"label": None, "rate": 3}, Everything(rate=3.0)),
    ],
)
def test_what_fits(values, expected):
    assert dataclass_of(Everything, values, "config") == expected


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"shap": 1}, "config has no field 'shap' (did you mean 'shape'?); its "),
        ({"shape": {"radius": 0}}, "config.shape.radius is 0.0; it must be above 0."),
        (
            {"shape": {"side": 1.0, "name": "circle"}},
            "config.shape: No square is a circle.",
        ),
        (
            {"shape": {"colour": 3}},
            "config.shape is {'colour': 3}, which fits none of Round (radius, name); "
            "Square (side, name).",
        ),
        (
            {"share": {"parts": 3}},
            "config.share is {'parts': 3}, which fits more than one of Whole (kind, ",
        ),
        ({"share": {"kind": "third"}}, "which fits none of Whole (kind, parts); Half"),
        ({"share": 3}, "config.share is 3, of type int; expected Whole or Half."),
        (
            {"pair": [1.0]},
            "config.pair is [1.0], of length 1; expected 2 entries.",
        ),
        ({"pair": [1, "b"]}, "config.pair[1] is 'b', of type str; expected float."),
        ({"many": 3}, "config.many is 3, of type int; expected tuple[int, ...]."),
        ({"places": [{"side": "x"}]}, "config.places[0].side is 'x', of type str"),
        (
            {"weights": {"a": "x"}},
            "weights.a is 'x', of type str; expected float.",
        ),
        (
            {"weights": {1: 2.0}},
            "A name in config.weights is 1, of type int",
        ),
        ({"weights": {"a": math.inf}}, "config.weights.a is inf; it must be a finite"),
        ({"mode": "zzz"}, "config.mode is 'zzz', of type str; expected fast or slow."),
        ({"flag": 1}, "config.flag is 1, of type int; expected bool."),
        ({"count": True}, "config.count is True, of type bool; expected int."),
        ({"rate": True}, "config.rate is True, of type bool; expected float."),
        ({"rate": math.nan}, "config.rate is nan; it must be a finite number."),
        ({"label": 3}, "config.label is 3, of type int; expected str or None."),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_the_fields_name(values, sentence):
    with pytest.raises(InputError) as caught:
        dataclass_of(Everything, values, "config")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_without_default_must_be_given():
    with pytest.raises(InputError, match="config.radius is missing"):
        dataclass_of(Round, {}, "config")


def test_a_dataclass_made_directly_names_itself():
    with pytest.raises(FieldError, match=r"^Round.radius is -1; it must be above 0\.$"):
        Round(radius=-1)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (fields.COUNT, [1, 7], [0, -1]),
        (fields.POSITIVE, [1e-9], [0.0, -1.0]),
        (fields.NOT_NEGATIVE, [0, 3.5], [-1e-9]),
        (fields.PROBABILITY, [0.0, 1.0], [1.0001, -0.1]),
        (fields.SHARE_BELOW_ONE, [0.0, 0.999], [1.0]),
        (Range(), [-1e300, 0], []),
        (fields.COUNT, [10**400], []),
    ],
)
def test_ranges(allowed, inside, outside):
    assert all(allowed.holds(value) for value in inside)
    wrong = [*outside, math.nan, math.inf, -math.inf]
    assert not any(allowed.holds(value) for value in wrong)


def test_each_number_of_a_tuple_or_mapping_is_checked():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Chances:
        values: object

        def __post_init__(self) -> None:
            fields.check(self, values=fields.PROBABILITY)

    for good in ((0.0, 1.0), {"a": 0.5}, None, 0.3):
        Chances(values=good)
    for bad in ((0.0, 1.1), {"a": -0.5}, 2.0):
        with pytest.raises(FieldError, match="values is .* at least 0 and at most 1"):
            Chances(values=bad)

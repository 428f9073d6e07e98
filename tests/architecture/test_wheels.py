"""Each core requirement has a wheel on each platform (``wheels.py`` has looked)."""

import json

import pytest
from packaging.requirements import Requirement

from tests.architecture import wheels

FOUND = json.loads(wheels.FOUND.read_text())


def test_what_was_looked_for_is_what_setup_cfg_requires():
    """Look again with ``python -m tests.architecture.wheels``."""
    assert [*FOUND] == wheels.requirements()


@pytest.mark.parametrize("platform", wheels.PLATFORMS)
def test_every_requirement_has_a_wheel(platform):
    for line, places in FOUND.items():
        assert places[platform].keys() == set(wheels.PYTHONS), line
        for version in places[platform].values():
            assert Requirement(line).specifier.contains(version), line

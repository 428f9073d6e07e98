"""``twohand doctor``: what it reports, and that it can find something broken."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.architecture.test_requirements import LIBRARY_EXTRAS
from tests.mano import fake_mano
from twohand_jax import extras, mano
from twohand_jax.cli import doctor
from twohand_jax.cli import main as cli
from twohand_jax.mano import twin
from twohand_jax.types import ManoParams


def test_it_knows_every_extra_of_the_library():
    assert set(extras.EXTRAS) == {*LIBRARY_EXTRAS, "notebooks"}


def test_versions_devices_extras_and_caches_are_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lost = extras.Extra("flying", ("no_such_package",))
    monkeypatch.setitem(extras.EXTRAS, "fly", lost)
    assert cli.main(["doctor", "--no-test"]) == 0
    told = capsys.readouterr().out
    assert f"jax          {jax.__version__}" in told and "(cpu)" in told
    assert (
        "fly          missing (no_such_package): flying; `python -m pip install" in told
    )
    assert str(tmp_path) in told
    assert "FAULT" not in told and "tests" not in told.splitlines()


def test_what_does_not_work_gives_exit_code_1(monkeypatch, capsys):
    def broken() -> doctor.Finding:
        raise OSError("no\nnetwork file")

    monkeypatch.setattr(doctor, "photograph", broken)
    monkeypatch.setattr(doctor, "PARITY_UM", 0.0)
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr()
    assert "FAULT: open-hand-1" in told.out
    assert "FAULT: OSError: no network file" in told.out
    assert "Something does not work: hand model, photograph." in told.err


@pytest.mark.slow
def test_the_demo_picture_is_reconstructed_where_its_hands_are(monkeypatch):
    found = doctor.photograph()
    assert not found.is_fault, found
    assert "wrists 0." in found.text


def test_the_twin_is_the_hand_model_in_other_words():
    """On a model of random arrays, where no term is small."""
    model, draw = fake_mano.random_model(0), np.random.default_rng(1)
    shapes = (2, 3), (2, 15, 3), (2, 10), (2, 3)
    params = ManoParams(*(draw.normal(0, 0.5, s).astype(np.float32) for s in shapes))
    found, plain = jax.jit(mano.forward)(model, params), twin.forward(model, params)
    for name, array in found._asdict().items():
        np.testing.assert_allclose(array, getattr(plain, name), atol=5e-6)
    moved = dataclasses.replace(model, weights=model.weights[:, ::-1])
    other = twin.forward(moved, params)
    assert abs(other.vertices - plain.vertices).max() > 1e-3

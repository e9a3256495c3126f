"""A little of tests/fuzz.py in every run, with a fixed seed; pictures and archives lie beside their other tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fuzz
from vae.bundles.registry import Registry
from vae.web.core import services

pytestmark = pytest.mark.filterwarnings("ignore")


def test_mutated_tables_end_in_our_own_refusal(tmp_path: Path) -> None:
    assert 10 < fuzz.tables(tmp_path, 400, seed=12) < 400


def test_mutated_bundles_end_in_our_own_refusal(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    assert fuzz.bundles(tmp_path, 96, 12, tiny_bundle) < 90


def test_senseless_requests_are_refused_and_nothing_breaks(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_HOME", str(tmp_path))
    monkeypatch.setattr(services, "registry", Registry([tiny_bundle.parent]))
    assert 0 < fuzz.requests(300, 12, tiny_bundle.name) < 300

"""The bundles of some folders, by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vae.bundles.contract import BundleError
from vae.bundles.folder import seal
from vae.bundles.registry import Registry, default_registry
from vae.paths import user_home

ROOT = Path(__file__).resolve().parents[2]


def test_registry_finds_new_bundles_and_keeps_the_good_beside_the_broken(tiny_bundle, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    registry = Registry([first, second])
    assert registry.names() == [] and registry.entries() == []
    shutil.copytree(tiny_bundle, second / "mine")
    assert registry.names() == ["mine"] and registry.get("mine") is registry.get("mine")
    (second / "bad").mkdir()
    (second / ".hidden").mkdir()
    entries = {e["name"]: e for e in registry.entries()}
    assert set(entries) == {"bad", "mine"} and "config.json" in entries["bad"]["broken"]
    assert entries["mine"]["latent_size"] == 2 and entries["mine"]["face"] is False and "broken" not in entries["mine"]
    with pytest.raises(BundleError, match="config.json"):
        registry.get("bad")
    for name in ("nobody", "../second/mine", ""):
        with pytest.raises(BundleError, match="no model"):
            registry.get(name)


def test_registry_opens_a_changed_bundle_anew(tiny_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "mine"))
    registry = Registry([tmp_path])
    old = registry.get("mine")
    seal(folder, {**old.config, "title": "Another title"})
    assert registry.get("mine").title == "Another title" and registry.get("mine") is not old
    (folder / "stats.npz").unlink()
    with pytest.raises(BundleError, match="missing"):
        registry.get("mine")


def test_a_second_bundle_of_the_same_name_is_told(tiny_bundle, tiny_style_bundle, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(tiny_bundle, first / "mine")
    shutil.copytree(tiny_style_bundle, second / "mine")
    registry = Registry([first, second])
    assert registry.names() == ["mine"] and registry.get("mine").levels == 0
    assert [("broken" in e) for e in registry.entries()] == [False, True]


def test_the_user_s_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("VAE_HOME", str(tmp_path))
    assert user_home() == tmp_path
    assert default_registry().folders == (ROOT / "assets" / "models", tmp_path / "models")
    monkeypatch.delenv("VAE_HOME")
    assert user_home().name == "latent-space-explorer"

"""Links outlive the names of models: the one that made a link opens it, whatever it is called by then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT, make_tiny_bundle
from vae.__main__ import main
from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.contract import BundleError, ExportError
from vae.bundles.folder import rename
from vae.bundles.registry import Registry
from vae.photos.sources import drawn_source
from vae.space import latent
from vae.web.blend import live as blend_live
from vae.web.core import services, state

OLD, NEW = "faces-128-v1", "faces-128"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The usual model under its old name, a newer one of other weights under the usual name, and another."""
    folder = tmp_path_factory.mktemp("models")
    rename(make_tiny_bundle(folder, "style", name=NEW), OLD)
    make_tiny_bundle(folder, "style", name=NEW, noise=True)
    shutil.copytree(folder / NEW, folder / "another")
    config = json.loads((folder / "another" / "config.json").read_text())
    (folder / "another" / "config.json").write_text(json.dumps({**config, "formerly": ["0123456789ab"]}))
    return folder


@pytest.fixture
def registry(models: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry([models])
    monkeypatch.setattr(services, "registry", made)
    return made


@pytest.fixture
def old(registry: Registry) -> Bundle:
    return registry.get(OLD)


def page(name: str, **query: str) -> AppTest:
    made = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=300)
    for key, value in {"plain": "1", **query}.items():
        made.query_params[key] = value
    made.run()
    assert not made.exception
    return made


def test_a_link_from_before_opens_the_model_that_made_it_with_a_note(old: Bundle) -> None:
    z = state.grid(latent.sample(old, 5, 0.7)[0], old)
    shown = page("explore", **{**state.link(old, z), "model": NEW})
    assert shown.session_state[state.KEY].model == OLD
    assert np.array_equal(shown.session_state[state.KEY].currents[OLD].z, z)
    assert [note.value for note in shown.info] == [
        f"This link was made with an earlier model; it is shown with Tiny style ({old.config['created']})."
    ]
    assert not shown.warning and shown.query_params["model"] == OLD
    shown.run()
    assert not shown.info  # it is said once


def test_a_link_of_now_opens_its_model_without_a_word(registry: Registry) -> None:
    for name in (NEW, OLD):
        bundle = registry.get(name)
        shown = page("explore", **state.link(bundle, state.grid(bundle.stats.mean, bundle)))
        assert shown.session_state[state.KEY].model == name and not shown.info and not shown.warning


def test_a_link_that_no_model_here_has_made_is_not_shown(old: Bundle) -> None:
    link = state.link(old, old.stats.mean)
    shown = page("explore", **{**link, "model": NEW, "hash": "0" * 12})
    assert shown.session_state[state.KEY].model == NEW and "another version" in shown.warning[0].value
    assert state.linked({**link, "hash": "0" * 12, "model": "gone"}, services.registry) == state.Linked("gone", False)
    assert state.linked({"model": NEW}, services.registry) == state.Linked(NEW, False)


def test_a_link_whose_name_is_gone_opens_by_its_hash(old: Bundle) -> None:
    meant = state.linked({"model": "faces", "hash": old.digest}, services.registry)
    assert meant.name == OLD and meant.same and "called \u201cfaces\u201d" in meant.note


def test_a_broken_model_of_the_name_does_not_hide_the_one_that_made_the_link(
    models: Path, tmp_path: Path, old: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NEW).mkdir()
    shutil.copytree(models / OLD, tmp_path / OLD)
    meant = state.linked({"model": NEW, "hash": old.digest}, Registry([tmp_path]))
    assert meant.name == OLD and meant.same and meant.note


def test_a_digest_of_former_days_counts_after_those_of_now(registry: Registry) -> None:
    assert registry.by_digest("0123456789ab").name == "another"
    assert registry.by_digest(registry.get(OLD).digest).name == OLD and registry.by_digest("f" * 12) is None
    assert state.linked({"model": "another", "hash": "0123456789ab"}, registry) == state.Linked("another", True)


def test_a_blend_s_link_from_before_is_rebuilt_with_the_model_that_made_it(old: Bundle) -> None:
    sources = [drawn_source(old, seed) for seed in (1, 2)]
    there = blend_live.Desk(old.digest, [blend_live.Person(s) for s in sources], np.full((old.levels, 2), 0.5))
    shown = page("blend", **{**blend_live.link(old, there), "model": NEW})
    here = shown.session_state["blend-desk"][OLD]
    assert len(here.people) == 2 and "earlier model" in here.notice
    assert np.abs(here.picture(old).astype(int) - there.picture(old)).max() <= 2


def test_the_usual_model_comes_first_and_opens_without_a_link(registry: Registry) -> None:
    assert state.choose(registry)[0] == [NEW, "another", OLD]
    assert page("explore").session_state[state.KEY].currents.keys() == {NEW}


# -- new names and additions


def test_a_renamed_bundle_is_the_same_in_all_but_its_name(tmp_path: Path, tiny_style_bundle: Path, capsys) -> None:
    folder = Path(shutil.copytree(tiny_style_bundle, tmp_path / "mine"))
    before = open_bundle(folder)
    words = ["rename", "--model", str(folder), "--to", "mine-v1", "--formerly", "0123456789ab", "ba9876543210"]
    assert main(words) == 0
    assert before.digest in capsys.readouterr().out
    after = open_bundle(tmp_path / "mine-v1")
    assert [path.name for path in tmp_path.iterdir()] == ["mine-v1"]
    assert after.digest == before.digest and after.formerly == ("0123456789ab", "ba9876543210")
    assert after.config["name"] == "mine-v1" and after.title == f"{before.title} ({before.config['created']})"
    assert after.metrics == before.metrics and after.eyes == before.eyes
    again = open_bundle(rename(after.path, "mine-v2"))
    assert again.title == after.title and again.formerly == after.formerly  # one day is enough
    assert open_bundle(rename(again.path, "mine-v3", "Mine")).title == "Mine"


def test_names_that_cannot_be_given_leave_the_bundle_alone(tmp_path: Path, tiny_style_bundle: Path) -> None:
    folder = Path(shutil.copytree(tiny_style_bundle, tmp_path / "mine"))
    (tmp_path / "taken").mkdir()
    for name, former, error, word in (
        ("a b", [], ExportError, "no name"), ("../b", [], ExportError, "no name"), ("taken", [], ExportError, "exists"),
        ("b", ["nonsense"], BundleError, "formerly"),
    ):  # fmt: skip
        with pytest.raises(error, match=word):
            rename(folder, name, formerly=former)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "taken"] and open_bundle(folder).name == "mine"


def test_links_outlive_an_addition_to_their_model(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path, "style", name="mine", width=0.125)
    before = open_bundle(folder).digest
    assert main(["distil", "--model", str(folder), "--steps", "2", "--batch", "4"]) == 0
    between = open_bundle(folder).digest
    assert main(["distil", "--model", str(folder), "--steps", "2", "--batch", "4", "--seed", "1"]) == 0
    after = open_bundle(folder)
    assert len({before, between, after.digest}) == 3 and after.formerly == (before, between)
    assert state.linked({"model": "mine", "hash": before}, Registry([tmp_path])) == state.Linked("mine", True)


@pytest.mark.parametrize("value", ["0123456789ab", [1], ["0123456789AB"], ["0123"], ["0123456789ab"] * 101, None, {}])
def test_former_digests_that_are_none_are_refused(tmp_path: Path, tiny_style_bundle: Path, value: object) -> None:
    folder = Path(shutil.copytree(tiny_style_bundle, tmp_path / "mine"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "formerly": value}))
    with pytest.raises(BundleError, match="mine/config.json has a 'formerly'"):
        open_bundle(folder)

"""The map's page without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT
from tests.space.lab import teach_tall
from vae.bundles.bundle import Bundle
from vae.bundles.registry import Registry
from vae.space import packing, taught
from vae.space.axes import bases


@pytest.fixture(scope="module")
def bundle(lab: Bundle) -> Bundle:
    return lab


@pytest.fixture
def page(home: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    from vae.web.core import services

    monkeypatch.setattr(services, "registry", Registry([bundle.path.parent]))
    test = AppTest.from_file(str(ROOT / "pages" / "atlas.py"), default_timeout=300)
    test.query_params["model"] = "lab"
    return test


def test_the_live_page_takes_over_the_picked_code(page: AppTest, bundle: Bundle) -> None:
    from vae.web.atlas import live as atlas_live
    from vae.web.core import state

    page.run()
    assert not page.exception
    here = page.session_state[state.KEY].currents["lab"]
    z = bundle.codes.mu[9]
    sent = {
        "z": packing.pack(z, bundle.stats),
        "revision": here.revision,
        "photo": None,
        "refined": True,
        "seed": None,
        "temperature": 0.7,
    }
    page.session_state[atlas_live.key_of(bundle)] = {"code": sent}
    page.run()
    assert not page.exception and here.z == pytest.approx(z, abs=1e-3)


def test_the_plain_view_shows_the_chart_and_goes_to_a_place(page: AppTest, bundle: Bundle) -> None:
    from vae.web.core import state

    page.query_params["plain"] = "1"
    page.run()
    assert not page.exception and len(page.get("plotly_chart")) == 1
    page.selectbox[1].set_value("raw").run()
    page.number_input[0].set_value(1.25)
    page.number_input[1].set_value(-0.5)
    page.button[0].click().run()
    assert not page.exception
    here = page.session_state[state.KEY].currents["lab"]
    first, second = (axis.id for axis in bases(bundle)["raw"].axes[:2])
    assert here.z[[int(first), int(second)]] == pytest.approx([1.25, -0.5], abs=1e-3)


def test_plain_selections_show_rates(page: AppTest, bundle: Bundle) -> None:
    page.query_params["plain"] = "1"
    page.session_state["plain_map"] = {
        "selection": {
            "points": [{"customdata": i} for i in range(40)],
            "point_indices": list(range(40)),
            "box": [],
            "lasso": [],
        }
    }
    page.run()
    assert not page.exception and len(page.get("plotly_chart")) == 2


def test_directions_can_be_exported_and_removed(page: AppTest, bundle: Bundle) -> None:
    taught.save(bundle, teach_tall(bundle).taught("Tall"))
    page.run()
    assert any("Tall" in text.value and "AUC" in text.value for text in page.markdown)
    next(button for button in page.button if button.label == "Remove").click().run()
    assert not page.exception and taught.load(bundle) == ()

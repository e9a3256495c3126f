"""Views of the codes and their inverse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.space.lab import teach_tall
from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle
from vae.space import lessons, taught, views
from vae.space.errors import AtlasError


@pytest.mark.parametrize(
    "text", ["principal:0:1", "principal:4:2", "raw:0:1", "raw:5:2", "named:taught-tall:taught-tall-and-wide"]
)
def test_a_linear_view_is_exact_both_ways_on_the_plane_through_the_code(bundle: Bundle, home: Path, text: str) -> None:
    taught.save(bundle, teach_tall(bundle).taught("Tall"))
    both = bundle.codes.labels[:, 2] == 1
    taught.save(bundle, lessons.teach(bundle, both, ~both).taught("Tall and wide"))
    view = views.view(bundle, views.parse(text))
    z, places = bundle.codes.mu[7].astype(float), np.array([[1.5, -2.0], [-0.3, 0.8], [4.0, 4.0]])
    lifted = view.lift(places, z)
    assert np.abs(view.project(lifted) - places).max() < 1e-9
    assert np.abs(view.lift(view.project(z), z) - z).max() < 1e-9
    assert np.linalg.matrix_rank(lifted - z, tol=1e-8) == 2  # on a plane through z
    if text == "raw:5:2":
        assert np.abs(lifted[:, [0, 1, 3, 4]] - z[[0, 1, 3, 4]]).max() < 1e-12


def test_two_axes_that_say_the_same_are_refused(bundle: Bundle, home: Path) -> None:
    taught.save(bundle, teach_tall(bundle).taught("Tall"))
    taught.save(bundle, teach_tall(bundle).taught("Tall again"))
    with pytest.raises(AtlasError, match="nearly the same"):
        views.view(bundle, views.parse("named:taught-tall:taught-tall-again"))


def test_the_plane_of_a_2d_model_is_the_map_itself(tmp_path: Path) -> None:
    flat = write_bundle(tmp_path / "flat", np.random.default_rng(0).normal(1.0, 2.0, (50, 2)))
    view = views.view(flat, views.parse("raw:0:1"))
    place = np.array([0.25, -1.5])
    assert view.lift(place, flat.codes.mu[3]) == pytest.approx(place, abs=1e-12)
    assert view.project(flat.codes.mu) == pytest.approx(flat.codes.mu, abs=1e-12)


@pytest.mark.parametrize(
    "text", ["", "pca", "raw:1", "raw:1:1", "umap:16", "umap", "tsne:30:1", "umap:../x", "raw:0:1:2"]
)
def test_views_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(AtlasError, match="There is no view"):
        views.parse(text)


@pytest.mark.parametrize("text", ["raw:0:99", "principal:-1:0", "named:Tall:Wide"])
def test_axes_that_do_not_exist_are_refused(bundle: Bundle, home: Path, text: str) -> None:
    with pytest.raises(AtlasError):
        views.view(bundle, views.parse(text))


def test_the_ellipse_is_the_spread_of_draws_from_the_posterior(bundle: Bundle, home: Path) -> None:
    view = views.view(bundle, views.parse("principal:0:1"))
    mu, logvar = bundle.codes.mu[0], np.linspace(-3, 0, 6)
    covariance, exact = views.ellipse(view, mu, logvar)
    draws = mu + np.exp(0.5 * logvar) * np.random.default_rng(1).standard_normal((20_000, 6))
    assert exact and covariance == pytest.approx(np.cov(view.project(draws).T), abs=0.03)


def placed(bundle: Bundle, shell: bool = False) -> views.Placed:
    return views.Placed(views.parse("umap:15"), bundle.codes.mu[:, :2].astype(float) ** 3, bundle.codes.mu, shell)


def test_a_view_without_inverse_blends_the_nearest_codes(bundle: Bundle) -> None:
    view = placed(bundle)
    assert view.lift(view.xy[11])[0] == pytest.approx(bundle.codes.mu[11], abs=1e-4)  # on a dot: that code
    index, weight = view.near([[0.1, 0.1]])
    assert index.shape == (1, views.BLEND) and weight.sum() == pytest.approx(1)
    assert set(index[0]) == set(np.argsort(np.linalg.norm(view.xy - 0.1, axis=1))[: views.BLEND])
    assert view.lift([[0.1, 0.1]])[0] == pytest.approx(weight[0] @ bundle.codes.mu[index[0]], abs=1e-6)
    assert view.project(bundle.codes.mu[11]) == pytest.approx(view.xy[11], abs=1e-3)


def test_on_a_shell_blends_keep_the_length_of_their_codes(bundle: Bundle) -> None:
    view = placed(bundle, shell=True)
    index, weight = view.near([[0.1, 0.1]])
    length = weight[0] @ np.linalg.norm(bundle.codes.mu[index[0]], axis=1)
    assert np.linalg.norm(view.lift([[0.1, 0.1]])) == pytest.approx(length, rel=1e-5)
    assert np.linalg.norm(placed(bundle).lift([[0.1, 0.1]])) < 0.98 * length

"""Two models on one picture, and the straight map between their codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import SIZE, write_bundle
from vae.bundles.bundle import Bundle
from vae.evaluation import pairing
from vae.likeness import psnr
from vae.space import latent


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """Linear models of six and of three numbers; the pictures of the first three blobs differ between them."""
    folder, rng = tmp_path_factory.mktemp("models"), np.random.default_rng(0)
    wide = write_bundle(folder / "wide", rng.standard_normal((300, 6)))
    return wide, write_bundle(folder / "narrow", rng.standard_normal((300, 3)))


def test_a_map_that_is_there_is_found_and_noise_has_none() -> None:
    rng = np.random.default_rng(1)
    x, matrix, offset = rng.standard_normal((200, 5)), rng.standard_normal((3, 5)), rng.standard_normal(3)
    found = pairing.fitted_map(x, x @ matrix.T + offset)
    assert np.allclose(found.matrix, matrix, atol=1e-4) and np.allclose(found.offset, offset, atol=1e-4)
    assert found.r2 > 0.9999 and found.draws == 200
    assert np.allclose(found(x[0]), matrix @ x[0] + offset, atol=1e-3)
    assert abs(pairing.fitted_map(x, rng.standard_normal((200, 3))).r2) < 0.1  # chance is no share of the spread


def test_noise_of_known_size_gives_its_r2() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4000, 4))
    y = x + rng.standard_normal((4000, 4))
    assert pairing.fitted_map(x, y).r2 == pytest.approx(0.5, abs=0.04)


def test_a_map_between_models_says_what_the_second_reads_and_is_kept(
    models: tuple[Bundle, Bundle], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = models
    shares: list[float] = []
    found = pairing.between(a, b, shares.append)
    assert found.matrix.shape == (3, 6) and shares == sorted(shares) and shares[-1] == 1
    z = latent.sample(a, 99, 1.0, 40)
    read = b.encode(a.decode(z))[0]
    assert pairing.r_squared(read, found(z)) > 0.9 and found.r2 > 0.9
    monkeypatch.setattr(pairing, "fitted_map", lambda *args: pytest.fail("fitted again"))
    again = pairing.between(a, b)
    assert np.allclose(again.matrix, found.matrix) and again.r2 == pytest.approx(found.r2)
    assert again.draws == found.draws == pairing.FEWEST


def test_a_side_has_the_figures_of_its_own_size(models: tuple[Bundle, Bundle]) -> None:
    wide = models[0]
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 255, (40, 40, 3), np.uint8)
    found = pairing.side(wide, picture, perceived=False)
    assert found.seen.shape == found.made.shape == (SIZE, SIZE, 1)
    mu, logvar = wide.encode(found.seen[None])
    assert np.array_equal(found.made, wide.decode(mu)[0])
    assert found.figures["psnr"] == pytest.approx(float(psnr(found.seen[None], found.made[None])[0]))
    assert found.figures["nats"] == pytest.approx(float(latent.kl(mu, logvar)[0]))
    size = sum((wide.path / f"{part}.onnx").stat().st_size for part in ("encoder", "decoder"))
    assert found.figures["numbers"] == 6 and found.figures["weights"] == size
    own = wide.decode(wide.codes.mu[0])[0]
    assert pairing.as_seen(own, wide) is own

"""What a set of codes has in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.space.lab import NAMES, codes
from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle
from vae.space import selections
from vae.space.errors import AtlasError


def test_a_selection_tells_its_mean_spread_and_rates(bundle: Bundle) -> None:
    mask = bundle.codes.labels[:, 0] == 1
    found = selections.summarise(bundle, mask, 24)
    assert found.count == mask.sum()
    assert found.mean == pytest.approx(bundle.codes.mu[mask].mean(0), abs=1e-5)
    assert found.rates[0]["name"] == "Tall" and found.rates[0]["rate"] == 1
    assert found.rates[0]["whole"] == pytest.approx(mask.mean())
    assert 0.3 < found.spread < 1
    assert len(set(found.sheet)) == 24 and mask[found.sheet].all()
    assert selections.summarise(bundle, np.ones(len(mask), bool)).spread == pytest.approx(1, abs=1e-3)
    with pytest.raises(AtlasError, match="no code in this selection"):
        selections.summarise(bundle, np.zeros(len(mask), bool))


def test_on_a_shell_the_mean_starts_from_the_average_picture(tmp_path: Path) -> None:
    z, labels = codes(300)
    shell = write_bundle(tmp_path / "shell", z, labels, NAMES, shell=True)
    mask = labels[:, 0] == 1
    shift = shell.codes.mu[mask].mean(0) - shell.stats.centre
    assert selections.summarise(shell, mask).mean == pytest.approx(shell.stats.mean + shift, abs=1e-5)

"""What codes are coloured by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vae.bundles.bundle import Bundle
from vae.space import colouring
from vae.space.errors import AtlasError


def test_colours_by_label_kl_and_class(bundle: Bundle, clusters: Bundle, home: Path) -> None:
    found = colouring.colours(bundle, "label:2")
    assert found["categories"] == ["without Tall and wide", "with Tall and wide"]
    assert (found["values"] == bundle.codes.labels[:, 2]).all()
    mu, logvar = bundle.codes.mu[4].astype(float), bundle.codes.logvar[4].astype(float)
    assert colouring.colours(bundle, "kl")["values"][4] == pytest.approx(
        0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar), rel=1e-5
    )
    assert colouring.colours(clusters, "class")["categories"] == ["left", "right"]
    assert colouring.colours(bundle, "error") is None  # has to be computed first
    assert {option["id"] for option in colouring.colour_options(bundle)} >= {"none", "kl", "error", "label:0"}
    for by in ("label:9", "label:-1", "class", "axis:x", "../kl", ""):
        with pytest.raises(AtlasError, match="colour by"):
            colouring.colours(bundle, by)

"""How near a picture is to its photo, and who is recognised in a mix."""

from __future__ import annotations

import numpy as np
import pytest

from vae.photos import recognition


def test_likeness_of_a_photo_and_of_the_models_own_face(bundle, astronaut, drawn) -> None:
    own = recognition.likeness(bundle, drawn[0])
    assert own.psnr == 100 and own.distance == pytest.approx(0) and own.same_person
    one_pass = recognition.likeness(bundle, astronaut)
    assert 25 < one_pass.psnr < 32 and 0.2 < one_pass.distance < 0.6
    perfect = recognition.likeness(bundle, astronaut, astronaut.crop)
    assert perfect.same_person and perfect.distance < 0.35


def test_crossings_interpolate() -> None:
    t = np.linspace(0, 1, 5)
    distances = np.column_stack([[0.4, 0.5, 0.7, 0.8, 0.9], [0.9, 0.8, 0.7, 0.65, 0.55]])
    assert recognition.crossings(t, distances) == (pytest.approx(0.375), pytest.approx(0.875))
    assert recognition.crossings(t, np.full((5, 2), 0.9)) == (None, None)
    assert recognition.crossings(t, np.full((5, 2), 0.1)) == (1.0, 0.0)

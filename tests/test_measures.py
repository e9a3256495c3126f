"""What is measured in the pixels of a face."""

from __future__ import annotations

import numpy as np


def test_measures_see_what_they_name():
    from vae.measures import MEASURES, measure, to_lab

    rng = np.random.default_rng(0)
    face = rng.integers(90, 110, (128, 128, 3), dtype=np.uint8)
    lighter, right, dark_eyes = face.copy(), face.copy(), face.copy()
    lighter[76:96] += 60
    right[76:96, 64:] += 60
    for x in (46, 80):
        dark_eyes[62:70, x - 6 : x + 8] = 10
    values, around = measure(np.stack([face, lighter, right, dark_eyes]))
    value = {m.id: values[:, k] for k, m in enumerate(MEASURES)}
    assert values.shape == (4, len(MEASURES)) and around.shape == (4, 11) and np.isfinite(values).all()
    assert value["Skin_tone"][1] > value["Skin_tone"][0] + 10
    assert value["Light_side"][2] > value["Light_side"][0] + 10 and abs(value["Light_side"][1]) < 3
    assert value["Eye_lightness"][3] < value["Eye_lightness"][0] - 20
    assert np.allclose(to_lab(np.array([255, 255, 255], np.uint8)), [100, 0, 0], atol=0.1)
    assert np.allclose(to_lab(np.array([255, 0, 0], np.uint8)), [53.2, 80.1, 67.2], atol=0.3)

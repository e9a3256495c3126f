"""The routes of a world that one drives through: a step, the recorded drive, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.web.asgi import ask
from vae.bundles.bundle import Bundle
from vae.bundles.registry import default_registry


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return default_registry().get("roads-64")


def test_a_step_is_the_bundles_own(bundle: Bundle) -> None:
    d = bundle.latent_size
    z = bundle.check_z(np.random.default_rng(1).normal(size=(2, d)))
    actions = np.array([[0.5, 0.2, 0], [-0.2, 0, 0.1]], np.float32)
    body = np.concatenate([z.ravel(), actions.ravel()]).astype("<f4")
    answer = ask("POST", "/api/step?model=roads-64", data=body.tobytes())
    wanted = np.concatenate(bundle.step(z[:1], z[1:], actions[:1], actions[1:]))
    assert answer.status == 200 and np.allclose(np.frombuffer(answer.content, "<f4").reshape(2, d), wanted, atol=1e-5)
    body[3] = np.nan
    for wrong, word in ((body.tobytes(), "finite"), (body[:-1].tobytes(), "bytes"), (b"", "bytes")):
        refused = ask("POST", "/api/step?model=roads-64", data=wrong)
        assert refused.status == 400 and word in refused.json()["error"]
    assert ask("POST", "/api/step?model=digits-2d", data=body.tobytes()).status == 400


def test_the_recorded_drive_comes_with_its_codes(bundle: Bundle) -> None:
    answer = ask("GET", "/api/drive?model=roads-64")
    length = int.from_bytes(answer.content[:4], "little")
    head, data = json.loads(answer.content[4 : 4 + length]), answer.content[4 + length :]
    count, d = len(bundle.drive), bundle.latent_size
    assert (head["count"], head["size"], len(head["mean"])) == (count, bundle.image_size, d)
    codes, actions = np.split(np.frombuffer(data, "<f4", count * (d + 3)), [count * d])
    assert np.allclose(codes.reshape(count, d)[7], bundle.encode(bundle.drive.frames[7:8])[0][0], atol=1e-5)
    assert (actions.reshape(count, 3) == bundle.drive.actions).all()
    assert data[4 * count * (d + 3) :] == bundle.drive.frames.tobytes()
    assert "no recorded drive" in ask("GET", "/api/drive?model=digits-2d").json()["error"]

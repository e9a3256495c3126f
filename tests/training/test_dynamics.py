"""The network that dreams on from a frame: it learns a motion, says how sure it is, and is the same in ONNX."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vae.bundles import graph
from vae.bundles.sessions import make_session
from vae.config import ModelConfig
from vae.data.imageset import Array, ImageSet
from vae.networks.autoencoder import Autoencoder
from vae.training.dynamics import ACTIONS, ORDER, Drives, Transition, dream, drives_of, learn, measure
from vae.training.errors import TrainingError

D, LONG_ENOUGH = 3, 40


def drives(count: int = 4, seed: int = 0) -> Drives:
    """Codes that go where the wheel points: each frame adds half the steering to the first number."""
    rng = np.random.default_rng(seed)
    actions = np.zeros((count, LONG_ENOUGH, 3), np.float32)
    actions[..., 0] = rng.choice([-1, 0, 1], (count, LONG_ENOUGH))
    z = np.zeros((count, LONG_ENOUGH, D), np.float32)
    z[:, 1:, 0] = 0.5 * np.cumsum(actions[:, :-1, 0], 1)
    drive, frame = np.divmod(np.arange(count * LONG_ENOUGH), LONG_ENOUGH)
    frames = np.zeros((len(drive), 8, 8, 1), np.uint8)
    return Drives(torch.from_numpy(z.reshape(-1, D)), frames, torch.from_numpy(actions.reshape(-1, 3)), drive, frame)


def test_a_transition_learns_where_actions_lead() -> None:
    torch.manual_seed(0)
    net, seen, unseen = Transition(D, hidden=32), drives(8), drives(2, seed=1)
    learn(net, seen, 0, 0, batch=64, steps=150)
    places = unseen.starts(5)
    with torch.no_grad():
        ahead = dream(net, unseen, places, 5)
    for k in (1, 5):
        truth = unseen.z[torch.from_numpy(places + k)]
        frozen = (unseen.z[torch.from_numpy(places)] - truth).square().mean()
        assert (ahead[k - 1] - truth).square().mean() < 0.3 * frozen


def test_starts_never_cross_into_another_drive() -> None:
    found = drives(2)
    assert found.starts(3).tolist() == [*range(1, 37), *range(41, 77)]
    found.frame[20:40] += 1  # a frame is missing
    assert not set(range(17, 21)) & set(found.starts(3).tolist())
    with pytest.raises(TrainingError, match="longer ones"):
        measure(Transition(D), Autoencoder(ModelConfig("conv", 8, 1, D, width=0.25)), found, ahead=(60,))


def test_pictures_without_order_or_actions_are_refused() -> None:
    model = Autoencoder(ModelConfig("conv", 8, 1, D, width=0.25)).eval()
    pictures, names = np.zeros((6, 8, 8, 1), np.uint8), (*ORDER, *ACTIONS)
    factors = np.arange(30, dtype=np.float32).reshape(6, 5)
    factors[:, :2] = [[0, 2], [0, 0], [0, 1], [1, 1], [1, 0], [1, 2]]
    plain = ImageSet("p", Array(pictures), np.arange(6), list("abcdef"))
    with pytest.raises(TrainingError, match="no column 'drive'.*world roads"):
        drives_of(model, plain, torch.device("cpu"))
    told = ImageSet("p", Array(pictures), np.arange(6), list("abcdef"), factors=factors, factor_names=names)
    found = drives_of(model, told, torch.device("cpu"))
    assert found.frame.tolist() == [0, 1, 2, 0, 1, 2] and found.actions[0].tolist() == [7, 8, 9]


def test_the_graph_takes_and_gives_plain_codes() -> None:
    torch.manual_seed(1)
    net = Transition(D, hidden=16).eval()
    net.mean.copy_(torch.tensor([1.0, -2.0, 0.5]))
    net.std.copy_(torch.tensor([0.5, 2.0, 1.0]))
    net.residual.copy_(torch.tensor([0.1, 0.2, 0.3]))
    z, before, a, b = (torch.randn(5, n) for n in (D, D, 3, 3))
    with torch.no_grad():
        wanted = net((z - net.mean) / net.std, (before - net.mean) / net.std, a, b) * net.std + net.mean
    file = graph.dynamics({k: v.numpy() for k, v in net.state_dict().items()}, half=False).SerializeToString()
    feed = {"z": z, "before": before, "action": a, "action_before": b}
    after, spread = make_session(file, "dynamics").run(["next", "spread"], {k: v.numpy() for k, v in feed.items()})
    assert np.allclose(after, wanted, atol=1e-5)
    assert np.allclose(spread, [[0.05, 0.4, 0.3]] * 5)

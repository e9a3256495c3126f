"""A model's two networks as ONNX files, and at work on a whole data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.bundles import graph
from vae.bundles.contract import ExportError
from vae.bundles.sessions import make_session
from vae.config import ModelConfig

if TYPE_CHECKING:
    from vae.data.imageset import ImageSet

Array = np.ndarray

Progress = Callable[[str], None]
BATCH = 16


def to_arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    """state_dict of torch tensors or arrays -> arrays, float32 where they were tensors."""
    return {k: v.detach().cpu().float().numpy() if hasattr(v, "detach") else np.asarray(v) for k, v in state.items()}


def networks(model: ModelConfig, weights: Mapping[str, Array], half: bool = False) -> tuple[bytes, bytes]:
    """Decoder and encoder as ONNX files, the weights in them under their state_dict names. Raises ExportError.

    half: store a small model's weights as float16, as those of a model with styles always are.
    """
    from vae.networks.autoencoder import Autoencoder

    network = Autoencoder(model)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    for key, shape in shapes.items():
        if key not in weights or tuple(weights[key].shape) != shape:
            found = tuple(weights[key].shape) if key in weights else "nothing"
            raise ExportError(
                f"the weights have {found} for {key} where the model has {shape}; give the settings it was trained with"
            )
    if model.architecture == "style":
        made = graph.style_decoder(model, weights), graph.style_encoder(model, weights)
    else:
        decoder = [(f"decoder.layers.{i}", layer) for i, layer in enumerate(network.decoder.layers)]
        encoder = [(f"encoder.{i}", layer) for i, layer in enumerate(network.encoder)]
        made = graph.conv_decoder(model, weights, decoder, half), graph.conv_encoder(model, weights, encoder, half)
    return made[0].SerializeToString(), made[1].SerializeToString()


class Networks:
    """The two ONNX files at work on batches: a thread a batch, which beats threads within a batch."""

    def __init__(self, model: ModelConfig, decoder: bytes, encoder: bytes):
        self.model = model
        self.decoder, self.encoder = (make_session(part, "the network", threads=1) for part in (decoder, encoder))
        self.pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "encode")

    def encode(self, images: Array) -> tuple[Array, Array]:
        """uint8 (N, s, s, c) -> mu, logvar (N, d)."""

        def one(start: int) -> list[Array]:
            part = images[start : start + BATCH].transpose(0, 3, 1, 2)
            x = np.ascontiguousarray(part).astype(np.float32) / 127.5 - 1
            return self.encoder.run(["mu", "logvar"], {"image": x})

        parts = list(self.pool.map(one, range(0, len(images), BATCH)))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def decode(self, z: Array) -> Array:
        """z (N, d) -> uint8 (N, s, s, c)."""
        z, model = np.asarray(z, np.float32), self.model
        feed = {"z": z}
        if model.levels:
            delta = np.zeros((len(z), model.levels, model.style_size), np.float32)
            feed = {"z": np.repeat(z[:, None], model.levels, axis=1), "delta": delta}
        image = self.decoder.run(["image"], feed)[0]
        return np.clip(image * 127.5 + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)

    def cycle_error(self, z: Array, std: Array) -> Array:
        """How far encode(decode(z)) is from z, in standard deviations (N,): small where the decoder knows its way."""
        again = self.encode(self.decode(z))[0]
        return np.sqrt((((again - z) / np.maximum(std, 1e-6)) ** 2).mean(1))

    def usual_error(self, mu: Array, std: Array) -> float:
        """The median `cycle_error` of about 64 of the data's codes mu (M, d)."""
        return np.median(self.cycle_error(mu[:: max(1, len(mu) // 64)], std))


def encode_set(nets: Networks, data: ImageSet, progress: Progress | None = None) -> tuple[Array, Array, Array, float]:
    """mu, logvar (M, d) of a data set, its average picture (s, s, c) float, and the mean contrast of its pictures."""
    mus, logvars, total, contrast, done = [], [], 0.0, 0.0, 0
    for images in data.batches(8 * BATCH):
        mu, logvar = nets.encode(images)
        mus.append(mu)
        logvars.append(logvar)
        total = total + images.sum(0, dtype=np.float64)
        contrast += images.std((1, 2), dtype=np.float64).mean(1).sum()
        done += len(images)
        if progress and done % (64 * BATCH) < len(images):
            progress(f"encoded {done:,} of {len(data):,} pictures")
    return np.concatenate(mus), np.concatenate(logvars), total / done, contrast / done


def evenly(count: int, most: int) -> Array:
    """At most so many places (n,) of a set, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))

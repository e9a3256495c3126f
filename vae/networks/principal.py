"""A start for training: the linear path of a model at the principal components of its pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.networks.autoencoder import Autoencoder
from vae.networks.layers import upsample


@torch.no_grad()
def start_linear(model: Autoencoder, images: Tensor, kl: float) -> None:
    """Begin the linear path at the principal components of images (M, c, s, s), and silence the networks beside it.

    kl: nats per image that the posterior spends at first. They go where they buy most (reverse water-filling, Cover
    and Thomas, theorem 10.3.3): a component of variance v keeps the noise min(theta, v), and sigma^2 = theta / v.
    The model is then the best linear VAE of this rate (Lucas et al. 2019, arXiv 1911.02469), but for the size of
    the linear path's pictures.
    """
    config, encoder, decoder = model.config, model.encoder, model.decoder
    d, side = config.latent_size, config.linear_size
    x = F.avg_pool2d(images.float(), encoder.pooling)
    x = torch.cat([x, x.flip(3)]).flatten(1)  # (2 M, c side side)
    mean = x.mean(0)
    rank = min(d, *x.shape)
    _, s, v = torch.svd_lowrank(x - mean, q=min(rank + 16, *x.shape), niter=4)
    variance = (s[:rank].square() / len(x)).clamp_min(1e-8)
    low, high = variance.min() * 1e-6, variance.max()
    for _ in range(60):
        theta = (low * high).sqrt()
        rate = 0.5 * (variance / theta).clamp_min(1).log().sum()
        low, high = (theta, high) if rate > kl else (low, theta)
    noise = (theta / variance).clamp_max(0.99) if config.variational else torch.zeros_like(variance)
    # z has unit variance: mu holds 1 - noise of it, the posterior's own draw the rest (Tipping and Bishop 1999).
    held = (1 - noise).sqrt()
    reader = v[:, :rank].T * (held / variance.sqrt())[:, None]  # (rank, c side side)
    pictures = v[:, :rank].T * (held * variance.sqrt())[:, None]
    for parameter in (*encoder.linear.parameters(), *decoder.linear.parameters(), *encoder.to_posterior.parameters()):
        parameter.zero_()
    encoder.linear.weight[:rank] = reader / encoder.linear.scale
    encoder.linear.bias[:rank] = -reader @ mean
    if config.variational:
        encoder.to_posterior.bias[d : d + rank] = noise.log()
    for layer in decoder.to_rgb:
        layer.weight.zero_()
    # The pictures are split into bands, so that each level draws what the one below cannot.
    bands = torch.cat([pictures, mean[None]]).unflatten(1, (config.channels, side, side))
    for level in reversed(range(len(decoder.linear))):
        coarse = F.avg_pool2d(bands, 2) if level else None
        band = (bands if coarse is None else bands - upsample(coarse)).flatten(1)
        decoder.linear[level].weight[:, :rank] = band[:-1].T / decoder.linear[level].scale
        decoder.linear[level].bias.copy_(band[-1])
        bands = coarse

"""What is measured of pictures and codes: distances and penalties, and the pictures and codes made for them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.networks.autoencoder import Posterior

BERNOULLI_SLOPE = 4.0


def reconstruction_loss(x: Tensor, y: Tensor, kind: str) -> Tensor:
    """Distance of the reconstructions y from x, both (N, c, s, s) -> (N,).

    mse: half the squared error, summed (nats, Gaussian of unit variance, less its constant).
    l1: absolute error, summed (nats, Laplace of unit scale, less its constant).
    bernoulli: cross-entropy of pictures that are black or white, of which y is the log-odds over BERNOULLI_SLOPE, summed
        (nats, Bernoulli): an output of 1 then means white with a probability of 0.98, and more is no mistake.
    multiscale: mean absolute error at full size + mean of those at 1/2, 1/4 and 1/8 size.
    """
    if kind == "mse":
        return 0.5 * (x - y).square().flatten(1).sum(1)
    if kind == "bernoulli":
        white = (x + 1) / 2
        return F.binary_cross_entropy_with_logits(BERNOULLI_SLOPE * y, white, reduction="none").flatten(1).sum(1)
    error = x - y
    if kind == "l1":
        return error.abs().flatten(1).sum(1)
    coarse = [F.avg_pool2d(error, k).abs().flatten(1).mean(1) for k in (2, 4, 8)]  # pooling is linear: one pass
    return error.abs().flatten(1).mean(1) + torch.stack(coarse).mean(0)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of y, clamped to [-1, 1], against x: (N,) in dB."""
    error = (x - y.clamp(-1, 1)).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp_min(1e-10))  # the range [-1, 1] has a peak of 2


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of codes a, b (N, d) at t (N, 1) (Shoemake 1985), lengths included."""
    cosine = F.cosine_similarity(a, b, dim=1, eps=1e-6)[:, None].clamp(-0.999, 0.999)
    omega = cosine.acos()
    return (((1 - t) * omega).sin() * a + (t * omega).sin() * b) / omega.sin()


def covariance_penalty(q: Posterior) -> Tensor:
    """How far the aggregate posterior of a batch, mu and logvar (N, d), is from N(0, I) in two moments, 0-dim.

    |C - I|^2 / d + |mean(mu)|^2 / d with C = cov(mu) + diag(mean(sigma^2)), the covariance of the mixture of the N
    posteriors (DIP-VAE-II, Kumar et al. 2018, arXiv 1711.00848; the mean is held as well). Defined for batches
    smaller than d too, but even codes drawn from N(0, I) leave about d / N. Under torchrun N is a process's own share
    of the batch, and the penalties of all shares are averaged.
    """
    n, d = q.mu.shape
    mean = q.mu.mean(0)
    centred = q.mu - mean
    c = centred.T @ centred / n + q.logvar.exp().mean(0).diag()  # (d, d)
    return ((c - torch.eye(d, device=c.device)).square().sum() + mean.square().sum()) / d


def recolour(x: Tensor, u: Tensor, strength: float) -> Tensor:
    """Images x (N, c, s, s) with another brightness and contrast, a half of them mirrored; differentiable.

    u (N, 3): uniform in [0, 1), for brightness, contrast and mirror. strength 0..1: the brightness moves by up to
    this share of half the range of colours, the contrast by this share of itself (DiffAugment, Zhao et al. 2020,
    arXiv 2006.10738).
    """
    brightness, contrast, mirror = u[:, :, None, None, None].unbind(1)  # (N, 1, 1, 1)
    x = x + strength * (2 * brightness - 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * (1 + strength * (2 * contrast - 1))
    return torch.where(mirror < 0.5, x.flip(3), x)

"""A prior that follows the codes while a model learns: a mixture of Gaussians, fitted a little at every step.

The app draws from such a mixture (vae.bundles.statistics.prior fits the bundle's own), since the codes of pictures are no exact
unit Gaussian. Draws that are to look real have to be drawn from where the app will draw them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PARTS, KEPT = 12, 8192  # Gaussians; codes that are remembered
EVERY = 16  # steps from one fit to the next
SHRINK = 0.02  # of each covariance towards the mean of all: parts of few codes stay well-behaved


class FittedPrior(nn.Module):
    """The mixture. Its state is all buffers: part of a checkpoint, so that a run resumes exactly."""

    def __init__(self, d: int, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("codes", torch.zeros(KEPT, d))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("weight", torch.full((PARTS,), 1 / PARTS))
        self.register_buffer("mean", 0.1 * torch.randn(PARTS, d, generator=generator))
        self.register_buffer("chol", torch.eye(d).repeat(PARTS, 1, 1))

    @torch.no_grad()
    def update(self, mu: Tensor, step: int) -> None:
        """Remember codes mu (N, d) of a step; now and then, one step of expectation maximisation on what is kept."""
        n, kept = len(mu), KEPT
        places = (self.seen + torch.arange(n, device=mu.device)) % kept
        self.codes[places] = mu.float()
        self.seen += n
        # Counted in steps, not in codes seen: nobody then waits for the device.
        if step % EVERY == 0 and (step + 1) * n >= 16 * PARTS:
            self._fit(self.codes[: min((step + 1) * n, kept)], first=(step + 1) * n < kept)

    def _fit(self, x: Tensor, first: bool) -> None:
        n, d = x.shape
        # Matrix products may be less than float32 while a model trains, and a difference of squares needs more.
        x = x.float() if x.device.type == "mps" else x.double()
        if first:  # what the first few codes say of parts is noise: one Gaussian, its parts a little apart
            mean, centred = x.mean(0), x - x.mean(0)
            cov = centred.T @ centred / n
            self.chol.copy_(self._root(cov[None], cov).expand_as(self.chol))
            self.mean.copy_(torch.lerp(mean, x[torch.arange(PARTS, device=x.device) * (n // PARTS)], 0.5))
            return
        chol, middles, weight = (value.to(x.dtype) for value in (self.chol, self.mean, self.weight))
        away = torch.linalg.solve_triangular(chol, (x[None] - middles[:, None]).transpose(1, 2), upper=False)
        size = chol.diagonal(dim1=1, dim2=2).log().sum(1)
        log = weight.clamp_min(1e-6).log() - size - 0.5 * away.square().sum(1).T  # (n, parts)
        share = log.softmax(1)
        total = share.sum(0) + 1e-3
        middle = x.mean(0)
        near = x - middle
        mean = share.T @ near / total[:, None]
        square = torch.stack([(near * one).T @ near for one in share.T[:, :, None]])  # (parts, d, d)
        cov = square / total[:, None, None] - mean[:, :, None] * mean[:, None]
        within = torch.einsum("k,kde->de", total / total.sum(), cov)
        # A part that lost its codes begins anew as the whole.
        lost = total < d / 5
        whole = torch.cov(x.T)
        mean = torch.where(lost[:, None], near[:PARTS], mean)
        cov = torch.where(lost[:, None, None], whole, cov)
        weight = (total / n).clamp_min(1e-3)
        self.weight.copy_(weight / weight.sum())
        self.mean.copy_(mean + middle)
        self.chol.copy_(self._root(cov, within))

    @staticmethod
    def _root(cov: Tensor, within: Tensor) -> Tensor:
        """Cholesky factors of covariances (k, d, d), shrunk towards the mean of the parts' own, within (d, d).

        Not towards equal variances: in directions in which codes hardly differ the decoder is sharpest, and draws that
        are spread there too far decode to no picture.
        """
        d = cov.shape[-1]
        size = within.diagonal().mean().clamp_min(1e-4)
        eye = torch.eye(d, dtype=cov.dtype, device=cov.device)
        return torch.linalg.cholesky_ex((1 - SHRINK) * cov + SHRINK * within + 1e-5 * size * eye)[0]

    def draw(self, noise: Tensor, part: Tensor) -> Tensor:
        """Codes (N, d) from normal noise (N, d) and uniform numbers part (N, 1), which choose the Gaussians."""
        edges = self.weight.cumsum(0)
        k = torch.searchsorted(edges, part[:, 0].contiguous()).clamp_max(PARTS - 1)
        return self.mean[k] + torch.einsum("nde,ne->nd", self.chol[k], noise)

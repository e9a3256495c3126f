"""What a training run minimises: weight * reconstruction + beta * KL, and the terms that sharpen.

Images are (N, c, s, s) in [-1, 1]. Every loss is per image: summed over the dimensions of the code
(KL, in nats) or as the reconstruction's kind says, then averaged over the batch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import ModelConfig, ObjectiveConfig
from vae.networks.autoencoder import Autoencoder, Posterior
from vae.networks.critic import Critic, Judges, unit
from vae.networks.identity import Identity
from vae.networks.perceptual import CHANNELS, Perceptual, feature_distance
from vae.training.fitted import FittedPrior

LOG_BETA_MIN, LOG_BETA_MAX = -20.0, 10.0
# Of the five feature maps of vae.networks.perceptual these many are judged: the last is what vae.evaluation.quality measures with.
JUDGED = 4
NEAR = 0.1  # length of the step, in sizes of a feature, that measures how steep the judges are
PENALISED = 32  # images of each kind whose slope the discriminator's penalty is taken of


def reconstruction_loss(x: Tensor, y: Tensor, kind: str) -> Tensor:
    """Distance of the reconstructions y from x, both (N, c, s, s) -> (N,).

    mse: half the squared error, summed (nats, Gaussian of unit variance, less its constant).
    l1: absolute error, summed (nats, Laplace of unit scale, less its constant).
    multiscale: mean absolute error at full size + mean of those at 1/2, 1/4 and 1/8 size.
    """
    if kind == "mse":
        return 0.5 * (x - y).square().flatten(1).sum(1)
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


class Beta(nn.Module):
    """The factor of the KL: fixed, warmed up, or steered to hold the KL at a target.

    Its state is on the device, so that steering never waits for it, and it is part of a checkpoint.
    """

    def __init__(self, config: ObjectiveConfig):
        super().__init__()
        self.config = config
        self.register_buffer("log_beta", torch.tensor(math.log(max(config.beta, 1e-12))))
        self.register_buffer("target", torch.tensor(float(config.kl_target)))
        # What a person set while the run went on; nan while nobody did.
        self.register_buffer("override", torch.tensor(math.nan))

    def value(self, progress: float) -> Tensor:
        """beta at a share 0..1 of the run, 0-dim."""
        if self.config.kl == "target":
            planned = self.log_beta.exp()
        else:
            ramp = min(1.0, progress / self.config.warmup) if self.config.kl == "warmup" else 1.0
            planned = torch.full_like(self.log_beta, self.config.beta * ramp)
        return torch.where(self.override.isnan(), planned, self.override)

    def update(self, kl: Tensor) -> None:
        """One controller step after a batch whose mean KL was kl (0-dim, nats per image)."""
        if self.config.kl == "target":
            drift = ((kl - self.target) / self.target).clamp(-1, 1)
            self.log_beta.add_(self.config.kl_gain * drift).clamp_(LOG_BETA_MIN, LOG_BETA_MAX)

    def steer(self, beta: float | None = None, target: float | None = None) -> None:
        """Hold beta at a value from now on, or set another KL target (which lets the controller go on)."""
        if beta is not None:
            self.override.fill_(beta)
        if target is not None:
            self.target.fill_(target)
            self.override.fill_(math.nan)


@dataclass
class Draws:
    """The random numbers of a step, drawn outside so that a run can be repeated.  All float32 but cut.

    eps (N, d): the posterior's noise. a, b (N, d): prior draws. t (N, 1), kind (N, 1): uniform in
    [0, 1). cut (N, 1): the level from which a style mix takes b. colour (N, 3): uniform in [0, 1), see recolour.
    part (N, 2): uniform in [0, 1), the Gaussians of a fitted prior that a and b come from. keep (N, 1): uniform in
    [0, 1), whether a reconstruction has the encoder's style offsets.
    """

    eps: Tensor
    a: Tensor | None = None
    b: Tensor | None = None
    t: Tensor | None = None
    kind: Tensor | None = None
    cut: Tensor | None = None
    colour: Tensor | None = None
    part: Tensor | None = None
    keep: Tensor | None = None


@dataclass
class Terms:
    """A step's losses. total and kl are 0-dim with gradient; parts are 0-dim, detached, for the log.

    fakes: reconstructions and decoded latents (N, c, s, s), detached, for the discriminator's turn; maps: what the
    judges look at, of the images and of each fake, detached. mu (N, d): the codes, detached.
    """

    total: Tensor
    kl: Tensor
    parts: dict[str, Tensor]
    fakes: list[Tensor] = field(default_factory=list)
    maps: list[list[Tensor]] = field(default_factory=list)
    mu: Tensor | None = None


class Objective(nn.Module):
    """The losses of a configuration, with their state: beta and, where wanted, the discriminator.

    Raises PerceptualError or IdentityError where a loss is wanted and its network is not installed.
    """

    def __init__(self, config: ObjectiveConfig, model: ModelConfig):
        super().__init__()
        if config.adversarial and model.architecture != "style":
            raise ValueError(
                f"ObjectiveConfig.adversarial is {config.adversarial}, and a {model.architecture!r} model has no "
                f"discriminator; use 0, or the 'style' architecture"
            )
        if config.covariance and not model.variational:
            raise ValueError(
                f"ObjectiveConfig.covariance is {config.covariance}, and a plain autoencoder has no posterior; "
                f"use 0, or a variational model"
            )
        self.config, self.model_config = config, model
        self.compiled = False
        self.beta = Beta(config)
        self.critic = Critic(model) if config.adversarial else None
        self.judges = Judges(CHANNELS[:JUDGED]) if config.adversarial and config.judges else None
        self.prior = FittedPrior(model.latent_size) if config.adversarial and config.prior == "fitted" else None
        # These never learn, so they are no submodules: neither parameters nor checkpoints are to hold them. Copies of
        # their own, because they move to the objective's device.
        perceptual = Perceptual(config.perceptual_side) if config.perceptual or self.judges else None
        object.__setattr__(self, "perceptual", perceptual)
        object.__setattr__(self, "identity", Identity() if config.identity else None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Objective:
        """What .to(device) and the like come down to; the frozen networks, no submodules, go along."""
        for network in (self.perceptual, self.identity):
            if network is not None:
                network._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def sharpness(self, progress: float) -> float:
        """How far the discriminator has joined in, 0..1, at a share 0..1 of the run."""
        if self.critic is None or progress < self.config.adversarial_start:
            return 0.0
        ramp = self.config.adversarial_ramp
        return min(1.0, (progress - self.config.adversarial_start) / ramp) if ramp else 1.0

    def forward(
        self,
        model: Autoencoder,
        x: Tensor,
        draws: Draws,
        progress: float = 1.0,
        autocast: contextlib.AbstractContextManager | None = None,
    ) -> Terms:
        """Losses of the autoencoder on images x; the discriminator only judges.

        progress: share 0..1 of the run, for the schedules. autocast wraps the networks; losses are float32.
        """
        config, sharpness = self.config, self.sharpness(progress)
        with autocast or contextlib.nullcontext():
            q = model.encode(x)
            q = Posterior(q.mu.float(), q.logvar.float(), q.delta if q.delta is None else q.delta.float())
            z = q.sample(draws.eps) if self.model_config.variational else q.mu
            # Half of the reconstructions come from the code alone, which so says as much as it can.
            delta = q.delta if q.delta is None else torch.where(draws.keep[:, :, None] < 0.5, q.delta, 0.0)
            if sharpness:  # both kinds of fakes in one pass: half as many operations to launch
                codes, between = self.latents(z.detach(), draws, delta)
                both = torch.cat([z[:, None].expand_as(codes), codes])
                y, made = model.decode(both, None if delta is None else torch.cat([delta, between])).float().chunk(2)
            else:
                y = model.decode(z, delta).float()
        reconstruction = reconstruction_loss(x, y, config.reconstruction).mean()
        total, parts = config.weight * reconstruction, {"reconstruction": reconstruction.detach()}
        kl = torch.zeros_like(reconstruction)

        def add(name: str, weight: float, value: Tensor) -> None:
            nonlocal total
            total = total + weight * value
            parts[name] = value.detach()

        if self.model_config.variational:
            kl, beta = q.kl().sum(1).mean(), self.beta.value(progress)
            total = total + beta * kl
            parts |= {"kl": kl.detach(), "beta": beta}
        if q.delta is not None:
            add("offsets", config.offsets, q.delta.square().mean())
        seen: list[tuple[Tensor, ...]] = []  # feature maps, of x, of y and, for the judges, of what was made
        if self.perceptual is not None:
            shown = [x, y, made] if sharpness and self.judges is not None else [x, y]
            with self._fast(autocast):
                seen = [level.chunk(len(shown)) for level in self.perceptual.levels(torch.cat(shown))]
            add(
                "perceptual",
                config.perceptual,
                feature_distance([a for a, *_ in seen], [b for _, b, *_ in seen]).mean(),
            )
        if self.identity is not None:
            with self._fast(autocast):
                distance = self.identity.distance(x, y)
            add("identity", config.identity, distance.mean())
        if config.covariance:
            add("covariance", config.covariance, covariance_penalty(q))
        if not sharpness:
            return Terms(total, kl, parts | {"loss": total.detach()}, mu=q.mu.detach())

        with autocast or contextlib.nullcontext():
            images = self._seen([x, y, made], draws.colour).split([len(x), 2 * len(x)])
            with torch.no_grad():
                real, features = self.critic(images[0])
            scores, others = self.critic(images[1])
        rebuilt, drawn = scores.chunk(2)
        # Relativistic: an image is judged against a real one, never alone (R3GAN, arXiv 2501.05441).
        adversarial = (F.softplus(real - rebuilt).mean() + F.softplus(real - drawn).mean()) / 2
        distances = [F.l1_loss(b.chunk(2)[0].float(), a.float()) for a, b in zip(features, others)]
        add("adversarial", sharpness * config.adversarial, adversarial)
        add("feature", sharpness * config.feature, torch.stack(distances).mean())
        maps: list[list[Tensor]] = []
        if self.judges is not None:
            maps = [unit([level[i] for level in seen[:JUDGED]]) for i in range(3)]
            with autocast or contextlib.nullcontext():
                real, rebuilt, drawn = self.judges([torch.cat(level) for level in zip(*maps)]).chunk(3)
            judged = (F.softplus(real.detach() - rebuilt).mean() + F.softplus(real.detach() - drawn).mean()) / 2
            add("judged", sharpness * config.judges, judged)
            maps = [[level.detach() for level in found] for found in maps]
        return Terms(total, kl, parts | {"loss": total.detach()}, [y.detach(), made.detach()], maps, q.mu.detach())

    @staticmethod
    def _fast(autocast: contextlib.AbstractContextManager | None) -> contextlib.AbstractContextManager:
        """For the frozen networks: the autocast of a GPU, where they would cost half a step; float32 on a CPU."""
        cuda = isinstance(autocast, torch.autocast) and autocast.device == "cuda"
        return autocast if cuda else contextlib.nullcontext()

    def _seen(self, images: list[Tensor], colour: Tensor | None) -> Tensor:
        """What the discriminator sees of images, each (N, c, s, s), one after the other: (k N, c, s, s).

        The images of a place share its colours, so that none differs from another by them.
        """
        if self.config.colour and colour is not None:
            images = [recolour(x, colour, self.config.colour) for x in images]
        return torch.cat(images)

    def latents(self, z: Tensor, draws: Draws, delta: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Codes (N, L, d) that have to decode to real-looking images, and their style offsets (N, L, style) or None.

        From codes z (N, d) of a batch: slerps of neighbours, with the offsets between those of their pictures, delta
        (N, L, style); style mixes of two prior draws; prior draws.
        """
        levels = torch.arange(self.model_config.levels, device=z.device)[None, :, None]  # (1, L, 1)
        a, b = draws.a, draws.b
        if self.prior is not None:
            a, b = (self.prior.draw(noise, draws.part[:, i : i + 1]) for i, noise in enumerate((a, b)))
        prior = a[:, None].expand(-1, levels.shape[1], -1)  # (N, L, d)
        mixed = torch.where(levels < draws.cut[:, None], prior, b[:, None])
        between = slerp(z, z.roll(1, 0), draws.t)[:, None]
        kind, first = draws.kind[:, None], self.config.slerp_share
        codes = torch.where(kind < first, between, torch.where(kind < first + self.config.mix_share, mixed, prior))
        if delta is None:
            return codes, None
        delta = delta.detach()
        return codes, torch.where(kind < first, torch.lerp(delta, delta.roll(1, 0), draws.t[:, None]), 0.0)

    def discriminator(
        self,
        x: Tensor,
        fakes: list[Tensor],
        penalise: bool,
        autocast: contextlib.AbstractContextManager | None = None,
        colour: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss on real images x and fakes -> loss (0-dim) and its parts.

        colour: that of the step's Draws; without it nothing is recoloured.
        penalise adds R1 + R2: gamma / 2 * the squared gradient of the score by the image, for real
        ones and for fakes (Mescheder et al. 2018, arXiv 1801.04406).
        """
        images = self._seen([x, *fakes], colour)
        with autocast or contextlib.nullcontext():
            scores, _ = self.critic(images)
        real, *others = scores.split(len(x))
        loss = torch.stack([F.softplus(other - real).mean() for other in others]).mean()
        parts = {"discriminator": loss.detach()}
        if penalise:
            # Of some of the images, and in float32: second derivatives cost much, and in bfloat16 are noise.
            some = torch.cat([kind[:PENALISED] for kind in images.split(len(x))]).requires_grad_()
            critic = self.critic.forward if self.compiled else self.critic  # what is compiled has no second derivatives
            (slope,) = torch.autograd.grad(critic(some)[0].sum(), some, create_graph=True)
            norm = slope.square().flatten(1).sum(1)
            count = len(norm) // (1 + len(fakes))
            penalty = self.config.penalty / 2 * (norm[:count].mean() + norm[count:].mean())
            parts["penalty"] = penalty.detach()
            # Seldom, and stronger then: the mean strength stays gamma (lazy regularisation, arXiv 1912.04958).
            loss = loss + self.config.penalty_every * penalty
        return loss, parts

    def judge(
        self,
        maps: list[list[Tensor]],
        generator: torch.Generator,
        autocast: contextlib.AbstractContextManager | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The judges' loss on the feature maps of real images and of each kind of fakes -> loss (0-dim), its parts."""
        levels = [torch.cat(level) for level in zip(*maps)]
        near = [level + NEAR * torch.empty_like(level).normal_(generator=generator) for level in levels]
        with autocast or contextlib.nullcontext():
            scores, moved = self.judges([torch.cat(pair) for pair in zip(levels, near)]).chunk(2)
        real, *others = scores.split(len(maps[0][0]))
        loss = torch.stack([F.softplus(other - real).mean() for other in others]).mean()
        # The squared slope, by what a small random step changes: no second derivatives are needed.
        penalty = ((moved - scores) / NEAR).square().mean()
        return loss + self.config.judge_penalty * penalty, {"judges": loss.detach(), "judge_penalty": penalty.detach()}

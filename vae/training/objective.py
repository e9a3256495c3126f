"""What a training run minimises: weight * reconstruction + beta * KL, and the terms that sharpen.

Images are (N, c, s, s) in [-1, 1]. Every loss is per image: summed over the dimensions of the code
(KL, in nats) or as the reconstruction's kind says, then averaged over the batch.
"""

from __future__ import annotations

import contextlib
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
from vae.training.beta import Beta
from vae.training.fitted import FittedPrior
from vae.training.losses import covariance_penalty, recolour, reconstruction_loss, slerp

# Of the five feature maps of vae.networks.perceptual these many are judged: the last is what vae.evaluation.quality measures with.
JUDGED = 4
NEAR = 0.1  # length of the step, in sizes of a feature, that measures how steep the judges are
PENALISED = 32  # images of each kind whose slope the discriminator's penalty is taken of


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

    def add(self, name: str, weight: float, value: Tensor) -> None:
        """Add a loss (0-dim) to the total by its weight, and to the log without it."""
        self.total = self.total + weight * value
        self.parts[name] = value.detach()


def relativistic(real: Tensor, rebuilt: Tensor, drawn: Tensor) -> Tensor:
    """What scores of two kinds of fakes cost a generator beside those of real images, 0-dim.

    An image is judged against a real one, never alone (R3GAN, arXiv 2501.05441).
    """
    return (F.softplus(real - rebuilt).mean() + F.softplus(real - drawn).mean()) / 2


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
        sharpness = self.sharpness(progress)
        q, y, made = self._decoded(model, x, draws, sharpness > 0, autocast)
        terms = self._likelihood(x, y, q, progress)
        seen = self._likeness(terms, x, y, made, autocast)
        if self.config.covariance:
            terms.add("covariance", self.config.covariance, covariance_penalty(q))
        if made is not None:
            self._criticised(terms, sharpness, x, y, made, draws.colour, autocast)
            if self.judges is not None:
                self._judged(terms, sharpness, seen, autocast)
            terms.fakes = [y.detach(), made.detach()]
        terms.parts["loss"] = terms.total.detach()
        terms.mu = q.mu.detach()
        return terms

    def _decoded(
        self,
        model: Autoencoder,
        x: Tensor,
        draws: Draws,
        sharp: bool,
        autocast: contextlib.AbstractContextManager | None,
    ) -> tuple[Posterior, Tensor, Tensor | None]:
        """The posterior of images x (N, c, s, s), their reconstructions and, where sharp, pictures of other codes."""
        with autocast or contextlib.nullcontext():
            q = model.encode(x)
            q = Posterior(q.mu.float(), q.logvar.float(), q.delta if q.delta is None else q.delta.float())
            z = q.sample(draws.eps) if self.model_config.variational else q.mu
            # Half of the reconstructions come from the code alone, which so says as much as it can.
            delta = q.delta if q.delta is None else torch.where(draws.keep[:, :, None] < 0.5, q.delta, 0.0)
            if not sharp:
                return q, model.decode(z, delta).float(), None
            # Both kinds of fakes in one pass: half as many operations to launch.
            codes, between = self.latents(z.detach(), draws, delta)
            both = torch.cat([z[:, None].expand_as(codes), codes])
            y, made = model.decode(both, None if delta is None else torch.cat([delta, between])).float().chunk(2)
            return q, y, made

    def _likelihood(self, x: Tensor, y: Tensor, q: Posterior, progress: float) -> Terms:
        """The lower bound of a variational autoencoder: reconstruction, KL, and what the style offsets may cost."""
        reconstruction = reconstruction_loss(x, y, self.config.reconstruction).mean()
        parts = {"reconstruction": reconstruction.detach()}
        terms = Terms(self.config.weight * reconstruction, torch.zeros_like(reconstruction), parts)
        if self.model_config.variational:
            terms.kl, beta = q.kl().sum(1).mean(), self.beta.value(progress)
            terms.total = terms.total + beta * terms.kl
            terms.parts |= {"kl": terms.kl.detach(), "beta": beta}
        if q.delta is not None:
            terms.add("offsets", self.config.offsets, q.delta.square().mean())
        return terms

    def _likeness(
        self,
        terms: Terms,
        x: Tensor,
        y: Tensor,
        made: Tensor | None,
        autocast: contextlib.AbstractContextManager | None,
    ) -> list[tuple[Tensor, ...]]:
        """Add what frozen networks find between x and y -> the feature maps, a tuple a level.

        A tuple holds those of x, of y and, where the judges are to look at it, of what was made.
        """
        seen: list[tuple[Tensor, ...]] = []
        if self.perceptual is not None:
            shown = [x, y] if made is None or self.judges is None else [x, y, made]
            with self._fast(autocast):
                seen = [level.chunk(len(shown)) for level in self.perceptual.levels(torch.cat(shown))]
            distance = feature_distance([a for a, *_ in seen], [b for _, b, *_ in seen])
            terms.add("perceptual", self.config.perceptual, distance.mean())
        if self.identity is not None:
            with self._fast(autocast):
                distance = self.identity.distance(x, y)
            terms.add("identity", self.config.identity, distance.mean())
        return seen

    def _criticised(
        self,
        terms: Terms,
        sharpness: float,
        x: Tensor,
        y: Tensor,
        made: Tensor,
        colour: Tensor | None,
        autocast: contextlib.AbstractContextManager | None,
    ) -> None:
        """Add what the discriminator holds against reconstructions y and what was made, and how its features differ."""
        with autocast or contextlib.nullcontext():
            images = self._seen([x, y, made], colour).split([len(x), 2 * len(x)])
            with torch.no_grad():
                real, features = self.critic(images[0])
            scores, others = self.critic(images[1])
        distances = [F.l1_loss(b.chunk(2)[0].float(), a.float()) for a, b in zip(features, others)]
        terms.add("adversarial", sharpness * self.config.adversarial, relativistic(real, *scores.chunk(2)))
        terms.add("feature", sharpness * self.config.feature, torch.stack(distances).mean())

    def _judged(
        self,
        terms: Terms,
        sharpness: float,
        seen: list[tuple[Tensor, ...]],
        autocast: contextlib.AbstractContextManager | None,
    ) -> None:
        """Add what the judges hold against both kinds of fakes, and keep the maps for their own turn."""
        maps = [unit([level[i] for level in seen[:JUDGED]]) for i in range(3)]
        with autocast or contextlib.nullcontext():
            real, rebuilt, drawn = self.judges([torch.cat(level) for level in zip(*maps)]).chunk(3)
        terms.add("judged", sharpness * self.config.judges, relativistic(real.detach(), rebuilt, drawn))
        terms.maps = [[level.detach() for level in found] for found in maps]

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

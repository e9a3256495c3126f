"""A run's networks, optimisers and schedules, and one step of them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vae.config import Recipe
from vae.data.imageset import ImageSet
from vae.networks.autoencoder import Autoencoder
from vae.networks.identity import IdentityError
from vae.networks.perceptual import PerceptualError
from vae.training.batches import Batch, Batches
from vae.training.checkpoint import Checkpoint
from vae.training.errors import TrainingError
from vae.training.objective import Objective
from vae.training.processes import Processes, uses_bf16
from vae.training.starting import critic_from, start_at_components, start_from


class Meter:
    """Means of what the steps report, added up on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, parts: Mapping[str, Tensor]) -> None:
        """Take in the parts of a step, 0-dim each."""
        for key, value in parts.items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value.detach().clone()
            self.counts[key] = self.counts.get(key, 0) + 1

    def means(self, processes: Processes) -> dict[str, float]:
        """Means since the last call, over all processes; it begins anew."""
        if not self.sums:
            return {}
        values = processes.mean(torch.stack([self.sums[k].float() / self.counts[k] for k in self.sums])).tolist()
        means = dict(zip(self.sums, values))
        self.sums, self.counts = {}, {}
        return means


class Trainer:
    """A run's networks, optimisers and schedules; `step` is one training step."""

    def __init__(
        self,
        recipe: Recipe,
        train: ImageSet,
        validation: ImageSet,
        processes: Processes | None = None,
        fresh: bool = True,
    ):
        """fresh: False where `restore` follows, so that no first weights have to be found."""
        self.recipe, self.config = recipe, recipe.training
        self.processes = processes or Processes(self.config.device)
        self.device, self.train_set, self.validation_set = self.processes.device, train, validation
        if self.config.batch_size % self.processes.size:
            raise TrainingError(
                f"TrainingConfig.batch_size is {self.config.batch_size}, which {self.processes.size} processes cannot "
                f"share; use a multiple of {self.processes.size}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)  # drawn on the CPU: the same first weights on every device
            self.model = Autoencoder(recipe.model)
            try:
                self.objective = Objective(recipe.objective, recipe.model)
            except (ValueError, PerceptualError, IdentityError) as error:
                raise TrainingError(str(error)) from None
        if fresh and recipe.model.linear and not self.config.start_from:
            start_at_components(self.model, recipe, train, self.processes)
        # Convolutions are fastest so; the small model by 40 % on a CPU.
        layout = torch.contiguous_format if self.device.type == "mps" else torch.channels_last
        self.model.to(self.device, memory_format=layout)
        self.objective.to(self.device, memory_format=layout)
        if self.config.start_from:
            start_from(self.model, Path(self.config.start_from).expanduser())
        if self.config.critic_from:
            critic_from(self.objective, Path(self.config.critic_from).expanduser())
        trained = self.model.encoder if self.config.part == "encoder" else self.model
        self.model.requires_grad_(False)
        trained.requires_grad_(True)
        self.parameters = dict(trained.named_parameters())
        self.optimiser = self._adam(self.parameters)
        critic = self.objective.critic
        self.adversaries: dict[str, tuple[torch.optim.Adam, dict[str, nn.Parameter]]] = {}
        for name, network in (("critic", critic), ("judges", self.objective.judges)):
            if network is not None:
                parameters = dict(network.named_parameters())
                self.adversaries[name] = self._adam(parameters), parameters
        self.ema = copy.deepcopy(self.model).requires_grad_(False).eval() if self.config.ema_images else self.model
        if self.config.compile:
            self._compile()
        self.batches = Batches(
            train,
            recipe.model,
            self.config,
            self.processes.rank,
            self.processes.size,
            critic is not None,
            self.device.type == "cuda",
            critic is not None and recipe.objective.colour > 0,
            self.objective.prior is not None,
        )
        bf16 = uses_bf16(self.device, self.config.precision, recipe.model)
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
        self.step_count, self.seconds, self.meter = 0, 0.0, Meter()
        self.healthy = torch.ones((), dtype=torch.bool, device=self.device)

    def _adam(self, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Adam:
        betas = (self.config.adam_beta1, self.config.adam_beta2)
        return torch.optim.Adam(parameters.values(), lr=self.config.learning_rate, betas=betas, fused=True)

    def _compile(self) -> None:
        objective = self.objective
        objective.compiled = True
        for network in (self.model.encoder, self.model.decoder, objective.critic):
            if network is not None:
                network.compile()

    @property
    def images(self) -> int:
        """Images seen, over all processes."""
        return self.step_count * self.config.batch_size

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0..1: of whichever limit is nearest."""
        limits = (
            (self.step_count, self.config.steps),
            (self.images, self.config.images),
            (self.seconds, 60 * self.config.minutes),
        )
        return min(1.0, max(done / limit for done, limit in limits if limit))

    def step(self, batch: Batch) -> None:
        """One step on one batch: the autoencoder, then, once it has joined in, the discriminator."""
        progress, critic = self.progress, self.objective.critic
        rate = self.config.learning_rate * min(1.0, (1 - progress) / self.config.decay if self.config.decay else 1.0)
        x, draws = batch.to(self.device)
        if critic:
            critic.requires_grad_(False)
        if self.objective.judges:
            self.objective.judges.requires_grad_(False)
        terms = self.objective(self.model, x, draws, progress, self.autocast)
        frozen = self.model.decoder if self.images < self.config.frozen_images else None
        kl, norm = self._descend(self.optimiser, self.parameters, terms.total, rate, terms.kl.detach(), frozen)
        if terms.fakes:
            critic.requires_grad_(True)
            penalise = self.step_count % self.recipe.objective.penalty_every == 0 and self.recipe.objective.penalty > 0
            loss, parts = self.objective.discriminator(x, terms.fakes, penalise, self.autocast, draws.colour)
            self._descend(*self.adversaries["critic"], loss, rate, kl)
            terms.parts.update(parts)
        if terms.maps:
            self.objective.judges.requires_grad_(True)
            generator = torch.Generator(self.device).manual_seed(self.config.seed + self.step_count)
            loss, parts = self.objective.judge(terms.maps, generator, self.autocast)
            self._descend(*self.adversaries["judges"], loss, rate, kl)
            terms.parts.update(parts)
        self.objective.beta.update(kl)
        if self.objective.prior is not None:
            self.objective.prior.update(self.processes.gather(terms.mu), self.step_count)
        self.step_count += 1
        self._average_weights()
        self.meter.add(terms.parts | {"gradient_norm": norm})

    def _descend(
        self,
        optimiser: torch.optim.Adam,
        parameters: Mapping[str, nn.Parameter],
        loss: Tensor,
        rate: float,
        kl: Tensor,
        frozen: nn.Module | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Backward pass, exchange between processes, guard, step -> mean KL and norm of the gradient."""
        optimiser.zero_grad()
        loss.backward()
        if frozen is not None:  # asking for no gradient would compile networks twice
            for parameter in frozen.parameters():
                parameter.grad = None
        learning = [p for p in parameters.values() if p.grad is not None]
        kl = self.processes.average_gradients(learning, kl)
        gradients = [p.grad for p in learning]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.config.clip:
            torch._foreach_mul_(gradients, (self.config.clip / (norm + 1e-6)).clamp(max=1.0))
        self.healthy &= torch.isfinite(norm) & torch.isfinite(loss.detach())
        if self.device.type == "cpu":  # elsewhere looking would stall the device: check_health looks now and then
            self.check_health()
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        return kl, norm

    def check_health(self) -> None:
        """Raises TrainingError once a loss or a gradient was not a finite number."""
        if not self.healthy:
            raise TrainingError(
                f"the loss became infinite or not a number at step {self.step_count + 1}; the last checkpoint is kept, "
                f"go on from it with a learning rate below {self.config.learning_rate:g}"
            )

    def _average_weights(self) -> None:
        if self.ema is self.model:
            return
        # Early on, what the average remembers from the random start would outweigh what was learnt.
        half_life = min(self.config.ema_images, self.images / 8)
        blend = 1 - 0.5 ** (self.config.batch_size / half_life)
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), blend)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint holds, by name."""
        found = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        if self.ema is not self.model:
            found |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        found |= {f"objective.{k}": v for k, v in self.objective.state_dict().items()}
        for part, optimiser, parameters in self._optimisers():
            for name, parameter in parameters.items():
                found |= {f"optimisers.{part}.{name}.{key}": v for key, v in optimiser.state[parameter].items()}
        return found

    def _optimisers(self) -> Iterator[tuple[str, torch.optim.Adam, dict[str, nn.Parameter]]]:
        yield "model", self.optimiser, self.parameters
        for name, (optimiser, parameters) in self.adversaries.items():
            yield name, optimiser, parameters

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint of the same model and objective. Raises TrainingError where it does not fit."""
        try:
            self.model.load_state_dict(checkpoint.model)
            if self.ema is not self.model:
                self.ema.load_state_dict(checkpoint.ema)
            self.objective.load_state_dict(checkpoint.objective)
        except RuntimeError:
            raise TrainingError(
                "the checkpoint holds another model or objective; resume with the settings of its run"
            ) from None
        for part, optimiser, parameters in self._optimisers():
            state = optimiser.state_dict()
            for place, name in enumerate(parameters):
                prefix = f"{part}.{name}."
                kept = {k[len(prefix) :]: v for k, v in checkpoint.optimisers.items() if k.startswith(prefix)}
                if kept.keys() == {"step", "exp_avg", "exp_avg_sq"}:
                    # Fused Adam walks through memory: its state has to lie there as the parameter does.
                    for key in ("exp_avg", "exp_avg_sq"):
                        kept[key] = torch.empty_like(parameters[name]).copy_(kept[key])
                    state["state"][place] = kept
            optimiser.load_state_dict(state)
        self.step_count, self.seconds = int(checkpoint.state["step"]), float(checkpoint.state["seconds"])

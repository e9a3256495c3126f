from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.training.runs import FACES, HELD, LINEAR, PLAIN, SHARP, VAE, interrupt_at, lines, start, timeless
from vae.config import Recipe
from vae.training import fitted
from vae.training.checkpoint import load_checkpoint
from vae.training.errors import TrainingError


@pytest.mark.parametrize(
    "recipe",
    [VAE, HELD, PLAIN, SHARP, LINEAR, FACES],
    ids=["vae", "held", "plain", "sharp", "linear", "faces"],
)
def test_resumed_equals_uninterrupted(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "whole", recipe)
    interrupt_at(7, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert start(tmp_path / "cut", recipe).reason == "interrupted"
    assert not (tmp_path / "cut" / "done").exists()
    monkeypatch.undo()
    assert start(tmp_path / "cut", recipe, resume=True).reason == "finished"
    whole, cut = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "cut")
    for part in ("model", "ema", "objective", "optimisers"):
        a, b = getattr(whole, part), getattr(cut, part)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k].nan_to_num(7), b[k].nan_to_num(7)) for k in a), part
    assert timeless(lines(tmp_path / "whole", "validation")) == timeless(lines(tmp_path / "cut", "validation"))
    # The line of the interval that was cut holds the mean of its second half alone.
    a, b = timeless(lines(tmp_path / "whole")), timeless(lines(tmp_path / "cut"))
    assert [x for x in a if x["step"] != 8] == [x for x in b if x["step"] != 8]


def test_a_run_with_a_fitted_prior_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The faces recipe's run is too short for a fit, so that fits come sooner here, before the cut and after it.
    for name, value in (("PARTS", 2), ("EVERY", 2), ("KEPT", 24)):
        monkeypatch.setattr(fitted, name, value)
    recipe = FACES.replace(training={"validate_every": 0, "sheets": False})
    model, objective = recipe.model, recipe.objective
    assert model.offsets and model.noise and objective.judges and objective.prior == "fitted"
    start(tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        interrupt_at(9, patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert start(tmp_path / "cut", recipe).reason == "interrupted"
    middle = load_checkpoint(tmp_path / "cut").objective
    first = fitted.FittedPrior(4).state_dict()
    assert not any(torch.equal(middle[f"prior.{k}"], first[k]) for k in ("mean", "chol", "weight", "codes", "seen"))
    assert start(tmp_path / "cut", recipe, resume=True).reason == "finished"
    whole, cut = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "cut")
    for part in ("model", "ema", "objective", "optimisers"):
        a, b = getattr(whole, part), getattr(cut, part)
        assert a.keys() == b.keys() and all(torch.equal(a[k].nan_to_num(7), b[k].nan_to_num(7)) for k in a), part
    assert not torch.equal(whole.objective["prior.mean"], middle["prior.mean"])
    assert {name.split(".")[0] for name in whole.optimisers} == {"model", "critic", "judges"}
    a, b = (timeless(lines(tmp_path / name, "validation")) for name in ("whole", "cut"))
    assert a == b and {"psnr", "psnr_code", "frechet", "frechet_draws"} <= a[-1].keys()


def test_killed_run_repeats_what_its_checkpoint_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    start(tmp_path / "whole")
    interrupt_at(9, monkeypatch, die)
    with pytest.raises(Killed):
        start(tmp_path / "cut")  # its only checkpoint is that of step 0
    monkeypatch.undo()
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 1')  # half a line
    assert load_checkpoint(tmp_path / "cut").state["step"] == 0
    start(tmp_path / "cut", resume=True)
    for kind in ("train", "validation"):
        assert timeless(lines(tmp_path / "whole", kind)) == timeless(lines(tmp_path / "cut", kind))


def test_resume_before_the_first_checkpoint_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert start(tmp_path / "run", resume=True).step == 12


def test_a_finished_run_goes_on_with_a_larger_limit(tmp_path: Path) -> None:
    start(tmp_path / "run")
    result = start(tmp_path / "run", resume=True, steps=20)
    assert (result.step, result.reason) == (20, "finished")


def test_resume_is_refused_where_it_cannot_be_exact(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no run to resume"):
        start(tmp_path / "run", resume=True)
    start(tmp_path / "run")
    with pytest.raises(TrainingError, match="already holds a run; resume it"):
        start(tmp_path / "run")
    with pytest.raises(TrainingError, match="training batch_size is 8, but the run began with 16"):
        start(tmp_path / "run", resume=True, batch_size=8)
    with pytest.raises(TrainingError, match="training augment is True, but the run began with False"):
        start(tmp_path / "run", resume=True, augment=True)
    with pytest.raises(TrainingError, match="objective beta is 0.5, but the run began with 0.1"):
        start(tmp_path / "run", VAE.replace(objective={"beta": 0.5}), resume=True)

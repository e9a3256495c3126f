from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.runs import HELD, SHARP, VAE, lines, start, timeless
from vae.hardware import native_bf16
from vae.paths import ROOT
from vae.training.checkpoint import load_checkpoint
from vae.training.processes import uses_bf16


def test_bfloat16_is_asked_for_and_refused() -> None:
    cpu, conv, style = torch.device("cpu"), VAE.model, SHARP.model
    assert uses_bf16(cpu, "bf16", conv) and not uses_bf16(cpu, "float32", style)
    assert uses_bf16(cpu, "auto", style) == native_bf16() and not uses_bf16(cpu, "auto", conv)
    assert not uses_bf16(torch.device("mps"), "bf16", style)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from tests.training.runs import HELD, SHARP, start\n"
        f"start(Path({str(tmp_path)!r}) / 'two', HELD)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    start(tmp_path / "one", HELD)
    one, two = load_checkpoint(tmp_path / "one"), load_checkpoint(tmp_path / "two")
    for name, tensor in one.model.items():
        assert torch.allclose(tensor, two.model[name], atol=2e-5), name
    assert torch.allclose(one.objective["beta.log_beta"], two.objective["beta.log_beta"], atol=1e-6)
    a, b = timeless(lines(tmp_path / "one")), timeless(lines(tmp_path / "two"))
    assert len(a) == len(b) == 6
    for x, y in zip(a, b):
        assert x.keys() == y.keys()
        assert all(x[k] == pytest.approx(y[k], rel=1e-3) for k in x if k != "kind")

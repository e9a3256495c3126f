from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.training.runs import lines, start, steer, wait_for
from vae.paths import ROOT
from vae.training.checkpoint import load_checkpoint
from vae.training.run_folder import Control


def in_background(folder: Path, **changes: Any) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []

    def work() -> None:
        try:
            answers.append(start(folder, **changes))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, answers


def test_pause_steer_and_stop(tmp_path: Path) -> None:
    run = tmp_path / "run"
    thread, answers = in_background(run, steps=10**7, validate_every=0, log_every=5)
    state = lambda: json.loads((run / "status.json").read_text())["state"]  # noqa: E731
    wait_for(lambda: (run / "metrics.jsonl").exists() and bool(lines(run)))
    steer(run, command="pause", beta=0.025)
    wait_for(lambda: state() == "paused")
    step = json.loads((run / "status.json").read_text())["step"]
    assert load_checkpoint(run).state["step"] == step
    time.sleep(0.5)
    assert json.loads((run / "status.json").read_text())["step"] == step
    steer(run, command="run", beta=0.025)
    wait_for(lambda: state() == "running" and lines(run)[-1]["step"] > step + 10)
    assert lines(run)[-1]["beta"] == pytest.approx(0.025)
    steer(run, command="faster")
    wait_for(lambda: any(e["event"] == "refused" and "'faster'" in e["detail"] for e in lines(run, "event")))
    steer(run, command="stop")
    thread.join(300)
    assert answers[0].reason == "stopped" and (run / "done").exists()
    events = [e["event"] for e in lines(run, "event")]
    assert events[0] == "started" and sorted(events[1:]) == ["paused", "refused", "resumed", "steered"]
    assert lines(run, "validation")[-1]["step"] == answers[0].step == load_checkpoint(run).state["step"]


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"beta": "much"}', '{"beta": NaN}', '{"kl_target": 0}', '{"beta": -1}', '{"beta": true}']
)
def test_bad_orders_are_refused(text: str, tmp_path: Path) -> None:
    control = Control(tmp_path / "control.json")
    assert control.poll() is None
    control._next = 0.0
    control.path.write_text(text)
    assert control.poll().startswith("control.json")
    assert (control.command, control.beta, control.target) == ("run", -1.0, -1.0)


def test_signals_end_a_process_cleanly(tmp_path: Path) -> None:
    code = (
        "import sys, torch; torch.set_num_threads(1); sys.path.insert(0, sys.argv[1]);"
        "from tests.training.runs import start; from pathlib import Path;"
        "print(start(Path(sys.argv[2]), steps=10**7, validate_every=0).reason)"
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        run = tmp_path / str(int(number))
        process = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(run)], stdout=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: (run / "metrics.jsonl").exists() and len(lines(run)) > 2)
            process.send_signal(number)
            out, _ = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 0 and out.strip() == "interrupted"
        assert load_checkpoint(run).state["step"] >= lines(run)[-1]["step"]
        assert json.loads((run / "status.json").read_text())["state"] == "interrupted"

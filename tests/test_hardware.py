"""How many threads follow what the machine has free."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vae import hardware
from vae.hardware import Pace


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """A machine of four processors on which time, our work and all work are said by hand; threads are only noted."""
    state = {"now": 0.0, "all": 100.0, "own": 5.0, "threads": 4.0}
    monkeypatch.setattr(hardware, "cores", lambda: 4)
    monkeypatch.setattr(hardware.time, "monotonic", lambda: state["now"])
    monkeypatch.setattr(hardware.torch, "get_num_threads", lambda: int(state["threads"]))
    monkeypatch.setattr(hardware.torch, "set_num_threads", lambda n: state.update(threads=n))
    yield state


def work(state: dict[str, float], seconds: float, own: float, others: float) -> None:
    """Some time passes in which we and others keep so many processors busy."""
    state["now"] += seconds
    state["own"] += own * seconds
    state["all"] += (own + others) * seconds


def pace(state: dict[str, float]) -> Pace:
    return Pace(measure=lambda: (state["all"], state["own"]))


def test_threads_follow_what_others_leave_and_come_back(machine: dict[str, float]) -> None:
    ours = pace(machine)
    for own, others, threads in ((4, 0, 4), (3, 1, 3), (3, 0.9, 3), (1, 3, 1), (1, 0.1, 4), (0.3, 3.7, 4)):
        work(machine, 3.0, own, others)
        ours.follow()
        assert machine["threads"] == threads, (own, others)


def test_nothing_changes_before_it_is_time_nor_where_one_thread_was_asked_for(machine: dict[str, float]) -> None:
    ours = pace(machine)
    work(machine, 1.0, 1, 3)
    ours.follow()
    assert machine["threads"] == 4
    machine["threads"] = 1
    alone = pace(machine)
    work(machine, 5.0, 1, 0)
    alone.follow()
    assert machine["threads"] == 1


def test_where_nobody_knows_threads_stay(machine: dict[str, float]) -> None:
    ours = Pace(measure=lambda: None)
    work(machine, 5.0, 1, 3)
    ours.follow()
    assert machine["threads"] == 4


def test_this_machine_is_measured() -> None:
    seen = hardware._seconds_at_work()
    assert seen is None or 0 < seen[1] <= seen[0] + 1

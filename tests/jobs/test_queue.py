"""Jobs that line up for a device, and what is asked of them meanwhile."""

from __future__ import annotations

import time

import pytest

from tests.jobs.making import recipe, wait
from vae.bundles.bundle import open_bundle
from vae.jobs import jobs, library, watch
from vae.jobs.job import JobError


def test_queue_pause_beta_stop_and_drop(home):
    first, second, third = (
        jobs.create(recipe(10**6, checkpoint_seconds=5.0), title) for title in ("One", "Two", "Three")
    )
    first.start()
    first.set_beta(0.125)  # asked for before the loop can hear it
    second.start()
    third.start()
    with pytest.raises(JobError, match="One is at work already"):
        first.start()
    wait(lambda: first.state == "running" and first.progress.get("step", 0) > 0)
    assert (second.state, third.state) == ("queued", "queued")
    wait(lambda: watch.history(first.run).train and abs(watch.history(first.run).train[-1]["beta"] - 0.125) < 1e-6)
    first.pause()
    wait(lambda: first.state == "paused")
    step = first.progress["step"]
    time.sleep(0.5)
    assert first.progress["step"] == step and second.state == "queued"
    first.resume()
    wait(lambda: first.progress["step"] > step)
    item = library.delete_job(third)  # stop and drop: of a waiting one here
    assert {job.title for job in jobs.list_jobs()} == {"One", "Two"}
    library.restore(item)
    assert jobs.get_job(item.name).state == "interrupted"
    first.stop()
    wait(lambda: not first.alive)
    assert first.state == "stopped" and open_bundle(first.bundle).title == "One"
    wait(lambda: second.state in ("reading", "running"))  # the queue moves on by itself
    second.end(300.0)
    assert second.state == "interrupted" and not second.bundle
    with pytest.raises(JobError, match="use 0 to 1000"):
        first.set_beta(-1)

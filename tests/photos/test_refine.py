"""The refining worker, run for real on a tiny model."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from vae.bundles.bundle import open_bundle
from vae.bundles.graph import style_decoder, style_encoder
from vae.config import ModelConfig
from vae.likeness import psnr as byte_psnr
from vae.networks.autoencoder import Autoencoder, StyleDecoder
from vae.photos import fitting, refine
from vae.photos.frames import read_frame, write_frame
from vae.photos.refine_job import Job
from vae.training.losses import psnr

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ModelConfig(architecture="style", image_size=32, channels=3, latent_size=8, width=0.0625, style_size=16)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """What a Refiner needs of a bundle, with a decoder of random weights."""
    torch.manual_seed(0)
    weights = {k: v.numpy() for k, v in Autoencoder(CONFIG).state_dict().items()}
    path = tmp_path_factory.mktemp("tiny")
    onnx.save(style_decoder(CONFIG, weights), path / "decoder.onnx")
    onnx.save(style_encoder(CONFIG, weights), path / "encoder.onnx")
    (path / "config.json").write_text(json.dumps({"model": CONFIG.to_dict(), "eyes": [[11, 16], [20, 16]]}))
    half = {k: torch.from_numpy(v.astype(np.float16).astype(np.float32)) for k, v in weights.items()}
    sizes = {"levels": 4, "style_size": 16, "image_size": 32, "channels": 3, "latent_size": 8, "curved": False}
    return SimpleNamespace(path=path, digest="tiny", name="tiny", weights=half, **sizes)


def decoder_state(bundle):
    prefix = "decoder."
    return {k.removeprefix(prefix): v for k, v in bundle.weights.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def target(bundle):
    """Two crops that the decoder can draw, though not from the codes given: their offsets differ from 0."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(2, 8, generator=generator)
    delta = 0.5 * torch.randn(2, CONFIG.levels, 16, generator=generator)
    decoder = StyleDecoder(CONFIG)
    decoder.load_state_dict(decoder_state(bundle))
    with torch.no_grad():
        image = decoder(z, delta).tanh()
    crops = ((image + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return crops, z.numpy()


@pytest.fixture(scope="module")
def read():
    """Offsets as an encoder may read them from these crops: near the true ones."""
    generator = torch.Generator().manual_seed(1)
    torch.randn(2, 8, generator=generator)  # the target's codes come first
    delta = 0.5 * torch.randn(2, CONFIG.levels, 16, generator=generator)
    return (delta + 0.1 * torch.randn(delta.shape, generator=generator)).numpy()


@pytest.fixture(scope="module")
def refiner():
    with refine.Refiner() as one:
        yield one


def at_first_step(refiner, monkeypatch, act):
    """Act in the thread that hears the worker, at the first step of a job: the worker cannot run on to its end meanwhile,
    as the pipe holds a part of its steps only."""
    listen, acted = refiner._heard, []

    def heard(worker, header, payload):
        listen(worker, header, payload)
        if header["op"] == "step" and header["step"] > 0 and not acted:
            acted.append(header)
            act(worker)

    monkeypatch.setattr(refiner, "_heard", heard)


def promptly(call):
    """What a call gives that has nothing to wait for; one that waits nevertheless does so for ever."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()
    thread.join(300)
    assert answers, "it waits for what does not come"
    return answers[0]


def until(holds):
    hopeless = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < hopeless, "waited in vain"
        time.sleep(0.02)


def test_refining_comes_closer_and_streams_steps(refiner, bundle, target):
    job = refiner.start(bundle, *target, steps=40)
    steps = list(job.subscribe())
    assert job.state == "done" and job.error is None
    assert [s.step for s in steps] == [0, *range(2, 40, 2), 40]
    assert all(s.total == 40 and s.delta.shape == (2, CONFIG.levels, 16) and s.delta.dtype == np.float32 for s in steps)
    assert not steps[0].delta.any()
    assert (steps[-1].psnr > steps[0].psnr + 3).all()
    assert job.latest is steps[-1] and refiner.get(job.id) is job and refiner.get("guess") is None


def test_psnr_told_is_that_of_the_decoder(refiner, bundle, target):
    job = refiner.start(bundle, *target, steps=10)
    job.wait(300)
    decoder = StyleDecoder(CONFIG)
    decoder.load_state_dict(decoder_state(bundle))
    x = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1
    for step in (job.steps[0], job.latest):
        with torch.no_grad():
            y = decoder(torch.from_numpy(target[1]), torch.from_numpy(step.delta.copy())).clamp(-1, 1)
        expected = -10 * np.log10(((x - y) / 2).square().mean((1, 2, 3)).numpy())
        assert np.allclose(step.psnr, expected, atol=0.01)


def test_refining_begins_at_the_offsets_that_the_encoder_read(refiner, bundle, target, read):
    plain, job = refiner.start(bundle, *target, steps=10), refiner.start(bundle, *target, steps=10, delta=read)
    assert plain.wait(300) and job.wait(300) and job.error is None
    assert np.array_equal(job.steps[0].delta, read)
    assert (job.steps[0].psnr > plain.steps[0].psnr + 3).all()
    decoder = StyleDecoder(CONFIG)
    decoder.load_state_dict(decoder_state(bundle))
    x = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1
    likeness, apart = fitting.Likeness(32, ((11, 16), (20, 16))), []
    for step in (job.steps[0], job.latest):
        with torch.no_grad():
            y = decoder(torch.from_numpy(target[1]), torch.from_numpy(step.delta.copy()))
        assert np.allclose(step.psnr, psnr(x, y).numpy(), atol=0.01)
        apart.append(likeness(fitting.pyramid(y), fitting.pyramid(x)))
    assert (apart[1] < apart[0]).all()


def test_the_penalty_holds_what_is_added_not_what_was_read(bundle, target, read, monkeypatch):
    monkeypatch.setattr(fitting, "PENALTY", 1e4)
    fitter = fitting.Fitter(CONFIG, bundle.weights, dtype=torch.float32)
    x, z = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(target[1])
    start = torch.from_numpy(read)
    *_, (_, _, late), _ = (report for report in fitter.run(x, z, 40, start) if report[1] is not None)
    assert (late - start).abs().mean() < 0.05 < 0.3 * start.abs().mean()


def test_the_worker_draws_a_bundle_s_noise_and_offsets_as_the_app_does(refiner, tiny_offset_bundle):
    bundle = open_bundle(tiny_offset_bundle)
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    z, _, delta = bundle.encode_with_offsets(crops)
    job = refiner.start(bundle, crops, z, 4, delta)
    assert job.wait(300) and job.error is None
    for step in (job.steps[0], job.latest):
        # The app rounds to bytes, the worker does not.
        assert np.allclose(step.psnr, byte_psnr(crops, bundle.decode(z, step.delta)), atol=0.02)


def test_a_batch_gives_what_single_photos_give(refiner, bundle, target):
    crops, z = target
    together = refiner.start(bundle, crops, z, steps=8)
    alone = [refiner.start(bundle, crops[i : i + 1], z[i : i + 1], steps=8) for i in range(2)]
    assert all(job.wait(300) for job in (together, *alone))
    for i in range(2):
        # To the rounding of bfloat16, which the steps of Adam pass on.
        assert abs(alone[i].latest.psnr[0] - together.latest.psnr[i]) < 0.5


@pytest.mark.parametrize("noise", [False, True])
def test_the_frozen_decoder_draws_the_same_picture(noise):
    torch.manual_seed(0)
    config = CONFIG.replace(noise=noise, offsets=noise)
    weights = Autoencoder(config).state_dict()
    for key in weights:
        if key.endswith(("strength", "bias")):
            weights[key] += 0.5 * torch.randn_like(weights[key])
    fitter = fitting.Fitter(config, weights, dtype=torch.float32)
    z = torch.randn(3, 8)
    delta = 0.3 * torch.randn(3, CONFIG.levels, 16)
    with torch.no_grad():
        w = fitter.decoder.styles(z, delta)
        assert torch.allclose(fitter.fast(w), fitter.decoder(z, delta), atol=1e-4)


def test_a_linear_path_is_refined_around():
    torch.manual_seed(0)
    config = CONFIG.replace(linear=True)
    weights = Autoencoder(config).state_dict()
    fitter = fitting.Fitter(config, weights, dtype=torch.float32)
    z, x = torch.randn(1, 8), torch.rand(1, 3, 32, 32) * 2 - 1
    assert fitter.decoder.linear_image(z).abs().mean() > 0.1
    reports = [report for report in fitter.run(x, z, 3 * fitting.REPORT_EVERY) if report[1] is not None]
    assert len(reports) == 4
    for _, decibels, delta in reports:
        with torch.no_grad():
            assert torch.allclose(decibels, psnr(x, fitter.decoder(z, delta)), atol=0.01)


def test_a_photo_that_steps_lead_away_from_stays_as_it_was(bundle, target, monkeypatch):
    fitter = fitting.Fitter(CONFIG, bundle.weights, dtype=torch.float32)
    x, z = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(target[1])
    (_, before, _), *_, (_, after, delta) = fitter.run(x, z, 6)
    assert (after > before).all() and delta.any()
    monkeypatch.setattr(fitting, "PLAIN", (1e3, 0.8))
    (_, before, _), *_, (_, after, delta) = fitter.run(x, z, 6)
    assert torch.allclose(after, before) and not delta.any()
    start = 0.2 * torch.randn(2, CONFIG.levels, 16)
    (_, before, first), *_, (_, after, delta) = fitter.run(x, z, 6, start)
    assert torch.equal(first, start) and torch.allclose(after, before) and torch.equal(delta, start)


def test_the_face_weighs_more_than_its_background():
    weights = fitting.face_weights(128, ((46, 66), (80, 66)))[0, 0]
    assert weights.mean() == pytest.approx(1) and weights[76, 63] == pytest.approx(2 * weights[2, 2])
    assert (fitting.face_weights(32, None) == 1).all()


def test_cancel_stops_within_a_step_and_the_next_job_runs(refiner, bundle, target, monkeypatch):
    heard, cancelled = [], threading.Event()
    at_first_step(refiner, monkeypatch, lambda _: cancelled.wait(300))
    listen = refiner._heard
    monkeypatch.setattr(refiner, "_heard", lambda *frame: (heard.append(frame[1]), listen(*frame)))
    job = refiner.start(bundle, *target, steps=500)
    waiting = refiner.start(bundle, *target, steps=500)
    assert job.wait_step(0, 300).step > 0
    assert waiting.state == "waiting"
    waiting.cancel()
    job.cancel()
    job.cancel()
    cancelled.set()
    assert job.state == waiting.state == "cancelled" and 0 < job.latest.step < 500
    after = refiner.start(bundle, *target, steps=3)
    assert after.wait(300) and after.state == "done"
    assert job.wait_step(job.latest.step, 5) is None
    until(lambda: not refiner._worker.jobs)  # a job is taken out just after those who wait for it are told
    # Jobs run one after the other, so all that the worker said of the first has been heard by now.
    last = max(header["step"] for header in heard if header["op"] == "step" and header["job"] == job.id)
    assert last < 490 and {"op": "cancelled", "job": job.id} in heard
    assert not [header for header in heard if header["op"] == "step" and header["job"] == waiting.id]


def test_wait_step_gives_the_latest_or_none_in_time(refiner, bundle, target):
    job = refiner.start(bundle, *target, steps=6)
    job.wait(300)
    assert job.wait_step(-1, 0).step == 6 and job.wait_step(5, 0).step == 6
    assert promptly(lambda: job.wait_step(6)) is None
    idle = Job(1, 5, lambda job: None)
    assert idle.wait_step(-1, 0.05) is None and idle.wait(0.05) is False


def test_jobs_of_several_threads_all_end(refiner, bundle, target):
    jobs = []

    def ask():
        jobs.append(refiner.start(bundle, *target, steps=5))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(job.wait(300) and job.state == "done" for job in jobs)


def test_a_crash_fails_the_job_and_the_next_starts_a_new_worker(bundle, target, monkeypatch):
    with refine.Refiner() as refiner:
        at_first_step(refiner, monkeypatch, lambda worker: worker.process.kill())
        job = refiner.start(bundle, *target, steps=500)
        first = refiner._worker.process
        assert job.wait(300) and job.state == "failed"
        assert "ended unexpectedly" in job.error and "\n" not in job.error
        again = refiner.start(bundle, *target, steps=2)
        assert again.wait(300) and again.state == "done" and refiner._worker.process.pid != first.pid


def test_an_unreadable_bundle_is_one_sentence_and_the_worker_lives(refiner, bundle, target, tmp_path):
    broken = SimpleNamespace(**{**vars(bundle), "path": tmp_path, "digest": "broken"})
    job = refiner.start(broken, *target, steps=2)
    assert job.wait(300) and job.state == "failed"
    assert "config.json" in job.error and "\n" not in job.error
    good = refiner.start(bundle, *target, steps=2)
    assert good.wait(300) and good.state == "done"


def test_prewarm_does_not_wait_for_the_worker(bundle, monkeypatch):
    deaf = [sys.executable, "-c", "import time; time.sleep(3600)"]
    popen = subprocess.Popen
    monkeypatch.setattr(refine.subprocess, "Popen", lambda command, **options: popen(deaf, **options))
    refiner = refine.Refiner()
    promptly(lambda: refiner.prewarm(bundle))
    assert refiner.running
    refiner._worker.process.kill()
    refiner.close()


def test_the_worker_ends_when_idle_or_closed(bundle):
    refiner = refine.Refiner()
    refiner.prewarm(bundle)
    process = refiner._worker.process
    assert refiner.running
    refiner.idle_seconds = 0.2
    refiner.prewarm()
    assert process.wait(300) is not None and not refiner.running
    refiner.idle_seconds = 3600
    refiner.prewarm()
    second = refiner._worker.process
    assert second.pid != process.pid
    refiner.close()
    assert second.poll() is not None and not refiner.running
    refiner.close()


def test_the_worker_dies_with_its_parent(bundle):
    code = (
        "import sys, time, types, pathlib; from vae.photos.refine import Refiner; r = Refiner();"
        f"r.prewarm(types.SimpleNamespace(path=pathlib.Path({str(bundle.path)!r}), digest='tiny', levels=4));"
        "print(r._worker.process.pid, flush=True); time.sleep(3600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    hopeless = time.monotonic() + 300
    while time.monotonic() < hopeless:
        stat = Path(f"/proc/{worker}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker outlived its parent")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(images=np.zeros((1, 16, 16, 3), np.uint8)), "align"),
        (dict(images=np.zeros((1, 32, 32, 3), np.float32)), "uint8"),
        (dict(images=np.zeros((9, 32, 32, 3), np.uint8), z=np.zeros((9, 8))), "9 photos"),
        (dict(z=np.full((1, 8), np.nan)), "finite"),
        (dict(z=np.zeros((2, 8))), "(2, 8)"),
        (dict(z=np.array([["a"] * 8])), "finite"),
        (dict(delta=np.zeros((1, 4, 15))), "(1, 4, 16)"),
        (dict(delta=np.full((1, 4, 16), np.inf)), "offsets must be finite"),
        (dict(steps=0), "is 0"),
        (dict(steps=10**6), "1000000"),
        (dict(steps=2.5), "2.5"),
    ],
)
def test_bad_requests_are_refused_by_a_sentence(bundle, change, words):
    request = {"images": np.zeros((1, 32, 32, 3), np.uint8), "z": np.zeros((1, 8)), "steps": 2, **change}
    with pytest.raises(refine.RefineError, match="(?s)" + words.replace("(", r"\(").replace(")", r"\)")):
        refine.Refiner().start(bundle, **request)


def test_a_flat_model_is_refused(bundle):
    flat = SimpleNamespace(**{**vars(bundle), "levels": 0, "name": "digits-2d"})
    with pytest.raises(refine.RefineError, match="digits-2d has no style levels"):
        refine.Refiner().start(flat, np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 8)))


def test_too_many_waiting_jobs_are_refused(refiner, bundle, target, monkeypatch):
    monkeypatch.setattr(refine, "MAX_WAITING", 2)
    refiner.prewarm()
    worker = refiner._worker.process
    worker.send_signal(signal.SIGSTOP)  # so that none ends before the last is asked for
    try:
        jobs = [refiner.start(bundle, *target, steps=500) for _ in range(2)]
        with pytest.raises(refine.RefineError, match="try again in a minute"):
            refiner.start(bundle, *target)
        [job.cancel() for job in jobs]
    finally:
        worker.send_signal(signal.SIGCONT)


def test_frames_survive_the_pipe_and_nonsense_is_refused():
    pipe = io.BytesIO()
    write_frame(pipe, {"op": "x", "n": 1}, b"abc")
    write_frame(pipe, {"op": "y"})
    pipe.seek(0)
    assert read_frame(pipe) == ({"op": "x", "n": 1}, b"abc")
    assert read_frame(pipe) == ({"op": "y"}, b"")
    assert read_frame(pipe) is None
    assert read_frame(io.BytesIO(pipe.getvalue()[:-3])) is not None
    assert read_frame(io.BytesIO(pipe.getvalue()[:12])) is None
    with pytest.raises(ValueError, match="bytes"):
        read_frame(io.BytesIO(b"\xff" * 64))


def test_the_client_does_not_import_torch():
    heavy = "('torch', 'dlib', 'av', 'PIL')"
    code = (
        f"import sys, vae.photos.refine, vae.photos.faces, vae.media; sys.exit(any(m in sys.modules for m in {heavy}))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_no_picture_touches_the_disk(bundle, target, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = {file.name for file in bundle.path.iterdir()}
    with refine.Refiner() as refiner:
        job = refiner.start(bundle, *target, steps=3)
        assert job.wait(300) and job.state == "done"
    assert not list(tmp_path.iterdir()) and {file.name for file in bundle.path.iterdir()} == before

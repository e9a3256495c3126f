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
import onnxruntime as ort
import pytest
import torch

from vae.bundles.bundle import open_bundle
from vae.bundles.contract import level_at, no_feature
from vae.bundles.feature import whole
from vae.bundles.graph import style_decoder, style_encoder
from vae.config import ModelConfig
from vae.likeness import psnr as byte_psnr
from vae.networks.autoencoder import Autoencoder, StyleDecoder
from vae.networks.weights import load_weights
from vae.photos import curvature, fitting, refine
from vae.photos.feature import find
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
def draw(bundle):
    """Float pictures (n, c, s, s) by ONNX Runtime from the decoder's own file, with what a step found."""
    session = ort.InferenceSession(whole((bundle.path / "decoder.onnx").read_bytes(), CONFIG))

    def drawn(z: np.ndarray, step: refine.Step) -> torch.Tensor:
        features = no_feature(CONFIG)
        if step.features:
            features = {
                "feature": np.stack([one.offset for one in step.features]).astype(np.float32),
                "anchor": np.stack([one.anchor for one in step.features]).astype(np.float32),
            }
        levels = np.repeat(z[:, None], CONFIG.levels, axis=1).astype(np.float32)
        return torch.from_numpy(session.run(["image"], {"z": levels, "delta": step.delta, **features})[0])

    return drawn


def reports(run):
    """What a Fitter reports, without the turns that it gives the caller between."""
    return [report for report in run if report is not None]


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
    # 15 steps of the styles, told of every second, and 25 of the feature offset, told of every fifth
    assert [s.step for s in steps] == [0, *range(2, 15, 2), 15, 20, 25, 30, 35, 40]
    assert all(s.total == 40 and s.delta.shape == (2, CONFIG.levels, 16) and s.delta.dtype == np.float32 for s in steps)
    assert all(s.pictures.shape == (2, 32, 32, 3) and s.pictures.dtype == np.uint8 for s in steps)
    assert not steps[0].delta.any()
    assert all(np.array_equal(s.delta, steps[8].delta) for s in steps[8:])  # the styles stay from then on
    first, styles, last = (steps[i].psnr for i in (0, 8, -1))
    assert (styles > first + 1.5).all() and (last > styles + 1).all() and (last > first + 3).all()
    assert not any(s.features for s in steps[:-1]) and len(steps[-1].features) == 2
    for feature in steps[-1].features:
        assert feature.offset.shape == feature.anchor.shape == CONFIG.feature_shape
        assert feature.offset.dtype == feature.anchor.dtype == np.float16
    assert job.latest is steps[-1] and refiner.get(job.id) is job and refiner.get("guess") is None


def test_psnr_told_is_that_of_the_decoder(refiner, bundle, target, draw):
    job = refiner.start(bundle, *target, steps=10)
    job.wait(300)
    x = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1
    styles = next(step for step in job.steps if step.step == 4)  # the last before those of the feature offset
    for step in (job.steps[0], styles, job.latest):
        y = draw(target[1], step).clamp(-1, 1)
        expected = -10 * np.log10(((x - y) / 2).square().mean((1, 2, 3)).numpy())
        assert np.allclose(step.psnr, expected, atol=0.01)
        told = (y.permute(0, 2, 3, 1).numpy() + 1) * 127.5
        assert np.abs(step.pictures - told).max() <= 0.51  # the bytes that are streamed are that picture's
    assert job.latest.features and any(feature.offset.any() for feature in job.latest.features)


def test_refining_begins_at_the_offsets_that_the_encoder_read(refiner, bundle, target, read, draw):
    plain, job = refiner.start(bundle, *target, steps=10), refiner.start(bundle, *target, steps=10, delta=read)
    assert plain.wait(300) and job.wait(300) and job.error is None
    assert np.array_equal(job.steps[0].delta, read)
    assert (job.steps[0].psnr > plain.steps[0].psnr + 3).all()
    x = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1
    likeness, apart = fitting.Likeness(32, ((11, 16), (20, 16))), []
    styles = next(step for step in job.steps if step.step == 4)
    for step in (job.steps[0], styles, job.latest):
        y = draw(target[1], step)
        assert np.allclose(step.psnr, psnr(x, y).numpy(), atol=0.01)
        apart.append(likeness(fitting.pyramid(y), fitting.pyramid(x)))
    assert (apart[1] < apart[0]).all() and (apart[2] < apart[1]).all()


def test_the_penalty_holds_what_is_added_not_what_was_read(bundle, target, read, monkeypatch):
    monkeypatch.setattr(fitting, "PENALTY", 1e4)
    fitter = fitting.Fitter(CONFIG, bundle.weights, dtype=torch.float32)
    x, z = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(target[1])
    start = torch.from_numpy(read)
    *_, late, _ = reports(fitter.run(x, z, 40, start))
    assert (late.delta - start).abs().mean() < 0.05 < 0.3 * start.abs().mean()


def test_the_worker_draws_a_bundle_s_noise_and_offsets_as_the_app_does(refiner, tiny_offset_bundle):
    bundle = open_bundle(tiny_offset_bundle)
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    z, _, delta = bundle.encode_with_offsets(crops)
    job = refiner.start(bundle, crops, z, 4, delta)
    assert job.wait(300) and job.error is None
    # The app rounds to bytes, the worker does not.
    for step in job.steps[:-1]:
        assert np.allclose(step.psnr, byte_psnr(crops, bundle.decode(z, step.delta)), atol=0.02)
    last = job.latest
    offset, anchor = (np.stack([getattr(one, name) for one in last.features]) for name in ("offset", "anchor"))
    app = bundle.decode(z, last.delta, feature=offset, anchor=anchor)
    assert np.allclose(last.psnr, byte_psnr(crops, app), atol=0.02)
    assert np.abs(app.astype(int) - last.pictures).max() <= 1


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
    every = 3 * fitting.REPORT_EVERY
    found = reports(fitter.run(x, z, every, feature_steps=2 * fitting.FEATURE_REPORT_EVERY))
    assert [report.step for report in found] == [0, 2, 4, 6, 11, 16] and found[-1].psnr > found[3].psnr
    for report in found[:4]:
        with torch.no_grad():
            assert torch.allclose(report.psnr, psnr(x, fitter.decoder(z, report.delta)), atol=0.01)
    last, level = found[-1], level_at(config.feature_shape[1])
    with torch.no_grad():
        w = fitter.decoder.styles(z, last.delta)
        features, below = fitter.exact.below(w, level)
        image = fitter.exact.above(features + last.feature.float(), below, w, level) + fitter.decoder.linear_image(z)
        assert torch.allclose(last.psnr, psnr(x, image), atol=0.01) and torch.allclose(last.image, image, atol=1e-4)


def test_a_photo_that_steps_lead_away_from_stays_as_it_was(bundle, target, monkeypatch):
    fitter = fitting.Fitter(CONFIG, bundle.weights, dtype=torch.float32)
    x, z = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(target[1])
    first, *_, last = reports(fitter.run(x, z, 6))
    assert (last.psnr > first.psnr).all() and last.delta.any()
    monkeypatch.setattr(fitting, "PLAIN", (1e3, 0.8))
    first, *_, last = reports(fitter.run(x, z, 6))
    assert torch.allclose(last.psnr, first.psnr) and not last.delta.any()
    start = 0.2 * torch.randn(2, CONFIG.levels, 16)
    first, *_, last = reports(fitter.run(x, z, 6, start))
    assert torch.equal(first.delta, start) and torch.allclose(last.psnr, first.psnr) and torch.equal(last.delta, start)


@pytest.mark.parametrize("rate", [1e3, 1e30, float("nan")])
def test_a_feature_offset_that_leads_away_is_none(bundle, target, monkeypatch, rate):
    fitter = fitting.Fitter(CONFIG, bundle.weights, dtype=torch.float32)
    x, z = torch.from_numpy(target[0]).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(target[1])
    monkeypatch.setattr(fitting, "FEATURE_RATE", rate)
    found = reports(fitter.run(x, z, 6, feature_steps=6))
    styles, last = next(report for report in found if report.step == 6), found[-1]
    assert last.step == last.total == 12 and not last.feature.any()
    assert torch.allclose(last.psnr, styles.psnr) and torch.equal(last.image, styles.image)


def test_what_styles_cannot_say_a_feature_offset_does(refiner, tiny_style_bundle):
    """A photo that differs from what any styles draw: noise on the feature map, which styles scale but do not place."""
    bundle = open_bundle(tiny_style_bundle)
    rng = np.random.default_rng(5)
    z = rng.standard_normal((1, 8)).astype(np.float32)
    there = bundle.feature_map(z)
    photo = bundle.decode(z, feature=there.std() * rng.standard_normal(there.shape))
    job = refiner.start(bundle, photo, z, 64)
    assert job.wait(300) and job.error is None
    x = torch.from_numpy(photo).permute(0, 3, 1, 2) / 127.5 - 1
    found = curvature.load(bundle.path, bundle.levels, bundle.style_size)
    fitter = fitting.Fitter(bundle.model, load_weights(bundle.path), bundle.eyes, curvature=found)
    *_, styles = reports(fitter.run(x, torch.from_numpy(z), 64))  # as many steps of the styles alone
    last = job.latest
    assert last.psnr[0] > float(styles.psnr[0]) + 3
    (feature,) = last.features
    picture = bundle.decode(z, last.delta, feature=feature.offset, anchor=feature.anchor)
    assert byte_psnr(photo, picture)[0] == pytest.approx(last.psnr[0], abs=0.1)
    assert byte_psnr(photo, bundle.decode(z, last.delta))[0] < last.psnr[0] - 3
    anchor = bundle.feature_map(z, last.delta)[0]
    assert np.abs(anchor - feature.anchor).max() <= 2**-11 * np.abs(anchor).max() + 1e-4
    assert find(feature.id) is feature


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

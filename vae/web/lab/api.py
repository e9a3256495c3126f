"""The routes of the Lab page: pictures, questions to its benches, and what is still being measured."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vae.bundles.bundle import Bundle
from vae.evaluation.compressing import LEAST, MOST
from vae.evaluation.lanes import LabJob
from vae.evaluation.noises import DAMAGES
from vae.web.core import services
from vae.web.core.http import NO_STORE, Refusal, answer, json_body, read_body, slots, the_bundle
from vae.web.lab.pictures import dropped, read_pictures, read_png, samples

MAX_QUESTION = 48 * 2**20
MAX_LSZ = 2**20
AT_ONCE = 20.0  # seconds that a question is held open for its answer
POLL = 5.0


def _one_picture(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return {"pictures": read_pictures(bundle, body, 1)[0]}


def _many(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    pictures, names = read_pictures(bundle, body)
    return {"pictures": pictures, "names": names}


def _budget(body: dict[str, Any]) -> int:
    value = body.get("budget")
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST <= value <= MOST:
        raise Refusal(f"the budget is {str(value)[:20]}; use {LEAST} to {MOST:,} bytes")
    return value


def _compress(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return {**_one_picture(bundle, body), "budget": _budget(body)}


def _study(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return {**_many(bundle, body), "budget": _budget(body)}


def _damaged(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    found = next((one for one in DAMAGES if one.id == body.get("kind")), None)
    if found is None:
        raise Refusal(f"there is no damage {str(body.get('kind'))[:40]!r}; use {', '.join(one.id for one in DAMAGES)}")
    value = body.get("strength")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not found.least <= value <= found.most:
        raise Refusal(f"the strength is {str(value)[:20]}; use {found.least:g} to {found.most:g}")
    return {**_one_picture(bundle, body), "kind": found.id, "strength": float(value)}


def _mask(bundle: Bundle, body: dict[str, Any]) -> np.ndarray:
    return (read_png(bundle, body.get("mask"), "mask", 1)[..., 0] > 127).astype(np.uint8)


def _masked(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return {**_one_picture(bundle, body), "mask": _mask(bundle, body)}


def _painted(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    pictures = read_pictures(bundle, body, 2)[0]
    if len(pictures) != 2:
        raise Refusal("the question needs the true picture and the painted one; send both")
    return {"pictures": pictures, "mask": _mask(bundle, body)}


def _perhaps_many(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return _many(bundle, body) if body.get("pictures") else {}


def _draw(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    prior, temperature, seed = body.get("prior"), body.get("temperature"), body.get("seed")
    if prior not in ("fitted", "normal"):
        raise Refusal(f"there is no prior {str(prior)[:40]!r}; use fitted or normal")
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 <= temperature <= 2:
        raise Refusal(f"the temperature is {str(temperature)[:20]}; use 0 to 2")
    return {"prior": prior, "temperature": float(temperature), "seed": _whole(seed, "seed", 2**31)}


def _whole(value: Any, what: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < most:
        raise Refusal(f"the {what} is {str(value)[:20]}; use a whole number from 0 to {most - 1:,}")
    return value


def _near(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return {**_draw(bundle, body), "index": _whole(body.get("index"), "index", 400)}


def _other(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    name, names = body.get("other"), [one for one in services.registry.names() if one != bundle.name]
    if name not in names:
        raise Refusal(
            f"there is no other model {str(name)[:60]!r}; use {', '.join(names) or 'none: there is only one'}"
        )
    found = services.registry.get(name)
    return {"other": [str(found.path), found.digest]}


def _two(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return {**_one_picture(bundle, body), **_other(bundle, body)}


def _nothing(bundle: Bundle, body: dict[str, Any]) -> dict[str, Any]:
    return {}


# What each bench takes out of a question.
QUESTIONS = {
    "warm": _nothing, "fit": _nothing, "reconstruct": _one_picture, "table": _many, "compress": _compress,
    "curves": _many, "denoise": _damaged, "mode": _damaged, "fill": _masked, "fill_mode": _masked, "invent": _painted,
    "dimensions": _perhaps_many, "sliders": _nothing, "generate": _draw, "near": _near, "study": _study,
    "two": _two, "pair": _other,
}  # fmt: skip


async def _answered(job: LabJob, patience: float) -> Response:
    """What a job has come to, at its end or after some seconds. Raises Refusal where it failed."""
    await anyio.to_thread.run_sync(job.wait, patience, limiter=slots("lab", 32))
    if job.state == "failed":
        raise Refusal(job.error, 422)
    if job.finished:
        services.workshop.forget(job)
    return JSONResponse(job.report(), headers=NO_STORE)


async def ask(request: Request) -> Response:
    """POST /api/lab/ask/BENCH?model=NAME, a JSON object -> the job, with its result where that took no more than a moment."""
    bundle, bench = the_bundle(request), request.path_params["bench"]
    if bench not in QUESTIONS:
        raise Refusal(f"there is no bench {bench[:40]!r}; use {', '.join(QUESTIONS)}", 404)
    body = await json_body(request, MAX_QUESTION)
    taken = QUESTIONS[bench](bundle, body)
    arrays = {name: value for name, value in taken.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in taken.items() if name not in arrays}
    job = services.workshop.start(bundle, bench, plain, **arrays)
    long = bench in services.workshop.LONG
    return await _answered(job, 0.05 if long else AT_ONCE)


async def unpack(request: Request) -> Response:
    """POST /api/lab/unpack?model=NAME, an .lsz file -> its pictures."""
    bundle = the_bundle(request)
    data = await read_body(request, MAX_LSZ, "file")
    job = services.workshop.start(bundle, "unpack", {}, data=np.frombuffer(data, np.uint8))
    return await _answered(job, AT_ONCE)


def _job(request: Request) -> LabJob:
    job = services.workshop.get(request.path_params["job"])
    if job is None:
        raise Refusal("this measurement has ended and was forgotten; start it again", 404)
    return job


async def look(request: Request) -> Response:
    """GET /api/lab/job/ID: how far it is, after a second at most, and its result at the end."""
    return await _answered(_job(request), 1.0)


async def cancel(request: Request) -> Response:
    """DELETE /api/lab/job/ID."""
    job = _job(request)
    job.cancel()
    return JSONResponse(job.report(), headers=NO_STORE)


def routes() -> list[Route]:
    """What this module adds to the application."""
    return [
        Route("/api/lab/samples", answer(samples)),
        Route("/api/lab/pictures", answer(dropped), methods=["POST"]),
        Route("/api/lab/ask/{bench}", answer(ask), methods=["POST"]),
        Route("/api/lab/unpack", answer(unpack), methods=["POST"]),
        Route("/api/lab/job/{job}", answer(look), methods=["GET"]),
        Route("/api/lab/job/{job}", answer(cancel), methods=["DELETE"]),
    ]

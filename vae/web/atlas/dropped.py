"""The route of pictures dropped on the map: read in memory, encoded, kept nowhere."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae.bundles.contract import BundleError
from vae.data.pictures import read_image
from vae.photos.aligning import FaceError
from vae.photos.faces import ImageError
from vae.web.core.http import MAX_IMAGE_BYTES, NO_STORE, Refusal, b64, in_thread, read_body, the_bundle
from vae.web.live.encoding import fit

MAX_DROP = 64 * 2**20
MAX_UNPACKED = 256 * 2**20
MAX_DROPPED = 100


def members(data: bytes, name: str) -> list[tuple[str, bytes | str]]:
    """The pictures of a file, or of a zip, in memory: name and bytes, or name and the sentence why not."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return [(name, data)]
    found, total = [], 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [
                info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")
            ]
            for info in files[:MAX_DROPPED]:
                short = info.filename.rsplit("/", 1)[-1][:80]
                total += info.file_size
                if info.file_size > MAX_IMAGE_BYTES or total > MAX_UNPACKED:
                    found.append((short, f"it unpacks to {info.file_size:,} bytes, too many; use pictures up to 20 MB"))
                    continue
                with archive.open(info) as file:
                    found.append((short, file.read(MAX_IMAGE_BYTES + 1)))
            if len(files) > MAX_DROPPED:
                found.append((name, f"of its {len(files)} files the first {MAX_DROPPED} were read"))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise Refusal(
            f"the archive {name[:60]!r} cannot be read ({str(error)[:80]}); pack it again without a password"
        ) from None
    return found


async def place(request: Request) -> Response:
    """POST /api/atlas/place: one picture or a zip of them -> code and style offsets of each; kept nowhere."""
    bundle = the_bundle(request)
    data = await read_body(request, MAX_DROP, "file")
    name = request.query_params.get("name", "picture")[:80]

    def work() -> dict[str, Any]:
        placed: list[dict[str, str]] = []
        refused: list[str] = []
        for short, content in members(data, name):
            if isinstance(content, str):
                refused.append(f"{short}: {content}")
                continue
            try:
                if len(content) > MAX_IMAGE_BYTES:
                    raise ImageError(f"the picture has more than {MAX_IMAGE_BYTES:,} bytes; use a smaller one")
                crop, _ = fit(bundle, read_image(content), True)
                mu, logvar, delta = bundle.encode_with_offsets(crop[None])
            except (BundleError, FaceError, ImageError) as error:
                refused.append(f"{short}: {error}")
                continue
            found = {"name": short, "mu": b64(bundle.check_z(mu[0])), "logvar": b64(logvar[0])}
            placed.append(found if delta is None else {**found, "delta": b64(delta[0])})
        return {"placed": placed, "refused": refused}

    return JSONResponse(await in_thread(work), headers=NO_STORE)

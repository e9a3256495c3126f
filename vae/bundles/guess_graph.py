"""The network that guesses a photo's feature offset (vae.networks.guess), as an ONNX graph."""

from __future__ import annotations

import onnx

from vae.bundles.graph import GAIN, GraphBuilder, Weights
from vae.config import ModelConfig

PREFIX = "guess."


def guess_shapes(config: ModelConfig) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """Inputs and outputs by name, None a free dimension."""
    picture = (None, config.channels, config.image_size, config.image_size)
    feature = (None, *config.feature_shape)
    return {"image": picture, "picture": picture, "anchor": feature}, {"feature": feature}


def guess_graph(config: ModelConfig, weights: Weights, half: bool = True) -> onnx.ModelProto:
    """image, picture (N, c, s, s), anchor (N, C, s/4, s/4) -> feature (N, C, s/4, s/4); weights: named `guess.` and on."""
    g = GraphBuilder(weights, half)

    def count(name: str) -> int:
        return len({key.split(".")[2] for key in weights if key.startswith(f"{PREFIX}{name}.")})

    def blocks(x: str, name: str) -> str:
        for i in range(count(name)):
            key = f"{PREFIX}{name}.{i}"
            x = g.op("Add", x, g.conv(g.leaky(g.conv(x, f"{key}.conv1", GAIN)), f"{key}.conv2"))
        return x

    seen = g.op("Concat", g.op("Sub", "image", "picture"), "image", axis=1)
    key = f"{PREFIX}patches"
    side = weights[f"{key}.weight"].shape[-1]
    x = g.op("Conv", seen, g.weight(f"{key}.weight", g.fan_in(key)), g.weight(f"{key}.bias"), strides=[side, side])
    unit = g.weight(f"{PREFIX}unit")
    x = g.op("Add", x, g.conv(g.op("Div", "anchor", unit), f"{PREFIX}anchor"))
    x = blocks(x, "before")
    y = blocks(g.conv(g.pool(x), f"{PREFIX}down"), "between")
    x = blocks(g.op("Add", x, g.conv(g.upsample(y), f"{PREFIX}up")), "after")
    x = g.op("Mul", g.leaky(x), g.constant(GAIN))
    g.op("Mul", g.conv(x, f"{PREFIX}out"), unit, name="feature")
    inputs, outputs = guess_shapes(config)
    named = [{k: ["N", *shape[1:]] for k, shape in values.items()} for values in (inputs, outputs)]
    return g.finish("guess", *named)

"""Cut a decoder's ONNX graph, with the inputs of a feature offset, at the resolutions where it can stop.

What crosses a cut at level l: rgb.l, x.l and w, and z where a linear path goes on beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx

from vae.bundles.contract import FREE, level_at
from vae.bundles.feature import with_feature
from vae.config import ModelConfig


def _value_infos(shapes: dict[str, list]) -> list[Any]:
    """float32 values of an ONNX graph, from their shapes by name."""
    return [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v) for k, v in shapes.items()]


def _part(model: Any, inputs: list, outputs: list) -> bytes:
    """The nodes of an ONNX model between these values, with their initialisers, as a model of its own."""
    needed, kept = {v.name for v in outputs}, []
    known = {v.name for v in inputs}
    for node in reversed(model.graph.node):  # ONNX keeps nodes in topological order
        if any(o in needed and o not in known for o in node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [t for t in model.graph.initializer if t.name in needed]
    graph = onnx.helper.make_graph(kept[::-1], model.graph.name, inputs, outputs, tensors)
    made = onnx.helper.make_model(graph, opset_imports=model.opset_import, producer_name=model.producer_name)
    made.ir_version = model.ir_version
    return made.SerializeToString()


def border(config: ModelConfig, size: int) -> list[onnx.ValueInfoProto]:
    """What crosses a cut of the decoder at `size` pixels: rgb.l, x.l and w, as ONNX value infos."""
    level = level_at(size)
    shapes = {
        f"rgb.{level}": ["N", config.channels, size, size],
        f"x.{level}": ["N", config.width_at(size), size, size],
        "w": ["N", config.levels, config.style_size],
    }
    return _value_infos(shapes)


def given(config: ModelConfig, size: int) -> list[onnx.ValueInfoProto]:
    """What the part beyond a cut takes: what crosses it and, where a linear path goes on there, z."""
    more = {"z": ["N", config.levels, config.latent_size]} if size < config.linear_size else {}
    return [*border(config, size), *_value_infos(more)]


def in_two(decoder: bytes, config: ModelConfig, size: int) -> tuple[bytes, bytes]:
    """A decoder with styles, an ONNX file, cut at `size` pixels -> head and tail, as ONNX files.

    head: z, delta, feature, anchor -> rgb.l, x.l, w; tail: x.l, rgb.l, w -> image, and z where a linear path goes on.
    """
    model = with_feature(decoder, config)
    head = _part(model, list(model.graph.input), border(config, size))
    return head, _part(model, given(config, size), list(model.graph.output))


def in_a_row(decoder: bytes, config: ModelConfig, sizes: Sequence[int]) -> list[bytes]:
    """A decoder with styles, an ONNX file, cut at each of the rising `sizes` -> the parts, each weight in one of them.

    The first part, up to the feature offset's level, gives the map before the offset too.
    """
    model = with_feature(decoder, config)
    borders = [border(config, size) for size in sizes]
    inputs = [list(model.graph.input), *(given(config, size) for size in sizes)]
    outputs = [borders[0], *(crossing[:2] for crossing in borders[1:]), list(model.graph.output)]  # w is made once
    first, *rest = zip(inputs, outputs)
    free = _value_infos({FREE: ["N", *config.feature_shape]})
    return [_part(model, first[0], [*first[1], *free]), *(_part(model, a, b) for a, b in rest)]

"""The project's own code as the Learn page shows it: read from the source files, so that it cannot drift."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

import vae

PACKAGE = Path(vae.__file__).parent
# What may be shown: a name of the page -> file below the package, and the definition in it.
SHOWN = {
    "sample": ("networks/autoencoder.py", "Posterior.sample"),
    "kl": ("networks/autoencoder.py", "Posterior.kl"),
    "forward": ("networks/autoencoder.py", "Autoencoder.forward"),
    "encode": ("networks/autoencoder.py", "Autoencoder.encode"),
    "reconstruction": ("training/losses.py", "reconstruction_loss"),
    "lesson": ("training/lessons.py", "loss"),
    "train": ("training/lessons.py", "train_one"),
    "draw": ("space/latent.py", "toward"),
    "lerp": ("space/latent.py", "lerp"),
    "groups": ("space/mixing.py", "level_groups"),
}


@lru_cache(maxsize=32)
def snippet(name: str) -> dict[str, str]:
    """{name, where, code} of one of SHOWN: the definition without its docstring, dedented."""
    path, qualified = SHOWN[name]
    text = (PACKAGE / path).read_text("utf-8")
    node: ast.AST = ast.parse(text)
    for part in qualified.split("."):
        node = next(n for n in node.body if getattr(n, "name", "") == part)
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(getattr(first, "value", None), ast.Constant):
        del lines[first.lineno - node.lineno : first.end_lineno - node.lineno + 1]
    code = "\n".join(line[node.col_offset :] for line in lines)
    return {"name": name, "where": f"vae/{path}", "line": str(node.lineno), "code": code}


def whole(name: str) -> str:
    """The text of the file that one of SHOWN stands in."""
    return (PACKAGE / SHOWN[name][0]).read_text("utf-8")

"""What the Learn page states as a formula: one expression, from which both the TeX and the test's numbers come.

An expression is Python's: names of the page's symbols, + - * / **, log, sum, encoder and decoder. So the page cannot
state one thing while the test checks another.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

# What a name is written as, and the symbol whose colour it has ("" for none).
NAMES = {
    "x": ("x", "x"),
    "y": ("x'", "y"),
    "mu": (r"\mu", "mu"),
    "sigma": (r"\sigma", "sigma"),
    "eps": (r"\varepsilon", "eps"),
    "z": ("z", "z"),
    "beta": (r"\beta", ""),
    "L": ("L", "loss"),
    "KL": (r"\mathrm{KL}", "loss"),
    "loss": (r"\mathrm{loss}", "loss"),
    "dL_dz": (r"\frac{\partial L}{\partial z}", "loss"),
    "dL_dmu": (r"\frac{\partial L}{\partial \mu}", "loss"),
    "dL_dsigma": (r"\frac{\partial L}{\partial \sigma}", "loss"),
    "encoder": (r"\mathrm{encoder}", ""),
    "decoder": (r"\mathrm{decoder}", ""),
    "z0": ("z_0", "z"),
    "a": ("a", ""),
    "w": ("w", ""),
    "t": ("t", ""),
}
SYMBOLS = {
    "x": ("x", "the picture"),
    "y": ("x'", "the picture drawn again"),
    "mu": ("\u03bc", "the middle of its cloud"),
    "sigma": ("\u03c3", "how wide the cloud is"),
    "eps": ("\u03b5", "the throw of the die"),
    "z": ("z", "the code"),
    "loss": ("L", "what it costs"),
    "beta": ("\u03b2", "the weight of the second wish"),
    "t": ("t", "the temperature"),
    "w": ("w", "your arrow"),
    "a": ("a", "how far along it"),
}

# The same in a line of text.
PLAIN = {
    "y": "x'",
    "mu": "\u03bc",
    "sigma": "\u03c3",
    "eps": "\u03b5",
    "beta": "\u03b2",
    "z0": "z\u2080",
    "sum": "\u03a3",
    "dL_dz": "\u2202L/\u2202z",
    "dL_dmu": "\u2202L/\u2202\u03bc",
    "dL_dsigma": "\u2202L/\u2202\u03c3",
}


@dataclass(frozen=True)
class Formula:
    """left = right; `right` is an expression over the names above."""

    left: str
    right: str

    @property
    def tex(self) -> str:
        """TeX with a class for each symbol's colour."""
        sides = [to_tex(ast.parse(side, mode="eval").body) for side in (self.left, self.right)]
        return " = ".join(sides)

    @property
    def plain(self) -> str:
        """The same in a line, where no TeX can be set."""
        text = f"{self.left} = {self.right}"
        for name, sign in PLAIN.items():
            text = re.sub(rf"\b{name}\b", sign, text)
        return text.replace("**2", "\u00b2").replace(" * ", " \u00b7 ").replace(" - ", " \u2212 ")


def _name(name: str) -> str:
    sign, symbol = NAMES[name]
    return rf"\htmlClass{{sym-{symbol}}}{{{sign}}}" if symbol else sign


def to_tex(node: ast.expr) -> str:
    """An expression as TeX. Raises KeyError for a name that the page does not know."""
    if isinstance(node, ast.Name):
        return _name(node.id)
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Tuple):
        return r",\, ".join(map(to_tex, node.elts))
    if isinstance(node, ast.Call):
        inner, name = to_tex(node.args[0]), node.func.id
        loose = isinstance(node.args[0], ast.BinOp) and isinstance(node.args[0].op, (ast.Add, ast.Sub))
        if name == "sum":
            return rf"\sum \left({inner}\right)" if loose else rf"\sum {inner}"
        return rf"\log {inner}" if name == "log" else rf"{_name(name)}({inner})"
    if isinstance(node, ast.BinOp):
        left, right = to_tex(node.left), to_tex(node.right)
        loose = (ast.Add, ast.Sub)
        if isinstance(node.op, ast.Div):
            return rf"\tfrac{{1}}{{{right}}} {left}"
        if isinstance(node.op, ast.Pow):
            inner = isinstance(node.left, ast.BinOp)
            return rf"({left})^{{{right}}}" if inner else rf"{left}^{{{right}}}"
        if isinstance(node.op, ast.Mult):
            left = rf"({left})" if isinstance(node.left, ast.BinOp) and isinstance(node.left.op, loose) else left
            right = rf"({right})" if isinstance(node.right, ast.BinOp) and isinstance(node.right.op, loose) else right
            return rf"{left}\,{right}"
        if isinstance(node.op, loose):
            return rf"{left} {'+' if isinstance(node.op, ast.Add) else '-'} {right}"
    raise ValueError(f"a formula cannot hold {ast.dump(node)[:60]}; use names, numbers, + - * / **, log and sum")


LOSS_OF_PIXELS = Formula("L", "sum((x - y)**2) / 2")
ENCODE = Formula("(mu, sigma)", "encoder(x)")
DECODE = Formula("y", "decoder(z)")
PLAIN_CODE = Formula("z", "encoder(x)")
DRAW = Formula("z", "mu + sigma * eps")
KL = Formula("KL", "sum(mu**2 + sigma**2 - 1 - log(sigma**2)) / 2")
TWO_WISHES = Formula("loss", "L + beta * KL")
SLOPE_MU = Formula("dL_dmu", "dL_dz")
SLOPE_SIGMA = Formula("dL_dsigma", "dL_dz * eps")
PRIOR = Formula("z", "t * eps")
ALONG = Formula("z", "z0 + a * w")

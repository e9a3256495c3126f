"""The Lab's figures for people: a page of HTML that needs nothing beside itself, and plain text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

HEADS = {
    "title": "Method", "bytes": "Bytes", "psnr": "PSNR, dB", "ssim": "SSIM", "perceptual": "Perceptual", "share": "Could",
    "name": "Picture", "nats": "KL, nats", "bits": "KL, bits",
}  # fmt: skip
DIGITS = {"psnr": 2, "ssim": 3, "perceptual": 3, "nats": 1, "bits": 1, "bytes": 1}
FIGURES = ("bytes", "psnr", "ssim", "perceptual", "share")
STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.9rem 0.25rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
.best { font-weight: 700; } .quiet { color: var(--quiet); } img { width: 128px; image-rendering: auto; }
.pictures { display: flex; flex-wrap: wrap; gap: 0.75rem; } figure { margin: 0; }
"""
PLAIN = (
    "PSNR and SSIM: higher is nearer. Perceptual distance: 0 for equal pictures, lower is nearer. "
    "Means are over the pictures that a method could do at all; the share says over how many."
)


def shown(key: str, value: Any) -> str:
    """A figure as people read it."""
    if value is None:
        return "\u2013"
    if key == "share":
        return f"{100 * value:.0f} %"
    return f"{value:.{DIGITS[key]}f}" if key in DIGITS and not isinstance(value, int) else str(value)


def winners(rows: Sequence[Row]) -> dict[str, int]:
    """The row that is nearest, by figure; only rows that could do every picture compete."""
    found = {}
    for key, sign in (("psnr", 1), ("ssim", 1), ("perceptual", -1)):
        able = [
            i for i, row in enumerate(rows) if key in row and row.get("share", 1) == 1 and row.get("id") != "damaged"
        ]
        if able:
            found[key] = max(able, key=lambda i: sign * rows[i][key])
    return found


def columns_of(rows: Sequence[Row]) -> list[str]:
    return [key for key in FIGURES if any(key in row for row in rows)]


def sections(figures: Mapping[str, Any]) -> list[tuple[str, str, Sequence[Row]]]:
    """Heading, remark and rows of every table."""
    found: list[tuple[str, str, Sequence[Row]]] = []
    if "compress" in figures:
        weight = figures["compress"]["decoder_bytes"]
        for budget, rows in figures["compress"]["budgets"].items():
            remark = f"Whole files, headers and all. Who reads the VAE's also needs its decoder, {weight / 1e6:.1f} MB."
            found.append((f"In at most {budget} bytes", remark, rows))
    for key, what in (("denoise", "Gaussian noise"), ("modes", "With the posterior's mode")):
        for sigma, rows in figures.get(key, {}).get("sigmas", {}).items():
            remark = f"{figures[key]['pictures']} pictures; each method is told the noise."
            found.append((f"{what}, sigma {sigma} of 255", remark, rows))
    return found


def as_text(figures: Mapping[str, Any]) -> str:
    """The tables for a terminal."""
    lines = [f"{figures['model']['title']} ({figures['model']['digest']}), {figures['data']['pictures']} pictures"]
    lines += [_lsz(figures["lsz"])] if "lsz" in figures else []
    if "reconstruct" in figures:
        mean = figures["reconstruct"]["mean"]
        lines.append("Reconstruction: " + ", ".join(f"{HEADS[key]} {shown(key, value)}" for key, value in mean.items()))
    for heading, _, rows in sections(figures):
        keys = columns_of(rows)
        lines += ["", heading, f"{'':24}" + "".join(f"{HEADS[key]:>12}" for key in keys)]
        lines += [f"{row['title']:24}" + "".join(f"{shown(key, row.get(key)):>12}" for key in keys) for row in rows]
    return "\n".join(lines)


def _lsz(found: Mapping[str, Any]) -> str:
    exact = "came back exactly" if found["exact"] else "did NOT come back exactly"
    return (
        f".lsz: {found['codes']:,} codes {exact}; {found['bytes']:,} bytes, {100 * found['over_bound']:.2f} % over the "
        f"entropy bound; alone a picture takes {found['single_bytes']:.1f} bytes"
    )


def table(rows: Sequence[Row], keys: Sequence[str], first: str = "title") -> str:
    """Rows as an HTML table, the nearest in bold."""
    best = winners(rows) if first == "title" else {}
    head = "".join(f"<th scope='col'>{HEADS[key]}</th>" for key in (first, *keys))
    body = []
    for i, row in enumerate(rows):
        cells = [
            f"<td{' class=best' if best.get(key) == i else ''}>{html.escape(shown(key, row.get(key)))}</td>"
            for key in keys
        ]
        body.append(f"<tr><td>{html.escape(str(row[first]))}</td>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def as_html(figures: Mapping[str, Any]) -> str:
    """A whole page. What comes from files or people is escaped; pictures are data addresses of our own making."""
    model, data = figures["model"], figures["data"]
    named = f", {html.escape(str(data['name']))}" if data.get("name") else ""
    parts = [
        f"<p>{data['pictures']} pictures{named}, data {data['digest']}; model {html.escape(model['name'])} {model['digest']}.</p>",
        f"<p class=quiet>{PLAIN}</p>",
    ]
    if "lsz" in figures:
        parts.append(f"<p>{html.escape(_lsz(figures['lsz']))}.</p>")
    for heading, remark, rows in sections(figures):
        parts.append(
            f"<h2>{html.escape(heading)}</h2><p class=quiet>{html.escape(remark)}</p>{table(rows, columns_of(rows))}"
        )
    if "reconstruct" in figures:
        rows = figures["reconstruct"]["rows"]
        keys = [key for key in ("psnr", "ssim", "perceptual", "nats", "bits") if key in rows[0]]
        parts.append(f"<h2>Reconstruction, worst first</h2>{table(rows[:50], keys, 'name')}")
        if len(rows) > 50:
            parts.append(f"<p class=quiet>The first 50 of {len(rows):,}; the JSON file has all.</p>")
    for heading, body in figures.get("extra", {}).items():
        parts.append(f"<h2>{html.escape(heading)}</h2>{body}")
    made = ", ".join(f"{name} {number}" for name, number in figures.get("versions", {}).items())
    parts.append(f"<p class=quiet>Made with {html.escape(made)}.</p>")
    title = html.escape(f"Lab report: {model['title']}")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{''.join(parts)}</html>\n"
    )

"""A tokenizer report as a picture: a group of bars a source, a bar a vocabulary. SVG by hand, no plotting library."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

LEFT, BAR, GAP, LENGTH = 170, 16, 18, 420  # pixels
COLOURS = ("#1b6ca8", "#c9ddec", "#9fc3de", "#74a9cf", "#4a90c0", "#d9d9d9", "#bdbdbd")


def draw_report(facts: dict[str, Any]) -> str:
    """SVG of bytes per token, the tokenizer in question on top of each group."""
    rows = {f"this one, {facts['vocab_size']:,}": facts, **facts["beside"]}
    groups = {name: [row["bytes_per_token"][name] for row in rows.values()] for name in facts["bytes_per_token"]}
    groups["by weight"] = [row["by_weight"] for row in rows.values()]
    scale, lines, top = LENGTH / max(map(max, groups.values())), [_label(LEFT, 20, "bytes per token", "start")], 34
    for name, rates in groups.items():
        lines.append(_label(6, top + 12, name, "start", "bold"))
        for i, (vocabulary, rate) in enumerate(zip(rows, rates, strict=True)):
            lines.append(_label(LEFT - 6, top + 12, vocabulary if i or name == "by weight" else "this one", "end"))
            lines.append(
                f'<rect x="{LEFT}" y="{top}" width="{rate * scale:.1f}" height="{BAR - 2}" '
                f'fill="{COLOURS[min(i, len(COLOURS) - 1)]}"/>'
            )
            lines.append(_label(LEFT + rate * scale + 4, top + 12, f"{rate:.3f}", "start"))
            top += BAR
        top += GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + LENGTH + 60}" height="{top}" font-family="sans-serif">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *lines, "</svg>\n"])


def _label(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="12" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
    )

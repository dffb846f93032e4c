"""SVG, written by hand: text, boxes and lines that can be read on light and dark pages."""

from __future__ import annotations

from typing import Iterable
from xml.sax.saxutils import escape, quoteattr

#: Pixels. GitHub shows a page some 830 pixels wide.
WIDTH = 820
FONT_SIZE = 12
#: The width of a character of a monospace font, and of one in a title.
CHARACTER = 0.61 * FONT_SIZE

#: The figure paints its own background, so it can be read on any page.
STYLE = """
  text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
         fill: #1f2328; }
  .title { font: bold 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
  .small { fill: #59636e; }
  .outside { fill: #9a5b00; }
  .page { fill: #ffffff; stroke: #d1d9e0; }
  .box { fill: #f6f8fa; stroke: #818b98; }
  .core { fill: #ddf4ff; stroke: #54aeff; }
  .path { fill: none; stroke: #818b98; stroke-width: 1.2; }
  .guide { fill: none; stroke: #818b98; stroke-opacity: 0.35; stroke-dasharray: 1 4; }
  .head { fill: #818b98; stroke: none; }
  .dashed { stroke-dasharray: 4 3; }
  .ring { stroke-width: 2; }
  .c0 { fill: #0969da; stroke: #0969da; } .c1 { fill: #1a7f37; stroke: #1a7f37; }
  .c2 { fill: #9a5b00; stroke: #9a5b00; } .c3 { fill: #8250df; stroke: #8250df; }
  .c4 { fill: #cf222e; stroke: #cf222e; }
  text, tspan { stroke: none !important; }
  tspan { font-weight: bold; }
  circle.ring { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .small { fill: #9198a1; }
    .outside { fill: #e3b341; }
    .page { fill: #0d1117; stroke: #3d444d; }
    .box { fill: #151b23; stroke: #656c76; }
    .core { fill: #0c2d4d; stroke: #316dca; }
    .c0 { fill: #58a6ff; stroke: #58a6ff; } .c1 { fill: #3fb950; stroke: #3fb950; }
    .c2 { fill: #e3b341; stroke: #e3b341; } .c3 { fill: #bc8cff; stroke: #bc8cff; }
    .c4 { fill: #ff7b72; stroke: #ff7b72; }
    circle.ring { fill: #0d1117; }
  }
"""


def text(x: float, y: float, content: str, kind: str = "") -> str:
    """Write a line of text; ``kind`` is a class of :data:`STYLE`."""
    classes = f" class={quoteattr(kind)}" if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{classes}>{escape(content)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
    )


def dot(x: float, y: float, kind: str, is_ring: bool = False) -> str:
    if is_ring:
        return f'<circle class="ring {kind}" cx="{x:g}" cy="{y:g}" r="4.5"/>'
    return f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="3.5"/>'


def path(points: Iterable[tuple[float, float]], kind: str = "path") -> str:
    """Write a line through points."""
    d = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path class="{kind}" d="{d}"/>'


def arrow_head(x: float, y: float) -> str:
    """Write the head of an arrow that points down, with its tip at a point."""
    return f'<path class="head" d="M{x:g} {y:g} l-4.5 -8 h9 z"/>'


def document(height: float, title: str, elements: Iterable[str]) -> str:
    """Write a figure."""
    size = f'width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        box(0.5, 0.5, WIDTH - 1, height - 1, "page"),
        *elements,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"

"""The table and the page of many explanations."""

from __future__ import annotations

import csv
import html
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdjax._files import atomic_path

__all__ = ["COLUMNS", "write_overview"]

COLUMNS = ("file", "class", "probability", "error", "passes", "seconds", "settings", "problem")

POLICY = (
    "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid #ddd; }
th button { font: inherit; font-weight: 600; border: 0; background: none; padding: 0; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.problem { color: #a40e1e; max-width: 40em; overflow-wrap: anywhere; }
img { width: 112px; height: 112px; object-fit: contain; display: block; }
"""

SCRIPT = """
for (const [column, head] of [...document.querySelectorAll("th")].entries()) {
  const button = head.querySelector("button");
  if (!button) continue;
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of document.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = document.querySelector("tbody");
    const key = (row) => row.cells[column].dataset.value;
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      // Rows without a value stay last, whichever way the others go.
      if (x === "" || y === "") return (x === "") - (y === "");
      const both = x - y;
      return (down ? -1 : 1) * (Number.isNaN(both) ? x.localeCompare(y) : both);
    };
    body.append(...[...body.rows].sort(order));
  });
}
"""


def write_overview(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``table.csv`` and ``index.html`` of a folder of results, each whole or not at all."""
    with (
        atomic_path(folder / "table.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
    with atomic_path(folder / "index.html") as temporary:
        temporary.write_text(_page(rows), "utf-8")


def _page(rows: Sequence[Mapping[str, Any]]) -> str:
    failed = sum("problem" in row for row in rows)
    shown = [name for name in COLUMNS if name != "settings"]
    heads = "".join(f'<th scope="col"><button>{name}</button></th>' for name in shown)
    body = "\n".join(_row(row, shown) for row in rows)
    settings = next((str(row["settings"]) for row in rows if "settings" in row), "")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>Evidence in {len(rows)} images</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Evidence in {len(rows)} images</h1>
<p>{len(rows) - failed} explained, {failed} failed. {html.escape(settings)}</p>
<table>
<thead><tr><th scope="col">map</th>{heads}</tr></thead>
<tbody>
{body}
</tbody>
</table>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _row(row: Mapping[str, Any], shown: Sequence[str]) -> str:
    cells = [_thumbnail(row)]
    for name in shown:
        value = row.get(name, "")
        number = isinstance(value, int | float)
        words = f"{value:.4g}" if isinstance(value, float) else str(value)
        kind = ' class="number"' if number else ' class="problem"' if name == "problem" else ""
        cells.append(f'<td{kind} data-value="{html.escape(str(value))}">{html.escape(words)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _thumbnail(row: Mapping[str, Any]) -> str:
    if "problem" in row:
        return "<td></td>"
    name = urllib.parse.quote(str(row["name"]))
    words = html.escape(f"Overlay of {row['file']}")
    return (
        f'<td><a href="{name}.png"><img loading="lazy" alt="{words}" '
        f'src="thumbnails/{name}.jpg"></a></td>'
    )

# SPDX-License-Identifier: MIT OR Apache-2.0
"""The tables of docs/interop.md. A run replaces the rows of the peers that it ran, and keeps the others."""

from pathlib import Path

COLUMNS = {
    "udp": "UDP",
    "tcp": "TCP",
    "http": "HTTP tunnel",
    "live-udp": "live, UDP",
    "live-tcp": "live, TCP",
    "live-http": "live, HTTP tunnel",
    "seek": "after a seek",
}
REFERENCE_COLUMNS = {"reference-udp": "UDP", "reference-tcp": "TCP", "reference-http": "HTTP tunnel"}
HEAD = ["player", "version", "date"]
TABLES = {"ours": COLUMNS, "reference": REFERENCE_COLUMNS, "plugin": {"result": "result"}}


def row(name: str, version: str, date: str, cells: list[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join([name, version, date, *cells]) + " |"


def table(kind: str, rows: list[str]) -> list[str]:
    """A table with its head."""
    head = [*HEAD, *TABLES[kind].values()]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows]


def _name(line: str) -> str:
    return line.split("|")[1].strip()


def replace(page: Path, kind: str, rows: list[str], order: list[str]) -> None:
    """Replaces rows of a table between two comments of a page. `order` has the names of all rows."""
    start, end = f"<!-- table {kind} -->", f"<!-- end of table {kind} -->"
    before, _, rest = page.read_text().partition(start)
    old, _, after = rest.partition(end)
    if not after:
        raise ValueError(f"{page}: no lines {start} and {end}")
    lines = [line for line in old.splitlines() if line.startswith("| ")][1:]
    by_name = {_name(line): line for line in [*lines, *rows]}
    merged = table(kind, [by_name[name] for name in order if name in by_name])
    page.write_text("\n".join([before + start, "", *merged, "", end]) + after)

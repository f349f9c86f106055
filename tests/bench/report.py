"""The rows' figures as text, as a Markdown table and as JSON."""

import json
import time
from dataclasses import asdict, dataclass, field


@dataclass
class Row:
    what: str
    berth: str
    peer: str = ""  # its figure and its name
    ratio: float | None = None  # Berth's figure over the peer's
    goal: str = ""
    met: bool | None = None
    note: str = ""
    samples: dict = field(default_factory=dict)  # for --json: what the figures are made of

    def cells(self):
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} ×"
        return [self.what, self.berth, self.peer, ratio, self.goal, met]


HEADER = ["what", "Berth", "peer", "Berth ÷ peer", "goal", "met"]


def milliseconds(seconds):
    value = seconds * 1e3
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def microseconds(nanoseconds):
    return f"{nanoseconds / 1e3:,.0f} µs"


def seconds(value):
    return f"{value:.3f} s"


def rate(value, what):
    return f"{value:,.0f} {what}/s"


def size(count):
    for unit, limit in (("B", 10_000), ("KB", 10_000_000), ("MB", 10_000_000_000)):
        if count < limit:
            scaled = count / {"B": 1, "KB": 1e3, "MB": 1e6}[unit]
            return f"{scaled:,.0f} {unit}" if unit == "B" or scaled >= 100 else f"{scaled:,.1f} {unit}"
    return f"{count / 1e9:.1f} GB"


def mebibytes(count):
    return f"{count / 2**20:.1f} MiB"


def as_text(rows):
    """Aligned columns for a terminal; a row's note goes below it."""
    table = [HEADER] + [[cell.replace("**", "").replace("`", "") for cell in row.cells()] for row in rows]
    widths = [max(len(line[at]) for line in table) for at in range(len(HEADER))]
    lines = []
    for number, line in enumerate(table):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
        elif rows[number - 1].note:
            lines.append(f"    {rows[number - 1].note}")
    return "\n".join(lines)


def as_markdown(rows, machine):
    lines = [
        f"Measured on {time.strftime('%Y-%m-%d')}: {machine}. `./packaging/bench` measures it again; ratios travel, "
        "absolute numbers do not.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "| " + " | ".join("---" for _ in HEADER) + " |",
    ]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def as_json(rows, machine):
    head = {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine}
    return json.dumps(head | {"rows": [asdict(row) for row in rows]}, indent=1, ensure_ascii=False) + "\n"

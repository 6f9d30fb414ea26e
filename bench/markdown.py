#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/benchmarks.md from what `octet bench conv --json` and `octet bench net --json`
wrote.

    markdown.py FILE.json...              all of it
    markdown.py --only classes FILE.json  rows, losses, classes, totals or nets alone

rows     every layer; losses: those where a peer of the same cap is faster than 0.97 of Octet
classes  geometric means of the ratios by class of layer, and the lowest ratio of each
totals   what the layers of a network take together
nets     whole networks
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

PARTS = ("rows", "losses", "classes", "totals", "nets")
LOSS = 0.97


def table(heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def counted(peer: dict) -> float:
    return peer.get("ratio_net") or peer["ratio"]


def ratio(peer: dict | None) -> str:
    if peer is None:
        return ""
    marks = ("*" if peer["other_cap"] else "") + ("!" if peer["wrong"] else "")
    return f"{counted(peer):.2f}{marks}"


def best(row: dict) -> tuple[float, str] | None:
    """The ratio to the fastest peer under the same cap, and its name."""
    ratios = [(counted(p), n) for n, p in row["peers"].items() if not p["other_cap"]]
    return min(ratios, default=None)


def names_of(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["peers"]))


def layers(rows: list[dict]) -> str:
    names = names_of(rows)
    heading = ["layer", "cap", "GOPS", "% of peak", "% of bound", *names, "fp32", "how"]
    body = []
    for row in rows:
        peak = "" if row["pct_peak"] is None else f"{row['pct_peak']:.0f}"
        peers = [ratio(row["peers"].get(name)) for name in names]
        figures = [f"{row['gops']:.0f}", peak, f"{row['pct_bound']:.0f}"]
        how = row["why"].split(":")[0]
        body.append([row["shape"]["layer"], row["isa"], *figures, *peers, ratio(row["fp32"]), how])
    return table(heading, body)


def losses(rows: list[dict]) -> str:
    body = []
    for row in rows:
        found = best(row)
        by_float = row["fp32"] is not None and row["fp32"]["ratio"] < 1
        if (found is None or found[0] >= LOSS) and not by_float:
            continue
        least, name = found if found and found[0] < LOSS else (row["fp32"]["ratio"], "fp32")
        body.append(
            [
                row["shape"]["class"],
                row["shape"]["layer"],
                row["isa"],
                f"{least:.2f}",
                name,
                f"{row['us']:.1f}",
                f"{row['pct_bound']:.0f} of {row['bound']['by']}",
                f"`{row['kernel']}`",
                row["why"],
            ]
        )
    heading = ["class", "layer", "cap", "ratio", "to", "us", "% of bound", "kernel", "how"]
    return table(heading, sorted(body, key=lambda line: (line[2], line[0], float(line[3]))))


def classes(rows: list[dict]) -> str:
    names = names_of(rows)
    ratios: dict[tuple, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    lowest: dict[tuple, tuple[float, str]] = {}
    for row in rows:
        group = (row["isa"], row["shape"]["class"])
        for name, peer in row["peers"].items():
            if not peer["other_cap"]:
                ratios[group][name].append(counted(peer))
        if row["fp32"]:
            ratios[group]["fp32"].append(row["fp32"]["ratio"])
        if found := best(row):
            ratios[group]["fastest"].append(found[0])
            lowest[group] = min(
                lowest.get(group, (math.inf, "")), (found[0], row["shape"]["layer"])
            )
        ratios[group]["rows"].append(1)
    body = []
    for group, by_name in ratios.items():
        cells = [group[0], group[1], str(len(by_name["rows"]))]
        for name in ["fastest", *names, "fp32"]:
            values = by_name.get(name, [])
            mean = math.exp(sum(map(math.log, values)) / len(values)) if values else None
            cells.append("" if mean is None else f"{mean:.2f}")
        low = lowest.get(group)
        cells.append("" if low is None else f"{low[0]:.2f}, {low[1]}")
        body.append(cells)
    return table(["cap", "class", "rows", "fastest peer", *names, "fp32", "lowest"], body)


def totals(files: list[dict]) -> str:
    sums = [total for file in files for total in file.get("totals", [])]
    names = list(dict.fromkeys(name for total in sums for name in total["peers"]))
    body = []
    for total in sums:
        cells = [total["set"], str(total["batch"]), total["isa"], f"{total['octet_us'] / 1e3:.2f}"]
        for name in names:
            us = total["peers"].get(name)
            cells.append("" if us is None else f"{us / total['octet_us']:.2f}")
        body.append(cells)
    return table(["set", "batch", "cap", "Octet ms", *names], body)


def nets(files: list[dict]) -> str:
    body = []
    for net in (net for file in files for net in file.get("nets", [])):
        peer = net["peer"]
        theirs = ["", ""] if peer is None else [f"{peer['ms']:.3f}", f"{peer['ratio']:.2f}"]
        body.append(
            [net["net"], net["isa"], str(net["threads"]), str(net["batch"]), f"{net['ms']:.3f}"]
            + theirs
        )
    heading = ["network", "cap", "threads", "batch", "Octet ms an image", "oneDNN", "ratio"]
    return table(heading, body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    files = [json.loads(path.read_text()) for path in given.files]
    rows = [row for file in files for row in file.get("rows", []) if "layer" in row["shape"]]
    parts = {
        "rows": lambda: layers(rows) if rows else "",
        "losses": lambda: losses(rows) if rows else "",
        "classes": lambda: classes(rows) if rows else "",
        "totals": lambda: totals(files) if rows else "",
        "nets": lambda: nets(files) if any("nets" in file for file in files) else "",
    }
    for name, part in parts.items():
        if given.only in (None, name) and (text := part()):
            print(text)


if __name__ == "__main__":
    main()

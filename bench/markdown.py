#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/measured from what `octet bench gemm|conv|net|quant --json` wrote.

    markdown.py FILE.json...                all of it
    markdown.py --only classes,losses FILE  these parts alone

machine  what ran: CPU, caches, bandwidths, rounds, peers and the code that each of them used
classes  geometric means of the ratios by set (GEMM) or by class of layer, and the lowest of each
totals   what the layers of a network take together
losses   rows where a peer of the same cap takes less than 0.97 of Octet's time, or the best float
         less than all of it
rows     every shape or layer
nets     whole networks
passes   of quantization
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

PARTS = ("machine", "classes", "totals", "losses", "rows", "nets", "passes")
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


def text_of(row: dict) -> str:
    shape = row["shape"]
    return shape.get("layer") or f"{shape['m']} {shape['n']} {shape['k']}"


def class_of(row: dict) -> str:
    return row["shape"].get("class") or row["set"]


def machine(files: list[dict]) -> str:
    body = []
    for file in files:
        card = file["machine"]
        caps = card.get("bandwidth_gbps", {}).items()
        peers = [
            f"{name} {peer.get('version') or ''}".strip()
            + "".join(f", {cap}: {isa}" for cap, isa in peer.get("isa", {}).items())
            for name, peer in card.get("peers", {}).items()
        ]
        reads = [
            f"{cap}: " + ", ".join(f"{level} {gbps:.0f}" for level, gbps in levels.items())
            for cap, levels in caps
        ]
        peaks = [f"{isa} {gops:.0f}" for isa, gops in file.get("peaks", {}).items()]
        body.append(
            [
                card["cpu"],
                str(card["threads"]),
                str(card["rounds"]),
                "; ".join(peaks),
                "; ".join(reads),
                "; ".join(peers) or card.get("peer", ""),
            ]
        )
    heading = ["CPU", "threads", "rounds", "peaks, GOPS", "read bandwidth, GB/s", "peers"]
    return table(heading, body)


def layers(rows: list[dict]) -> str:
    names = names_of(rows)
    heading = ["shape", "cap", "GOPS", "% of peak", "% of bound", *names, "fp32", "kernel or way"]
    body = []
    for row in rows:
        peak = "" if row["pct_peak"] is None else f"{row['pct_peak']:.0f}"
        peers = [ratio(row["peers"].get(name)) for name in names]
        figures = [f"{row['gops']:.0f}", peak, f"{row['pct_bound']:.0f}"]
        how = row["why"].split(":")[0] if "layer" in row["shape"] else f"`{row['kernel']}`"
        body.append([text_of(row), row["isa"], *figures, *peers, ratio(row["fp32"]), how])
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
                class_of(row),
                text_of(row),
                row["isa"],
                f"{least:.2f}",
                name,
                f"{row['us']:.1f}",
                f"{row['pct_bound']:.0f} of {row['bound']['by']}",
                f"`{row['kernel']}`",
                row["why"],
            ]
        )
    heading = ["class", "shape", "cap", "ratio", "to", "us", "% of bound", "kernel", "how"]
    return table(heading, sorted(body, key=lambda line: (line[2], line[0], float(line[3]))))


def classes(rows: list[dict]) -> str:
    names = names_of(rows)
    ratios: dict[tuple, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    lowest: dict[tuple, tuple[float, str]] = {}
    for row in rows:
        group = (row["isa"], class_of(row))
        for name, peer in row["peers"].items():
            if not peer["other_cap"]:
                ratios[group][name].append(counted(peer))
        if row["fp32"]:
            ratios[group]["fp32"].append(row["fp32"]["ratio"])
        if found := best(row):
            ratios[group]["fastest"].append(found[0])
            lowest[group] = min(lowest.get(group, (math.inf, "")), (found[0], text_of(row)))
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


def passes(files: list[dict]) -> str:
    body = []
    for row in (row for file in files for row in file["rows"] if "pass" in row):
        rate = (row["bytes_read"] + row["bytes_written"]) / row["us"] / 1e3
        body.append(
            [
                row["pass"],
                f"{row['us'] / 1e3:.2f}",
                f"{rate:.1f}",
                f"{row['bound_bytes_per_second'] / 1e9:.1f}, {row['bound']}",
                f"{row['percent_of_bound']:.0f}",
                f"{row['percent_of_least']:.0f}" if "percent_of_least" in row else "",
                f"{row['ratio']:.2f}" if "ratio" in row else "",
            ]
        )
    heading = ["pass", "ms", "GB/s", "bound GB/s", "% of bound", "% of least"]
    return table([*heading, "PyTorch's time by Octet's"], body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated: %(default)s")
    given = parser.parse_args()
    chosen = given.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    files = [json.loads(path.read_text()) for path in given.files]
    rows = [row for file in files for row in file.get("rows", []) if "shape" in row]
    conv = any("layer" in row["shape"] for row in rows)
    quant = [file for file in files if any("pass" in row for row in file.get("rows", []))]
    parts = {
        "machine": lambda: machine(files),
        "classes": lambda: classes(rows) if rows else "",
        "totals": lambda: totals(files) if conv else "",
        "losses": lambda: losses(rows) if rows else "",
        "rows": lambda: layers(rows) if rows else "",
        "nets": lambda: nets(files) if any("nets" in file for file in files) else "",
        "passes": lambda: passes(quant) if quant else "",
    }
    for name, part in parts.items():
        if name in chosen and (text := part()):
            print(text)


if __name__ == "__main__":
    main()

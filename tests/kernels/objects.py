#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the compiler made of the kernels, read from their archives.

    objects.py NM OBJDUMP ISA=ARCHIVE...

No weak symbols: the linker keeps one copy of each for the whole program, perhaps the one with the
newest instructions. No fused multiply-add in a tile: it has one rounding where the bits want two.
No call in a tile but that of Finish.fixed, which is an indirect one, and in each the instruction
that its instruction set is there for.
"""

import re
import subprocess
import sys

# What every tile whose name ends so must contain.
CLAIMS = {
    "_avx2": [r"\bvpmaddwd\b.*%ymm"],
    "_avx2_proved": [r"\bvpmaddubsw\b.*%ymm", r"\bvpshufb\b.*%ymm", r"\bvpmaddwd\b.*%ymm"],
    "_avx2_columns": [r"\bvpmaddwd\b.*%ymm"],
    "_avx512vnni_columns": [r"\bvpdpbusd\b.*%zmm"],
    "_avxvnni": [r"{vex} vpdpbusd\b.*%ymm"],
    "_avx512bw": [r"\bvpmaddwd\b.*%zmm"],
    "_avx512vnni": [r"\bvpdpbusd\b.*%zmm"],
    "_neon": [r"\bsmull2?\b", r"\bsadalp\b"],
    "_neondot": [r"\bsdot\b"],
    "c4_neoni8mm": [r"\bsdot\b"],
    "c8_neoni8mm": [r"\bsmmla\b"],
    "_amx": [r"\bldtilecfg\b", r"\btileloaddt1\b", r"\btilerelease\b"],
}
TILES = ("octet_gemm_", "octet_gemmgroup_", "octet_gemmlane_", "octet_depthwise_")
FUSED = re.compile(r"(vfn?m(add|sub)\w*|f(n?madd|n?msub|mla|mls))\b")
CALL = re.compile(r"(callq?|blr?)\b")
INDIRECT = re.compile(r"(callq? +\*|blr\b)")
# Allowed where Highway names the extension, but the CPU may lack it; nothing here needs it.
CRYPTO = re.compile(r"(aes[edim]\w*|sha(1|256)\w*|pmull2?\s.*\.1q)\b")


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def weak_symbols(nm: str, archive: str) -> list[str]:
    lines = output(nm, "-C", archive).splitlines()
    weak = [line for line in lines if re.match(r"^[0-9a-f ]* [WVuwv] ", line)]
    # Without optimization Highway leaves its own: one target each, and tags, which are constants.
    # Some names are too much for nm.
    own = re.compile(r"hwy::N_|_ZN3hwy\d+N_|hwy::TypeTag")
    return [line for line in weak if not own.search(line)]


def functions(objdump: str, archive: str) -> dict[str, list[str]]:
    """Instructions by the name of their function."""
    found, body = {}, []
    for line in output(objdump, "-d", "--no-show-raw-insn", archive).splitlines():
        if label := re.match(r"^[0-9a-f]+ <([^>]+)>:$", line):
            body = found.setdefault(label[1], [])
        elif instruction := re.match(r"^\s+[0-9a-f]+:\s+(.*)$", line):
            body.append(re.sub(r"\s*[#<].*", "", instruction[1]))
    return found


def amx_products(name: str, body: list[str]) -> list[str]:
    """Products of tiles that are not of B, A and sums in this order or not of A's type.

    No model of the tiles sees that.
    """
    dot = "tdpbusd" if "_u8s8_" in name else "tdpbssd"
    a, b = ("[45]", "[67]") if "_32x32" in name else ("4", "[567]")
    right = re.compile(rf"{dot} +%tmm{b},%tmm{a},%tmm[0-3]\s*$")
    dots = [x for x in body if x.startswith("tdp")]
    return [f"{name}: {x}" for x in dots if not right.match(x)] or [
        f"{name} has no product" for _ in range(not dots)
    ]


def check(nm: str, objdump: str, isa: str, archive: str) -> list[str]:
    complaints = [f"weak symbol {line.split()[-1]}" for line in weak_symbols(nm, archive)]
    tiles = 0
    for name, body in functions(objdump, archive).items():
        if isa == "neon":
            complaints += [f"{name}: {x}" for x in body if CRYPTO.match(x)]
        if not name.startswith(TILES) or isa == "scalar":
            continue
        tiles += 1
        calls = [x for x in body if CALL.match(x)]
        if "_q8_" in name:
            calls = [x for x in calls if not INDIRECT.match(x)]
        complaints += [f"{name}: {x}" for x in body if FUSED.match(x)]
        complaints += [f"{name}: {x}" for x in calls]
        if isa == "amx":
            complaints += amx_products(name, body)
        claims = [c for end, found in CLAIMS.items() if name.endswith(end) for c in found]
        if not claims:
            complaints.append(f"{name} claims nothing")
        for claim in claims:
            if not any(re.search(claim, x) for x in body):
                complaints.append(f"{name} has no {claim}")
    if isa != "scalar" and not tiles:
        complaints.append("no tiles")
    return complaints


def main() -> int:
    nm, objdump, *archives = sys.argv[1:]
    failed = False
    for item in archives:
        isa, archive = item.split("=", 1)
        complaints = check(nm, objdump, isa, archive)
        failed |= bool(complaints)
        print(f"{isa}: {'; '.join(complaints) or 'ok'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

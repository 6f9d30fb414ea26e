# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/examples print what their comments say, the README shows one of them as it
is, and what describe.c prints is JSON with at least the keys of every release so far.

    examples.py ROOT NAME=PROGRAM...
"""

import json
import pathlib
import re
import subprocess
import sys

CONTEXT_KEYS = {"version", "cpu", "max_isa", "force_kernel", "isas", "caches", "kernels"}
ISA_KEYS = {"name", "usable", "why"}
KERNEL_KEYS = {
    "name", "family", "isa", "in", "weight", "out", "mr", "nr", "kr", "usable",
}  # fmt: skip
OP_KEYS = {
    "op", "input", "in", "out", "m", "n", "k", "kernel", "isa", "mr", "nr", "kr", "mc", "nc", "kc",
    "threads", "reference", "packs_a", "repacked", "workspace_bytes", "state_bytes", "weight_bytes",
    "bound", "why", "candidates", "kernels",
}  # fmt: skip


def check(condition, message):
    if not condition:
        sys.exit(message)


def check_describe(lines):
    check(len(lines) == 2, f"describe.c printed {len(lines)} lines, not 2")
    context, op = (json.loads(line) for line in lines)
    for what, have, want in (
        ("context", context, CONTEXT_KEYS),
        ("isa", context["isas"][0], ISA_KEYS),
        ("kernel", context["kernels"][0], KERNEL_KEYS),
        ("op", op, OP_KEYS),
    ):
        check(want <= have.keys(), f"{what} has lost the keys {sorted(want - have.keys())}")
    kernels = {k["name"]: k for k in context["kernels"]}
    check(kernels[op["kernel"]]["usable"], f"{op['kernel']} is planned, but not usable")
    check((op["m"], op["n"], op["k"]) == (7, 33, 65), f"the shape is not the one asked for: {op}")


def check_readme(root):
    readme = root / "README.md"
    if not readme.exists():
        return
    blocks = re.findall(r"```c\n(.*?)```", readme.read_text(), re.DOTALL)
    example = (root / "docs/examples/static_linear.c").read_text()
    for block in blocks:
        if "int main(" in block:
            check(
                block.strip() in example,
                "the C program in README.md is not docs/examples/static_linear.c",
            )


def main():
    root = pathlib.Path(sys.argv[1])
    for argument in sys.argv[2:]:
        name, program = argument.split("=", 1)
        arguments = ["7", "33", "65"] if name == "describe" else []
        run = subprocess.run([program, *arguments], capture_output=True, text=True)
        check(run.returncode == 0, f"{name} failed: {run.stdout}{run.stderr}")
        lines = run.stdout.splitlines()
        if name == "describe":
            check_describe(lines)
            continue
        source = (root / "docs/examples" / f"{name}.c").read_text()
        want = [w.removesuffix(" */") for w in re.findall(r"\bprints: (.*)", source)]
        check(want, f"{name}.c does not say what it prints")
        check(lines == want, f"{name} printed {lines}, but its source says {want}")
    check_readme(root)


if __name__ == "__main__":
    main()

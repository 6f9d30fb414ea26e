# SPDX-License-Identifier: Apache-2.0
"""What an ISA cap means to each peer: environment variables, which libraries read when they load.

Only the standard library is used here: the environment must be set before anything else is
imported. A peer that has no switch of its own runs uncapped and says so.
"""

import os

CAPS = [
    "none",
    "scalar",
    "avx2",
    "avxvnni",
    "avx512bw",
    "avx512vnni",
    "amx",
    "neon",
    "neondot",
    "neoni8mm",
]

# oneDNN's names; PyTorch and OpenVINO have a oneDNN of their own that reads the same variable.
ONEDNN = {
    "avx2": "AVX2",
    "avxvnni": "AVX2_VNNI",
    "avx512bw": "AVX512_CORE",
    "avx512vnni": "AVX512_CORE_VNNI",
    "amx": "AVX512_CORE_AMX",
}
# FBGEMM's names. It knows neither AVX-VNNI nor AMX: the widest set below stands for them.
FBGEMM = {
    "avx2": "AVX2",
    "avxvnni": "AVX2",
    "avx512bw": "AVX512",
    "avx512vnni": "AVX512_E1",
    "amx": "AVX512_E1",
}
# PyTorch's own vector code (quantization of the input in the dynamic form) and MKL (float32).
ATEN = {cap: "avx2" if cap in ("avx2", "avxvnni") else "avx512" for cap in ONEDNN}
MKL = {cap: name.upper() for cap, name in ATEN.items()}

# What the CPU must have, as /proc/cpuinfo writes it, for each of oneDNN's sets, best first.
_FLAGS = {
    "AVX512_CORE_AMX": {"avx512bw", "avx512_vnni", "amx_int8"},
    "AVX512_CORE_VNNI": {"avx512bw", "avx512_vnni"},
    "AVX512_CORE": {"avx512bw", "avx512vl", "avx512dq"},
    "AVX2_VNNI": {"avx2", "avx_vnni"},
    "AVX2": {"avx2"},
}


def environment(cap: str, threads: int) -> dict[str, str]:
    """The variables that bring every peer under `cap` and to `threads` threads."""
    settings = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }
    if cap in ONEDNN:
        settings |= {
            "ONEDNN_MAX_CPU_ISA": ONEDNN[cap],
            "FBGEMM_ENABLE_INSTRUCTIONS": FBGEMM[cap],
            "ATEN_CPU_CAPABILITY": ATEN[cap],
            "MKL_ENABLE_INSTRUCTIONS": MKL[cap],
        }
    return settings


def cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("flags"):
                    return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def effective_onednn(cap: str) -> str:
    """The set that a oneDNN under `cap` uses on this CPU: the best of both, in oneDNN's words.

    For libraries whose oneDNN cannot be asked. "uncapped" where there is no such cap.
    """
    if cap not in ONEDNN:
        return "uncapped"
    flags = cpu_flags()
    allowed = False
    for name, needed in _FLAGS.items():
        allowed = allowed or name == ONEDNN[cap]
        if cap == "avxvnni" and name.startswith("AVX512"):
            continue
        if allowed and needed <= flags:
            return name.lower()
    return "none"


def apply(cap: str, threads: int) -> None:
    os.environ.update(environment(cap, threads))

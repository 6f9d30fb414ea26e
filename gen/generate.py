#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the SIMD tiles and the kernel registry from kernels.toml.

kernels.toml says which kernels exist, isa/<isa>.j2 what an instruction set can say (its vocabulary:
load, dot, convert, narrow, store), templates/gemm.j2 what a tile does, templates/gemmgroup.j2 what
one of group-wise weights does, templates/gemmlane.j2 what one of small channel groups does,
templates/columns.j2 what serves matrices of a few columns, templates/depthwise.j2 what a strip of a
depthwise convolution does, and templates/amx.j2 what AMX does with a whole block. A vocabulary
may name a parent and then holds only what differs. Output depends on these files alone: the same
input gives the same bytes.
"""

import argparse
import functools
import pathlib
import sys
import tomllib
from dataclasses import dataclass, field

import jinja2

HERE = pathlib.Path(__file__).resolve().parent
ENV = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)

# What the names of rows mean in Row: operand types, families, instruction sets. A GEMM's "q8" and
# flip's "x8" are either byte type, "range" is a struct of its own and has no type.
TYPES = {
    "u2": "OCTET_U2",
    "s2": "OCTET_S2",
    "u4": "OCTET_U4",
    "s4": "OCTET_S4",
    "u8": "OCTET_U8",
    "s8": "OCTET_S8",
    "u16": "OCTET_U16",
    "s16": "OCTET_S16",
    "s32": "OCTET_S32",
    "f16": "OCTET_F16",
    "bf16": "OCTET_BF16",
    "f32": "OCTET_F32",
    "q8": "kOutQ8",
    "x8": "kOutQ8",
    "range": "0",
    "sums": "0",
}
FAMILIES = {  # name in rows: (Family, type of the function)
    "gemm": ("kGemm", "TileFn"),  # BlockFn in scope block
    "gemmgroup": ("kGemmGroup", "GroupTileFn"),
    "gemmlane": ("kGemmLane", "TileFn"),
    "depthwise": ("kDepthwise", "DepthwiseFn"),
    "quantize": ("kQuantize", "RunFn"),
    "dequantize": ("kDequantize", "RunFn"),
    "requantize": ("kRequantize", "RunFn"),
    "fakequant": ("kFakeQuant", "RunFn"),
    "ste": ("kSte", "RunFn"),
    "amax": ("kAmax", "RunFn"),
    "clamp": ("kClamp", "RunFn"),
    "learn": ("kLearn", "GradFn"),
    "clip": ("kClip", "GradFn"),
    "sum": ("kSum", "SumFn"),
    "sumcols": ("kSumCols", "SumFn"),
    "convert": ("kConvert", "RunFn"),
    "pack": ("kPack", "RunFn"),
    "unpack": ("kUnpack", "RunFn"),
    "flip": ("kFlip", "RunFn"),
    "widen": ("kWiden", "RunFn"),
    "minmax": ("kMinMax", "RangeFn"),
    "minmaxcols": ("kMinMaxCols", "RangeColsFn"),
    "rowsum": ("kRowSum", "RowSumFn"),
    "fixed": ("kFixed", "FixedFn"),
    "lut": ("kLut", "LookupFn"),
    "poolmax": ("kPoolMax", "PoolFn"),
    "poolavg": ("kPoolAvg", "PoolFn"),
    "poolavgint": ("kPoolAvgInt", "PoolFn"),
    "bins": ("kBins", "BinsFn"),
}
SCOPES = {  # of a GEMM: (Scope, type of the function, template)
    "tile": ("kScopeTile", "TileFn", "gemm"),
    "block": ("kScopeBlock", "BlockFn", "amx"),
}
# Families of tiles: a [[...]] table each, generated from a template.
TILES = ("gemm", "gemmgroup", "gemmlane", "depthwise")
LAYOUTS = {  # of a GEMM's weights: Layout
    "c16k4": "kLayoutC16K4",
    "proved": "kLayoutProved",
    "columns": "kLayoutColumns",
}
ISAS = {
    "scalar": "kIsaScalar",
    "avx2": "kIsaAvx2",
    "avxvnni": "kIsaAvxVnni",
    "avx512bw": "kIsaAvx512Bw",
    "avx512vnni": "kIsaAvx512Vnni",
    "amx": "kIsaAmx",
    "neon": "kIsaNeon",
    "neondot": "kIsaNeonDot",
    "neoni8mm": "kIsaNeonI8mm",
}


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}{i}" for i in range(count)]


def accumulator_sets(accumulators: int, chains: int) -> int:
    """How many sets of a tile's accumulators give `chains` that do not wait for each other."""
    return min(4, -(-chains // accumulators))


def operands(acc, i: int, panel: int, first: int, count: int, s: int) -> list[str]:
    """The names acc(...) gives to `count` neighbouring accumulators."""
    return [acc(i, panel, first + j, s) for j in range(count)]


def mark(_k: int) -> str:
    """Nothing: the loops of a tile are marked for modelling only (mark_loops)."""
    return ""


def mark_loops():
    """Has every tile say in its assembly where a loop over K ends, and how much of K a turn takes.

    A compiler may schedule around an asm statement differently: never for what ships.
    """
    ENV.globals["mark"] = lambda k: f'asm volatile("# octet loop {k}");'


ENV.globals.update(
    numbered=numbered, accumulator_sets=accumulator_sets, operands=operands, mark=mark
)


class Refused(Exception):
    """An input that cannot be used; the text is one sentence for the user."""


class Vocabulary(dict):
    """The words of one instruction set. A word that is missing is an error, never an empty text."""

    def __getattr__(self, word):
        try:
            return self[word]
        except KeyError:
            raise AttributeError(word) from None


@functools.cache
def vocabulary(isa: str) -> Vocabulary:
    module = ENV.get_template(f"isa/{isa}.j2").module
    own = {word: value for word, value in vars(module).items() if not word.startswith("_")}
    base = vocabulary(own["parent"]) if "parent" in own else Vocabulary(flags=[])
    return Vocabulary({**base, **own, "flags": base.flags + own["flags"]})


@dataclass
class Kernel:
    """One row of the registry. Tiles have mr, nr, rows and costs, the other families none.

    A tile of scope block is the step in which its kernel walks a block of any size.
    """

    family: str
    isa: str
    in_type: str
    out_type: str
    weight: str = ""
    words: str = ""  # the instruction set whose vocabulary it is made of, if not its own
    mr: int = 0
    nr: int = 0
    rows: str = ""
    lane: int = 0  # gemmlane: channels of a group
    scope: str = "tile"
    layout: str = "c16k4"
    cycles_k4: float = 0
    cycles_fixed: float = 0
    cycles_call: float = 0
    cycles_group: float = 0
    kr: int = field(init=False)
    name: str = field(init=False)

    def __post_init__(self):
        self.words = self.words or self.isa
        if not self.mr:
            self.kr = 0
        elif self.lane:
            self.kr = self.lane
        elif self.weight == "u4":
            self.kr = 8  # 64 bytes of 16 columns
        elif self.weight == "s16":
            self.kr = 2
        elif self.family == "depthwise":
            self.kr = 4
        elif self.layout == "columns":
            self.kr = vocabulary(self.words).column_step
        else:
            self.kr = 4 if self.isa == "scalar" else vocabulary(self.words).kr
        tile = f"_{self.mr}x{self.nr}c{self.kr}" if self.mr else ""
        self.name = f"{self.family}_{self.in_type}{self.weight}_{self.out_type}{tile}_{self.isa}"
        if self.layout != "c16k4":
            self.name += f"_{self.layout}"

    @property
    def symbol(self) -> str:
        return f"octet_{self.name}"

    @property
    def function_type(self) -> str:
        return SCOPES[self.scope][1] if self.family == "gemm" else FAMILIES[self.family][1]

    @property
    def template(self) -> str:
        name = SCOPES[self.scope][2] if self.layout == "c16k4" else self.layout
        if self.family != "gemm":
            name = self.family
        return f"templates/{name}.j2"

    def row(self) -> str:
        """The initializer of its Row."""
        weight = TYPES[self.weight] if self.weight else "0"
        form = {"": "0", "strided": "kRowsStrided", "indexed": "kRowsIndexed"}[self.rows]
        return (
            f'{{"{self.name}", {FAMILIES[self.family][0]}, {ISAS[self.isa]}, '
            f"{TYPES[self.in_type]}, {weight}, {TYPES[self.out_type]}, "
            f"{self.mr}, {self.nr}, {self.kr}, {form}, "
            f"{SCOPES[self.scope][0]}, {LAYOUTS[self.layout]}, "
            f"{float(self.cycles_k4)}f, {float(self.cycles_fixed)}f, {float(self.cycles_call)}f, "
            f"{float(self.cycles_group)}f, "
            f"reinterpret_cast<AnyFn*>({self.symbol})}}"
        )


def all_kernels() -> list[Kernel]:
    """Every kernel of kernels.toml, by instruction set in the order of ISAS, then as listed."""
    data = tomllib.loads((HERE / "kernels.toml").read_text())
    kernels = []
    for family, entry in ((f, e) for f in TILES for e in data[f]):
        for weight, tile in ((w, t) for w in entry.get("weights", ["s8"]) for t in entry["tiles"]):
            shared = {key: entry[key] for key in ("rows", "scope", "layout") if key in entry}
            own = {key: value for key, value in tile.items() if key != "outs"}
            kernels += [
                Kernel(family, entry["isa"], entry["act"], out, weight, **shared, **own)
                for out in tile.get("outs", entry["outs"])
            ]
    for entry in data["elementwise"]:
        kernels += [
            Kernel(entry["family"], isa, *types) for isa in entry["isa"] for types in entry["types"]
        ]
    return sorted(kernels, key=lambda k: list(ISAS).index(k.isa))


def kernels_of(isa: str) -> list[Kernel]:
    kernels = [k for k in all_kernels() if k.isa == isa]
    if not kernels:
        have = ", ".join(dict.fromkeys(k.isa for k in all_kernels()))
        raise Refused(f"instruction set '{isa}' has no kernels in kernels.toml; it has {have}")
    return kernels


def simd_vocabulary(isa: str) -> Vocabulary:
    kernels_of(isa)
    if isa == "scalar":
        raise Refused("instruction set 'scalar' is written by hand; it has no vocabulary")
    return vocabulary(isa)


def without_blank_lines(text: str) -> str:
    return "".join(line + "\n" for line in text.splitlines() if line.strip())


def gemm_source(isa: str) -> str:
    words = simd_vocabulary(isa)
    tiles = [k for k in kernels_of(isa) if k.family in TILES]
    if not tiles:
        raise Refused(f"instruction set '{isa}' has no GEMM tiles in kernels.toml")
    bodies = [
        without_blank_lines(ENV.get_template(k.template).render(v=vocabulary(k.words), k=k))
        for k in tiles
    ]
    templates = list(dict.fromkeys(f"gen/{k.template}" for k in tiles))
    file = ENV.get_template("templates/file.j2")
    strips = [k for k in tiles if k.family == "depthwise"]
    interleave = ENV.get_template("templates/interleave.j2").render(k=strips[0]) if strips else ""
    return file.render(isa=isa, v=words, templates=templates, bodies=bodies, interleave=interleave)


def registry_source(isas: list[str]) -> str:
    kernels = [k for isa in ISAS if isa in isas for k in kernels_of(isa)]
    for isa in isas:
        kernels_of(isa)  # refuses an unknown one
    return ENV.get_template("templates/registry.j2").render(isas=isas, kernels=kernels)


def architecture(arch: str) -> list[tuple[str, list[str]]]:
    """The instruction sets of an architecture and the kinds of kernels each has."""
    found = []
    for isa in dict.fromkeys(k.isa for k in all_kernels() if k.isa != "scalar"):
        if vocabulary(isa).arch == arch:
            families = {k.family for k in kernels_of(isa)}
            kinds = ["gemm"] if families & set(TILES) else []
            found.append((isa, kinds + (["elementwise"] if families - set(TILES) else [])))
    return found


def export(folder: pathlib.Path):
    """All that a build generates, for hosts without Python: tiles, registries and flags."""
    for arch in dict.fromkeys(vocabulary(k.isa).arch for k in all_kernels() if k.isa != "scalar"):
        isas = architecture(arch)
        write(folder / arch / "registry.cpp", registry_source(["scalar"] + [i for i, _ in isas]))
        for isa, kinds in isas:
            write(folder / arch / f"{isa}.flags", "\n".join(vocabulary(isa).flags) + "\n")
            if "gemm" in kinds:
                write(folder / arch / f"gemm_{isa}.cpp", gemm_source(isa))


def write(path: pathlib.Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("isas", help="instruction sets of an architecture and their kinds")
    add.add_argument("arch", help="as Meson's cpu_family, such as x86_64")
    add = commands.add_parser("flags", help="compiler flags of an instruction set, one per line")
    add.add_argument("isa")
    add = commands.add_parser("gemm", help="write the tiles of an instruction set")
    add.add_argument("isa")
    add.add_argument("-o", dest="output", type=pathlib.Path, required=True)
    add = commands.add_parser("registry", help="write the table of rows")
    add.add_argument("--isa", required=True, help="comma-separated; scalar is always there")
    add.add_argument("-o", dest="output", type=pathlib.Path, required=True)
    commands.add_parser("names", help="print the name of every row")
    add = commands.add_parser("export", help="write all generated sources to a folder")
    add.add_argument("folder", type=pathlib.Path)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    try:
        match args.command:
            case "isas":
                for isa, kinds in architecture(args.arch):
                    print(isa, *kinds)
            case "flags":
                print(*simd_vocabulary(args.isa).flags, sep="\n")
            case "gemm":
                write(args.output, gemm_source(args.isa))
            case "registry":
                isas = [isa for isa in args.isa.split(",") if isa not in ("", "scalar")]
                write(args.output, registry_source(["scalar"] + isas))
            case "names":
                print(*(k.name for k in all_kernels()), sep="\n")
            case "export":
                export(args.folder)
    except Refused as refused:
        print(f"generate.py: {refused}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

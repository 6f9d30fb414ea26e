# SPDX-License-Identifier: Apache-2.0
"""The C interface as Python sees it: read from octet.h itself, so that nothing is declared twice.

    lib = octet.Library()                       # build/src/liboctet.so, or $OCTET_LIBRARY
    scheme = lib.struct("octet_scheme", type=lib.OCTET_U8, flags=lib.OCTET_SYMMETRIC)
    lib.octet_quantize(lib.context, lib.tensor(x), lib.tensor(q, lib.qparams(scale, zero)), None)

Enum constants, structs and functions are attributes of the library. A function whose last parameter
is an octet_error is called without it and raises Refused on failure. Arguments of pointer type take
a struct, a torch tensor, a ctypes array or pointer, or None; what a struct points to is kept alive
by it.
"""

import ctypes
import os
import re
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
SCALARS = {
    "char": ctypes.c_char,
    "double": ctypes.c_double,
    "float": ctypes.c_float,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "octet_status": ctypes.c_int32,
    "octet_type": ctypes.c_int32,
    "size_t": ctypes.c_size_t,
    "uint8_t": ctypes.c_uint8,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
}
TYPES = {  # of torch: name of the constant
    torch.float32: "OCTET_F32",
    torch.float16: "OCTET_F16",
    torch.bfloat16: "OCTET_BF16",
    torch.uint8: "OCTET_U8",
    torch.int8: "OCTET_S8",
    torch.int16: "OCTET_S16",
    torch.uint16: "OCTET_U16",
    torch.int32: "OCTET_S32",
    torch.int64: "OCTET_S64",
}


class Refused(Exception):
    """A call that did not return OCTET_OK: its status and its sentence."""

    def __init__(self, status: int, text: str):
        super().__init__(f"status {status}: {text}")
        self.status = status


def constants(header: str) -> dict[str, int]:
    found = {}
    for body in re.findall(r"\benum\s*\{(.*?)\}", header, re.S):
        value = -1
        for item in filter(None, map(str.strip, body.split(","))):
            name, _, given = map(str.strip, item.partition("="))
            value = int(given, 0) if given else value + 1
            found[name] = value
    return found


def structs(header: str) -> dict[str, type[ctypes.Structure]]:
    """Structs by name; every pointer, and every pointer to a function, is a void pointer."""
    found = {}
    callbacks = "|".join(re.findall(r"typedef \w+ \(\*(\w+)\)", header)) or "$"
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\}\s*(\w+);", header, re.S):
        fields = []
        for line in filter(None, map(str.strip, body.split(";"))):
            if pointer := re.search(r"\(\*(\w+)\)\(", line):
                fields.append((pointer[1], ctypes.c_void_p))
                continue
            kind, rest = re.match(r"(?:const )?(?:struct )?(\w+)(.*)", line, re.S).groups()
            for item in rest.split(","):
                field = re.search(r"(\w+)((?:\[\d+\])*)\s*$", item)
                c = ctypes.c_void_p
                if "*" not in rest and not re.fullmatch(callbacks, kind):
                    c = SCALARS.get(kind) or found[kind]
                for size in re.findall(r"\d+", field[2]):
                    c = c * int(size)
                fields.append((field[1], c))
        found[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return found


def pointer(value):
    """What ctypes takes for a pointer."""
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    return value


class Library:
    def __init__(self):
        path = os.environ.get("OCTET_LIBRARY", ROOT / "build/src/liboctet.so")
        self._dll = ctypes.CDLL(str(path))
        header = (ROOT / "include/octet/octet.h").read_text()
        header = re.sub(r"/\*.*?\*/|^\s*#.*?$", "", header, flags=re.S | re.M)
        for name, value in constants(header).items():
            setattr(self, name, value)
        self._structs = structs(header)
        declared = re.findall(r"OCTET_API\s+([^;{]*?)\b(octet_\w+)\(([^)]*)\)\s*;", header)
        for result, name, parameters in declared:
            setattr(self, name, self._function(result, name, parameters))
        out = ctypes.c_void_p()
        self.octet_context_create(None, ctypes.byref(out))
        self.context = out

    def _function(self, result: str, name: str, parameters: str):
        f = getattr(self._dll, name)
        pieces = [p.strip() for p in parameters.split(",")]
        fallible = pieces[-1].startswith("octet_error*")
        kinds = [
            ctypes.c_void_p if "*" in p or "[" in p else SCALARS[p.split()[-2]]
            for p in pieces
            if p != "void"
        ]
        f.argtypes = kinds
        f.restype = ctypes.c_char_p if "*" in result else SCALARS.get(result.strip())
        if not fallible:
            return lambda *a: f(*map(pointer, a))

        def call(*a):
            error = self._structs["octet_error"]()
            if status := f(*map(pointer, a), ctypes.byref(error)):
                raise Refused(status, error.text.decode())

        call.__name__ = name
        return call

    def struct(self, name: str, **fields):
        """A struct with its struct_size set. Pointers may be torch tensors or structs."""
        s = self._structs[name]()
        s.kept = list(fields.values())
        if s._fields_[0][0] == "struct_size":
            s.struct_size = ctypes.sizeof(s)
        for field, value in fields.items():
            if isinstance(value, torch.Tensor):
                value = value.data_ptr()
            elif isinstance(value, ctypes.Structure):
                value = ctypes.addressof(value)
            setattr(s, field, value)
        return s

    def scheme(self, torch_type, **fields):
        return self.struct("octet_scheme", type=getattr(self, TYPES[torch_type]), **fields)

    def tensor(self, t: torch.Tensor, q=None):
        """A view of t, which may have any strides that Octet takes."""
        s = self.struct("octet_tensor", type=getattr(self, TYPES[t.dtype]), rank=t.dim())
        s.data = t.data_ptr()
        for i in range(t.dim()):
            s.dims[i] = t.shape[i]
            s.strides[i] = t.stride(i)
        if q is not None:
            s.q = ctypes.addressof(q)
        s.kept = [t, q]
        return s

    def qparams(self, scale, zero_point=0, qmin=0, qmax=0, axis=0, **fields):
        """Scales and zero points: numbers, or tensors (F32 and S32) with one for each channel."""
        scale = torch.as_tensor(scale, dtype=torch.float32).reshape(-1).contiguous()
        zero_point = torch.as_tensor(zero_point, dtype=torch.int32).reshape(-1).contiguous()
        return self.struct(
            "octet_qparams",
            count=scale.numel(),
            axis=axis,
            qmin=qmin,
            qmax=qmax,
            scale=scale,
            zero_point=zero_point,
            **fields,
        )

    def choose(self, scheme, low, high):
        """Scales and zero points for ranges."""
        low = torch.as_tensor(low, dtype=torch.float32).reshape(-1).contiguous()
        high = torch.as_tensor(high, dtype=torch.float32).reshape(-1).contiguous()
        scale = torch.empty_like(low)
        zero = torch.empty(low.numel(), dtype=torch.int32)
        self.octet_choose_qparams(scheme, low, high, low.numel(), scale, zero)
        return scale, zero


class Observer:
    """An observer of the given kind, with the fields of octet_observer_desc."""

    def __init__(self, lib: Library, kind: int, **fields):
        self.lib = lib
        self.channels = fields.get("channels", 0)
        self._o = ctypes.c_void_p()
        desc = lib.struct("octet_observer_desc", kind=kind, **fields)
        lib.octet_observer_create(lib.context, desc, ctypes.byref(self._o))

    def __del__(self):
        self.lib.octet_observer_destroy(self._o)

    def feed(self, x: torch.Tensor):
        self.lib.octet_observer_feed(self._o, self.lib.tensor(x), None)

    def qparams(self, scheme):
        n = max(self.channels, 1)
        scale, zero = torch.empty(n), torch.empty(n, dtype=torch.int32)
        self.lib.octet_observer_qparams(self._o, scheme, scale, zero, n)
        return scale, zero

    def range(self, scheme):
        n = max(self.channels, 1)
        low, high = torch.empty(n), torch.empty(n)
        self.lib.octet_observer_range(self._o, scheme, low, high, n)
        return low, high

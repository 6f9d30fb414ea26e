# SPDX-License-Identifier: Apache-2.0
"""What every peer is to the driver: a name, a version, an ISA and a way to prepare a layer."""

import contextlib
import ctypes
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from layer import Absent, ConvLayer, Layer


@dataclass
class Prepared:
    """A layer that is ready to run: everything that can be done once has been done.

    `call` takes no argument and has as few steps in Python as the library allows. `output` is
    valid after a call: u8 [m, n] or float32 [m, n].
    """

    call: Callable[[], Any]
    output: Callable[[], np.ndarray]
    note: str = ""
    keep: Any = None  # what `call` needs alive


class Peer(ABC):
    version = ""
    isa = "uncapped"

    @abstractmethod
    def prepare(self, form: str, layer: Layer) -> Prepared:
        """Raises layer.Absent where this peer cannot do `form`."""

    def prepare_conv(self, form: str, layer: ConvLayer) -> Prepared:
        """The same for a convolution; its output is [N, (D, (H,)) W, O]."""
        raise Absent("Its convolutions are not compared.")

    def prepare_pass(self, name: str, rows: int, columns: int) -> Prepared:
        """A pass of `octet bench quant` over a float32 matrix [rows, columns]."""
        raise Absent("Its quantization passes are not compared.")


def only_u8(form: str) -> None:
    if form != "u8":
        raise Absent("Its convolutions are compared in the form u8 alone.")


@contextlib.contextmanager
def stdout_captured() -> Iterator[list[str]]:
    """Collects the lines that C code writes to file descriptor 1 in the block."""
    lines: list[str] = []
    flush = ctypes.CDLL(None).fflush
    flush(None)
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            flush(None)
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()

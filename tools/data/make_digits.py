#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes digits.bin from the CSV form of the UCI handwritten digits.

    make_digits.py digits.csv[.gz] digits.bin

The one idea: half of the pixels are 0 and the rest are 1..16, so an image is a bitmap of the pixels
that are not 0, followed by their values minus 1 as nibbles. That keeps every value in about 25
bytes an image, and a reader needs no decompressor. README.md describes the format byte by byte.
"""

import csv
import gzip
import struct
import sys
import zlib
from pathlib import Path

PIXELS = 64


def pack_image(pixels: list[int], label: int) -> bytes:
    """label, bitmap (bit i: pixel i is not 0), values - 1 in ascending i, low nibble first."""
    if len(pixels) != PIXELS or not all(0 <= p <= 16 for p in pixels) or not 0 <= label <= 9:
        raise ValueError("an image has 64 pixels of 0..16 and a label of 0..9")
    bitmap = sum(1 << i for i, p in enumerate(pixels) if p)
    values = [p - 1 for p in pixels if p]
    if len(values) % 2:
        values.append(0)
    nibbles = bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))
    return struct.pack("<BQ", label, bitmap) + nibbles


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    opener = gzip.open if source.suffix == ".gz" else open
    with opener(source, "rt", newline="") as text:
        rows = [[int(float(v)) for v in row] for row in csv.reader(text) if row]
    payload = b"".join(pack_image(row[:PIXELS], row[PIXELS]) for row in rows)
    header = struct.pack("<4sIII", b"ODG1", len(rows), len(payload), zlib.crc32(payload))
    target.write_bytes(header + payload)
    print(f"{target}: {len(rows)} images, {len(header) + len(payload)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

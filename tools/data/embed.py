#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a C++ file that holds the bytes of a file: embed.py INPUT OUTPUT SYMBOL.

The program carries its data, so that it runs from any folder.
"""

import sys
from pathlib import Path


def main() -> int:
    source, target, symbol = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    data = source.read_bytes()
    lines = [
        "".join(f"{byte}," for byte in data[start : start + 32])
        for start in range(0, len(data), 32)
    ]
    target.write_text(
        "#include <cstddef>\n"
        f"extern const unsigned char {symbol}[];\n"
        f"extern const std::size_t {symbol}_size;\n"
        f"const unsigned char {symbol}[] = {{\n" + "\n".join(lines) + "\n};\n"
        f"const std::size_t {symbol}_size = sizeof {symbol};\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live parity with PyTorch: every tests/parity/test_*.py, against the shared library.

    ./tools/test --parity                                  # installs PyTorch, builds, runs all
    .venv-peers/bin/python tests/parity/run.py [NAME]...   # some, such as test_choosers

A file has unittest cases; octet.py reads the C interface from the header. Results are left where
tools/test_report.py counts them, in --log.
"""

import argparse
import json
import sys
import time
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = "2.13."  # of PyTorch: what docs/numerics.md compares with


class Log(unittest.TextTestResult):
    """What unittest prints, and one record for each case."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.cases = []

    def startTest(self, test):  # noqa: N802
        super().startTest(test)
        self.start = time.monotonic()

    def stopTest(self, test):  # noqa: N802
        super().stopTest(test)
        bad = [text for t, text in self.failures + self.errors if t is test or _parent(t) is test]
        self.cases.append((test.id(), time.monotonic() - self.start, bad))


def _parent(test):
    return getattr(test, "test_case", None)  # of a subTest


def write_log(folder: Path, result: Log):
    folder.mkdir(parents=True, exist_ok=True)
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", name="parity")
    for name, seconds, bad in result.cases:
        case = ET.SubElement(suite, "testcase", name=name, time=f"{seconds:.3f}")
        if bad:
            ET.SubElement(case, "failure").text = "\n".join(bad)
    ET.ElementTree(root).write(folder / "testlog-parity.junit.xml")
    verdict = {"name": "parity", "result": "OK" if result.wasSuccessful() else "FAIL"}
    (folder / "testlog-parity.json").write_text(json.dumps(verdict) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, help="folder of the log")
    parser.add_argument("names", nargs="*", help="modules, cases or tests")
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    try:
        import torch
    except ImportError:
        print("parity: PyTorch is missing; run tools/peers --only torch.", file=sys.stderr)
        return 2
    if not torch.__version__.startswith(VERSION):
        print(f"parity: PyTorch is {torch.__version__}, not {VERSION}x.", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    loader = unittest.TestLoader()
    if args.names:
        tests = loader.loadTestsFromNames(args.names)
    else:
        tests = loader.discover(str(HERE), "test_*.py", str(HERE))
    result = unittest.TextTestRunner(resultclass=Log, warnings="ignore").run(tests)
    if args.log:
        write_log(args.log / "meson-logs", result)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tests of the program share: how it is started, and TAP for unittest.

MESON_EXE_WRAPPER (an emulator) is put before the program where it is set.
"""

import argparse
import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
import unittest

options = argparse.Namespace()


def octet(*args: str, cwd: str | None = None) -> subprocess.CompletedProcess:
    command = shlex.split(os.environ.get("MESON_EXE_WRAPPER", "")) + [options.program, *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def octet_json(*args: str):
    done = octet(*args)
    if done.returncode:
        raise AssertionError(f"octet {' '.join(args)}: {done.returncode}, {done.stderr}")
    return json.loads(done.stdout)


def usable_isas() -> list[str]:
    return [isa["name"] for isa in octet_json("info", "--json")["isas"] if isa["usable"]]


class Tap(unittest.TextTestResult):
    """Prints one TAP line for each test, diagnostics as comments."""

    number = 0

    def line(self, good: bool, test: unittest.TestCase, remark: str = ""):
        Tap.number += 1
        print(f"{'ok' if good else 'not ok'} {Tap.number} - {test.id()}{remark}", flush=True)

    def report(self, test: unittest.TestCase, text: str):
        self.line(False, test)
        for line in text.splitlines():
            print(f"# {line}")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.report(test, self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.report(test, self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.report(subtest, self._exc_info_to_string(err, subtest))


def run(module: str) -> int:
    """Runs the tests of a module, by the name of the module, and says whether all passed."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module])
    with contextlib.redirect_stderr(io.StringIO()):
        result = unittest.TextTestRunner(stream=io.StringIO(), resultclass=Tap).run(suite)
    print(f"1..{Tap.number}")
    return 0 if result.wasSuccessful() else 1

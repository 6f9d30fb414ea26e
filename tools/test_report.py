#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up the test results of Meson build folders: test_report.py [--broken N] BUILD...

Meson writes two logs for each test set-up. testlog*.junit.xml has each case of a GoogleTest
program; testlog*.json has each program's verdict, which also knows of crashes, time-outs and leaks
found after the last case. Failures are the larger of the two counts, so neither kind can hide.
"""

import argparse
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}


def count(build: Path) -> tuple[int, int, int]:
    """Returns (passed, failed, skipped) of one build folder."""
    logs = sorted((build / "meson-logs").glob("testlog*.junit.xml"))
    return tuple(map(sum, zip(*map(count_one, logs), strict=True)))


def count_one(log: Path) -> tuple[int, int, int]:
    """The same of one set-up."""
    passed = failed = skipped = 0
    for case in ET.parse(log).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            skipped += 1
        else:
            passed += 1
    lines = log.with_name(log.name.replace(".junit.xml", ".json")).read_text().splitlines()
    bad = sum(json.loads(line)["result"] not in GOOD for line in lines)
    return passed, max(failed, bad), skipped


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--broken", type=int, default=0, help="failures that are in no log")
    parser.add_argument("build", nargs="*", type=Path)
    args = parser.parse_args()
    total_passed, total_failed = 0, args.broken
    for build in args.build:
        passed, failed, skipped = count(build)
        print(f"{build.name:16} {passed:6} passed {failed:4} failed {skipped:4} skipped")
        total_passed += passed
        total_failed += failed
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed or not total_passed else 0


if __name__ == "__main__":
    sys.exit(main())

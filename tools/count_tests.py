#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Count what ./dev test ran and print the closing line: count_tests.py RESULTS-FOLDER

RESULTS-FOLDER/steps has a line a step: its name, its result (ok, FAILED, skipped) and the JUnit
file that it left, if any, with tabs between.  A step with a JUnit file counts by the tests in it, a
step without one (a build, the lint) counts as one test.  A failed step whose JUnit file shows no
failure adds one failure, so that the line never says less than the exit code.

Exits with 1 when anything failed, or when nothing passed at all.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count_junit(path):
    """Return (passed, failed, skipped) and the names of the failed tests of a JUnit file."""
    passed = failed = skipped = 0
    names = []
    for case in ElementTree.parse(path).iter("testcase"):
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            failed += 1
            names.append(f"{case.get('classname') or ''} {case.get('name')}".strip())
        elif "skipped" in tags:
            skipped += 1
        else:
            passed += 1
    return (passed, failed, skipped), names


def count_step(folder, result, junit):
    """Return (passed, failed, skipped) and the names of the failed tests of a step."""
    if not junit:
        return (int(result == "ok"), int(result == "FAILED"), int(result == "skipped")), []
    path = folder / junit
    if not path.exists():
        return (0, int(result == "FAILED"), int(result == "skipped")), []
    try:
        (passed, failed, skipped), names = count_junit(path)
    except ElementTree.ParseError:
        return (0, 1, 0), [f"{junit} cannot be read"]
    if result == "FAILED" and failed == 0:
        failed = 1
    return (passed, failed, skipped), names


def main():
    folder = pathlib.Path(sys.argv[1])
    total = [0, 0, 0]
    for line in (folder / "steps").read_text(encoding="utf-8").splitlines():
        name, result, junit = line.split("\t")
        counts, failed_names = count_step(folder, result, junit)
        total = [a + b for a, b in zip(total, counts)]
        for failed in failed_names:
            print(f"failed: {name}: {failed}")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] > 0 or total[0] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

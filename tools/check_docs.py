#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check what the documents refer to: links to files, and names of tests.

Every relative link of a Markdown file must lead to a file; every name in back quotes that looks like
a test must be one (`subject__behaviour` itself stands for all of them); every path in back quotes
that begins with a folder of the project must exist.  The rows of the threat model are complete, and
each one that applies now names a test.  Prints a line a finding; exits with 1 when there is one.
"""

import pathlib
import re
import sys

LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
QUOTED = re.compile(r"`([^`\n]+)`")
TEST = re.compile(r"^(?:[a-z0-9_]+__[a-z0-9_]+|test_[a-z0-9_]+)$")
PATH = re.compile(r"^(?:src|tests|tools|docs)/[\w./-]+$")
TEST_FUNCTION = {".c": re.compile(r"^static void (\w+__\w+)\(", re.MULTILINE),
                 ".py": re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)}
THREATS, THREAT_ROWS = pathlib.Path("docs/threat-model.md"), 43
THREAT_ROW = re.compile(r"^\| (\d+) \| (.*?) \|(?:.*?)\|(?:.*?)\|(.*)\|$", re.MULTILINE)


def test_names():
    return {"subject__behaviour"} | {
        name for path in pathlib.Path("tests").rglob("*.*") if path.suffix in TEST_FUNCTION
        for name in TEST_FUNCTION[path.suffix].findall(path.read_text(encoding="utf-8"))}


def findings_in_threats():
    """Yield what is wrong with the table of the threat model."""
    rows = THREAT_ROW.findall(THREATS.read_text(encoding="utf-8"))
    numbers = [int(number) for number, _, _ in rows]
    if numbers != list(range(1, THREAT_ROWS + 1)):
        yield f"{THREATS}: its rows are not those from 1 to {THREAT_ROWS}, in order"
    for number, applies, proofs in rows:
        if applies.startswith("now") and not QUOTED.search(proofs):
            yield f"{THREATS}: row {number} applies now and names no test"


def findings_in(path, tests):
    """Yield what is wrong with one Markdown file."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for target in LINK.findall(line):
            if "://" not in target and not (path.parent / target).exists():
                yield f"{path}:{number}: the link to {target} leads nowhere"
        for name in QUOTED.findall(line):
            if TEST.match(name) and name not in tests:
                yield f"{path}:{number}: there is no test {name}"
            if PATH.match(name) and not pathlib.Path(name).exists():
                yield f"{path}:{number}: there is no {name}"


def main():
    tests = test_names()
    pages = [*pathlib.Path(".").glob("*.md"), *sorted(pathlib.Path("docs").rglob("*.md"))]
    findings = [text for page in pages if page.name != "coverage.md"
                for text in findings_in(page, tests)] + list(findings_in_threats())
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

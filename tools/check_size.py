#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Look for functions and files that have grown too long: check_size.py [--top]

Fails only on clear alarms; --top also lists the twenty longest functions, to look at in a review.
Relies on the layout of clang-format: the braces of a function stand alone in the first column.
"""

import pathlib
import re
import sys

FUNCTION_MAX = 200
FILE_MAX = 1200
NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")


def functions_of(lines):
    """Yield (name, first line, length) of every function."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = start - 1
            while head > 1 and lines[head - 2].strip() not in ("", "}") and \
                    not lines[head - 2].startswith(("#", "/", " *", "*")):
                head -= 1
            match = NAME.search(" ".join(lines[head - 1:start - 1]))
            yield (match.group(1) if match else "?"), head, number - start - 1
            start = None


def main():
    functions = []
    findings = []
    for path in [*sorted(pathlib.Path("src").rglob("*.c")),
                 *sorted(pathlib.Path("tests").rglob("*.c"))]:
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > FILE_MAX:
            findings.append(f"{path}: {len(lines)} lines; a file has at most {FILE_MAX}")
        for name, line, length in functions_of(lines):
            functions.append((length, f"{path}:{line}", name))
            if length > FUNCTION_MAX:
                findings.append(f"{path}:{line}: {name} has {length} lines; at most {FUNCTION_MAX}")
    if "--top" in sys.argv:
        for length, place, name in sorted(functions, reverse=True)[:20]:
            print(f"{length:4d}  {name}  {place}")
    if not functions:
        findings.append("check_size: found no function at all; run it from the root of the project")
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check what every text file of the project must have, and must not.

A licence line at the top of every source; no path of somebody's machine; no note of unfinished
work; no overlong line in code, no white space at an end of line, a newline at the end of
the file; `#pragma once` in headers.  Prints a line a finding; exits with 1 when there is one.
"""

import os
import pathlib
import re
import sys

SKIP_FOLDERS = {".git", "build", "__pycache__", "corpus", "vectors", ".pytest_cache"}
LICENSED = {".c", ".h", ".def", ".py", ".sh", ".build", ".js", ".css", ".html"}
CODE = {".c", ".h", ".def", ".py", ".sh"}
TEXT = LICENSED | {".md", ".txt", ".csv", ".yml", ".yaml", ".conf", ".suppress", ""}
SPDX = "SPDX-License-Identifier: " + "Apache-2.0"
# The kernel lets only programs under its own licence look up routes (docs/decisions/0020).
SPDX_BPF = "SPDX-License-Identifier: " + "GPL-2.0-only OR BSD-2-Clause"
LINE_MAX = {".py": 120}
LINE_MAX_ELSE = 100

# Written so that this file does not find itself.
PRIVATE_PATH = re.compile(r"(?<![\w.])/(?:wor" + r"k|hom" + r"e|roo" + r"t|Users|tm" + r"p/h)/")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b(?!-)")


def text_files():
    for folder, folders, files in os.walk("."):
        folders[:] = sorted(set(folders) - SKIP_FOLDERS)
        for name in sorted(files):
            path = pathlib.Path(folder, name)
            if path.suffix in TEXT and not path.is_symlink():
                yield path


def check_lines(path, lines):
    line_max = LINE_MAX.get(path.suffix, LINE_MAX_ELSE)
    for number, line in enumerate(lines, 1):
        if PRIVATE_PATH.search(line):
            yield number, "names a path of one machine"
        if UNFINISHED.search(line) and path.suffix != ".csv":
            yield number, "says that something is unfinished"
        if path.suffix in CODE and len(line) > line_max:
            yield number, f"has {len(line)} columns; at most {line_max}"
        if line != line.rstrip() and path.suffix != ".md":
            yield number, "ends with white space"


def check(path):
    """Yield (line, finding) of one file."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield 1, "is not UTF-8"
        return
    lines = text.split("\n")
    if text and not text.endswith("\n"):
        yield len(lines), "has no newline at its end"
    script = text.startswith("#!")
    licences = (SPDX, SPDX_BPF) if "bpf" in path.parts else (SPDX,)
    if (path.suffix in LICENSED or script) and not any(one in "\n".join(lines[:2]) for one in licences):
        yield 1, f"has no line '{' or '.join(licences)}' at its top"
    if path.suffix == ".h" and "#pragma once" not in lines:
        yield 1, "is a header without #pragma once"
    yield from check_lines(path, lines)


def main():
    findings = [f"{path}:{line}: {what}" for path in text_files() for line, what in check(path)]
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

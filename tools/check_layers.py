#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check the layers of src/: who may include whom, and which folders stay pure.

The table is the rule (docs/architecture.md explains it).  Prints a line a finding; exits with 1
when there is one.
"""

import pathlib
import re
import sys

# folder: folders whose headers it may include, besides its own.
ALLOWED = {
    "base": set(),
    "log": {"base"},
    "stats": {"base"},
    "crypto": {"base"},
    "conf": {"base"},
    "wire": {"base", "crypto"},
    "turn": {"base", "crypto", "wire"},
    "io": {"base", "log", "stats"},
    "offload": {"base", "log"},
    "store": {"base", "conf", "crypto", "io", "log"},
    "auth": {"base", "conf", "crypto", "log", "store"},
    "relay": {
        "auth", "base", "conf", "crypto", "io", "log", "offload", "stats", "store", "turn", "wire",
    },
    "admin": {"base", "conf", "io", "log", "relay", "stats"},
    "cmd": {
        "admin", "auth", "base", "conf", "crypto", "io", "log", "offload", "relay", "stats", "store",
        "turn", "wire",
    },
}

# folder: the only headers of another folder that it may see.
ONLY_HEADERS = {("admin", "relay"): {"relay/control.h"}}

# These make no system call and know no clock, thread, socket or log: the only <headers> they see.
PURE = {"wire", "turn"}
PURE_SYSTEM_HEADERS = {
    "assert.h", "errno.h", "inttypes.h", "limits.h", "search.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdlib.h", "string.h",
}

# The protocol has no place in these folders, not even by name.
PROTOCOL_FREE = {"io"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def includes_of(path):
    """Yield (line number, "<" or '"', name) of every include directive."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1), match.group(2)


def judge(folder, kind, name):
    """Return what is wrong with one include, or None."""
    if kind == "<":
        if folder in PURE and name not in PURE_SYSTEM_HEADERS:
            return f"{folder}/ is pure and may not include <{name}>"
        return None
    if "/" not in name:
        return f'"{name}" does not name its folder'
    other = name.split("/")[0]
    if other != folder and other not in ALLOWED[folder]:
        return f"{folder}/ may not include {other}/ ({name})"
    only = ONLY_HEADERS.get((folder, other))
    if only is not None and name not in only:
        return f"{folder}/ sees {other}/ only through {', '.join(sorted(only))} (not {name})"
    if folder in PROTOCOL_FREE and re.search(r"stun|turn", name):
        return f"{folder}/ never names the protocol ({name})"
    return None


def main():
    root = pathlib.Path("src")
    findings = []
    count = 0
    for path in sorted(root.glob("*/**/*")):
        if path.suffix not in {".c", ".h", ".def"}:
            continue
        folder = path.relative_to(root).parts[0]
        if folder not in ALLOWED:
            findings.append(f"{path}: tools/check_layers.py knows no folder '{folder}'")
            continue
        for number, kind, name in includes_of(path):
            count += 1
            wrong = judge(folder, kind, name)
            if wrong:
                findings.append(f"{path}:{number}: {wrong}")
    print("\n".join(findings), end="\n" if findings else "")
    if count == 0:
        print("check_layers: found no include at all; run it from the root of the project")
    return 1 if findings or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

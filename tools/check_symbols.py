#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check the symbols of the compiled objects: check_symbols.py BUILD-FOLDER

* folder/file.c exports only file_* or folder_* (or file_ cut at a word: conf_file.c may export
  conf_*, net_addr.c may export net_*; and of what holds many, the plural: stream.c may export
  streams_*);
* nothing exports a variable that can be written to;
* wire/ and turn/ call nothing of libc but what moves, compares and returns memory.

Prints a line a finding; exits with 1 when there is one.
"""

import pathlib
import re
import subprocess
import sys

PURE = {"wire", "turn"}
# What compilers and hardening put in, and memory handling.
PURE_LIBC = re.compile(
    r"^(__)?(memcpy|memmove|memset|memcmp|bcmp|memchr|strchr|strlen|strnlen|explicit_bzero)(_chk)?$"
    r"|^(free|calloc|malloc|abort|qsort|bsearch|tsearch|tfind|tdelete|tdestroy)$"
    r"|^__stack_chk_fail$|^__assert_fail$|^_GLOBAL_OFFSET_TABLE_$|^__(asan|ubsan|tsan)_.*"
)
# A view and the writer are two halves of one subject.
SECOND_NAMES = {("base", "bytes"): {"writer"}}
# The level that a macro compares before it pays for a log line.
WRITABLE = {"log_level_now"}
OBJECT = re.compile(r"(?:^|/)src/(?P<folder>\w+)/lib\w+\.a\.p/(?P<file>\w+)\.c\.o$"
                    r"|(?:^|/)sterna\.p/src_(?P<folder2>[a-z]+)_(?P<file2>\w+)\.c\.o$")


def symbols_of(objects):
    """Yield (object, symbol, section) of all global symbols; "*UND*" is the section of a call."""
    out = subprocess.run(["nm", "--extern-only", "--print-file-name", "--format=sysv",
                          *map(str, objects)], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 7:
            path, symbol = fields[0].rsplit(":", 1)
            yield path, symbol, fields[6]


def prefixes_of(folder, stem):
    """What an exported name of folder/stem.c may start with."""
    words = stem.split("_")
    names = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
    return {folder, *names, *(name + "s" for name in names),
            *SECOND_NAMES.get((folder, stem), ())}


def judge_export(folder, stem, symbol, section):
    if symbol in WRITABLE or symbol == "main":
        return None
    # Constants that hold addresses lie in .data.rel.ro, which the loader closes.
    if section == "*COM*" or re.match(r"\.(bss|data(?!\.rel\.ro))", section):
        return f"exports the writable variable {symbol}"
    if any(symbol == prefix or symbol.startswith(prefix + "_")
           for prefix in prefixes_of(folder, stem)):
        return None
    return f"exports {symbol}, which does not begin with {stem}_ or {folder}_"


def main():
    build = pathlib.Path(sys.argv[1])
    places = {}
    for path in sorted(build.rglob("*.c.o")):
        match = OBJECT.search(str(path.relative_to(build)))
        source = match and (match["folder"] or match["folder2"], match["file"] or match["file2"])
        # An object of a source that is no more stays behind in the build folder.
        if source and pathlib.Path("src", source[0], source[1] + ".c").exists():
            places[str(path)] = source
    if not places:
        print(f"check_symbols: {build} holds no objects; ./dev lint compiles them")
        return 1

    symbols = list(symbols_of(places))
    ours = {symbol for _, symbol, section in symbols if section != "*UND*"}
    findings = set()
    for path, symbol, section in symbols:
        folder, stem = places[path]
        wrong = None
        if section != "*UND*":
            wrong = judge_export(folder, stem, symbol, section)
        elif folder in PURE and symbol not in ours and not PURE_LIBC.match(symbol):
            wrong = f"is pure, but calls {symbol}"
        if wrong:
            findings.add(f"src/{folder}/{stem}.c {wrong}")
    print("\n".join(sorted(findings)), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

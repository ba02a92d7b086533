#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check that every header compiles alone, with gcc and with clang; those of BPF programs for these.

Prints the compilers' messages; exits with 1 when there are any.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Isrc", "-Itests",
         "-Itests/unit", "-fsyntax-only", "-x", "c", "-"]


BPF_FLAGS = ["-target", "bpf", "-O2", "-g", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror",
             "-Isrc", "-Itests",
             "-idirafter", f"/usr/include/{os.uname().machine}-linux-gnu", "-c", "-o", "/dev/null", "-x", "c", "-"]


def compilers(path):
    """Return which compilers, with which flags, have to take it."""
    return [("clang", BPF_FLAGS)] if "bpf" in path.parts else [("gcc", FLAGS), ("clang", FLAGS)]


def compile_alone(compiler, flags, path):
    """Return what the compiler says of a file that includes `path` twice and nothing else."""
    name = path.relative_to(path.parts[0])
    source = f'#include "{name}"\n#include "{name}"\n'
    done = subprocess.run([compiler, *flags], input=source, capture_output=True, text=True,
                          check=False)
    if done.returncode == 0:
        return ""
    return f"{path} does not compile alone ({compiler}):\n{done.stderr}"


def main():
    headers = sorted(pathlib.Path("src").rglob("*.h")) + sorted(pathlib.Path("tests").rglob("*.h"))
    jobs = [(*compiler, path) for path in headers for compiler in compilers(path)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = [text for text in pool.map(lambda job: compile_alone(*job), jobs) if text]
    print("\n".join(findings), end="")
    return 1 if findings or not headers else 0


if __name__ == "__main__":
    sys.exit(main())

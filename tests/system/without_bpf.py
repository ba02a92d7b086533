# SPDX-License-Identifier: Apache-2.0
"""Start a command as container engines do: bpf(2) answers EPERM.  Usage: without_bpf.py COMMAND [ARGUMENT ...]"""
import ctypes
import os
import platform
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06          # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
ERRNO, ALLOW, EPERM = 0x00050000, 0x7FFF0000, 1
BPF = {"x86_64": 321, "aarch64": 280}


class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def forbid(number):
    """No more of that system call in this process, and in what it becomes.  As root."""
    steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | EPERM), (RETURN, 0, 0, ALLOW)]
    program = Program(len(steps), b"".join(struct.pack("=HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")


forbid(BPF[platform.machine()])
os.execvp(sys.argv[1], sys.argv[1:])

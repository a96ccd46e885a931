"""Which processor computes: kernels choose their code, and so the bits of a sum, by it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch

#: What oneDNN and BLAS choose by, beyond the level that torch names itself.
_FINER = ("avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_", "sve", "bf16", "i8mm")
#: A user's limits to that choice. torch's own, ATEN_CPU_CAPABILITY, shows in its level.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
_CPUINFO = Path("/proc/cpuinfo")
#: Where cpuinfo tells no name (arm64), its numbers do.
_NUMBERS = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")


@cache
def name() -> str:
    """The processor's name and, where Linux tells them, the numbers of its kind: a virtual
    machine's name may be no more than the maker's."""
    return described(_facts()) or _brand() or platform.processor() or platform.machine()


def instructions() -> str:
    """The level of instructions that torch uses, what else its libraries choose by, and limits."""
    facts = _facts()
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    finer = sorted(flag for flag in flags if flag.startswith(_FINER))
    limits = [f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name)]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *finer, *limits])


def described(facts: Mapping[str, str]) -> str:
    """Name and numbers of a processor from a block of /proc/cpuinfo; "" where it has neither."""
    numbers = ", ".join(f"{key} {facts[key]}" for key in _NUMBERS if facts.get(key))
    return "; ".join(part for part in (facts.get("model name", ""), numbers) if part)


@cache
def _facts() -> Mapping[str, str]:
    """The first processor's block of /proc/cpuinfo; empty where there is none."""
    try:
        block = _CPUINFO.read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in block.splitlines())
    return {key.strip(): value.strip() for key, value in pairs}


def _brand() -> str:
    """What macOS calls it."""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip()

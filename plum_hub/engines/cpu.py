"""The dtype that a CPU computes fastest in, decided in one place for engines and training.

Nothing here imports torch, so that it can be asked before torch is loaded.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

CpuDtype: TypeAlias = Literal["bfloat16", "float32"]

_X86 = frozenset({"x86_64", "amd64", "i686", "i386"})
_BF16_FLAGS = {"x86": frozenset({"avx512_bf16", "amx_bf16"}), "arm": frozenset({"bf16"})}
"""Flags of /proc/cpuinfo for dot products of bfloat16. On aarch64 (FEAT_BF16: Neoverse N2, V1 and later) oneDNN and
the Arm Compute Library use them. AVX-NE-CONVERT is missing on purpose: it converts, and computes in float32.
"""
_ONEDNN_WITHOUT_BF16 = frozenset(
    {"sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni"}
)
"""Values of ONEDNN_MAX_CPU_ISA under which oneDNN uses no bfloat16 instructions."""
_SHOWN = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "sve", "i8mm", "bf16")


@dataclass(frozen=True)
class Cpu:
    """A CPU as the kernel describes it.

    Attributes:
        name: The model's name, or the architecture where the kernel gives none.
        architecture: As returned by `platform.machine()`, for example `x86_64` or `aarch64`.
        flags: The instruction sets, in the kernel's words.
    """

    name: str
    architecture: str
    flags: frozenset[str]

    def described(self) -> str:
        """Describe the CPU in one line.

        Returns:
            The name, and the flags that decide about speed.
        """
        return f"{self.name} ({' '.join(flag for flag in _SHOWN if flag in self.flags) or self.architecture})"


def this_cpu() -> Cpu:
    """Read the CPU of this machine.

    Returns:
        The CPU; without flags where the kernel does not list them, as on macOS.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_cpuinfo(text, platform.machine())


def parse_cpuinfo(text: str, architecture: str) -> Cpu:
    """Parse the first processor of a /proc/cpuinfo, of x86 or Arm.

    Args:
        text: Content of /proc/cpuinfo.
        architecture: As returned by `platform.machine()`.

    Returns:
        The CPU that the text describes.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip().lower(), value.strip())
    flags = (found.get("flags") or found.get("features") or "").split()
    return Cpu(found.get("model name") or architecture, architecture, frozenset(flags))


def fast_dtype(cpu: Cpu, environment: Mapping[str, str]) -> CpuDtype:
    """Choose the dtype that a CPU computes fastest in: bfloat16 where it has instructions for it, else float32.

    Without such instructions torch computes bfloat16 products one by one, about ten times slower than float32.

    Args:
        cpu: The CPU.
        environment: Environment variables. ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA (formerly DNNL_MAX_CPU_ISA) may
            restrict torch and oneDNN to less than the CPU has.

    Returns:
        `bfloat16` or `float32`.
    """
    x86 = cpu.architecture.lower() in _X86
    if not cpu.flags & _BF16_FLAGS["x86" if x86 else "arm"]:
        return "float32"
    if x86:
        if environment.get("ATEN_CPU_CAPABILITY") in ("default", "avx2"):
            return "float32"
        limit = environment.get("ONEDNN_MAX_CPU_ISA") or environment.get("DNNL_MAX_CPU_ISA") or ""
        if limit.lower() in _ONEDNN_WITHOUT_BF16:
            return "float32"
    return "bfloat16"

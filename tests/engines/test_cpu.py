"""What a CPU is asked to compute in, decided from its flags as data."""

import os
import subprocess
import sys

import pytest

from plum_hub.engines.cpu import Cpu, fast_dtype, parse_cpuinfo
from plum_hub.engines.dtype import for_gpu, half_of

MILAN = "fma avx avx2 bmi2 vaes"
SKYLAKE = "avx2 avx512f avx512dq avx512bw avx512vl"
CASCADE_LAKE = f"{SKYLAKE} avx512_vnni"
ZEN_4 = f"{CASCADE_LAKE} avx512_bf16"
SAPPHIRE_RAPIDS = f"{ZEN_4} amx_bf16 amx_tile amx_int8"


@pytest.mark.parametrize(
    ("architecture", "flags", "fast"),
    [
        ("x86_64", MILAN, "float32"),
        ("x86_64", SKYLAKE, "float32"),
        ("x86_64", CASCADE_LAKE, "float32"),
        ("x86_64", ZEN_4, "bfloat16"),
        ("AMD64", ZEN_4, "bfloat16"),
        ("x86_64", SAPPHIRE_RAPIDS, "bfloat16"),
        ("x86_64", f"{SKYLAKE} amx_bf16", "bfloat16"),
        ("x86_64", "avx2 avx_ne_convert", "float32"),
        ("x86_64", "", "float32"),
        ("aarch64", "fp asimd atomics asimddp", "float32"),  # Neoverse N1
        ("aarch64", "fp asimd sve i8mm bf16", "bfloat16"),  # Neoverse V1
        ("arm64", "", "float32"),
        ("riscv64", "", "float32"),
    ],
)
def test_bfloat16_only_where_there_are_instructions_for_it(architecture: str, flags: str, fast: str) -> None:
    assert fast_dtype(Cpu("a CPU", architecture, frozenset(flags.split())), {}) == fast


@pytest.mark.parametrize(
    ("environment", "fast"),
    [
        ({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}, "float32"),
        ({"ATEN_CPU_CAPABILITY": "default"}, "float32"),
        ({"ATEN_CPU_CAPABILITY": "avx512"}, "bfloat16"),
        ({"ONEDNN_MAX_CPU_ISA": "avx512_core_vnni"}, "float32"),
        ({"DNNL_MAX_CPU_ISA": "AVX2"}, "float32"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, "bfloat16"),
        ({"ONEDNN_MAX_CPU_ISA": "DEFAULT"}, "bfloat16"),
    ],
)
def test_what_torch_is_told_to_leave_unused_does_not_count(environment: dict[str, str], fast: str) -> None:
    assert fast_dtype(Cpu("a CPU", "x86_64", frozenset(SAPPHIRE_RAPIDS.split())), environment) == fast


def test_cpuinfo_of_both_architectures() -> None:
    x86 = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n"
    assert parse_cpuinfo(x86, "x86_64") == Cpu("AMD EPYC", "x86_64", frozenset({"fpu", "avx2", "avx512_bf16"}))
    arm = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd bf16\nCPU part\t: 0xd40\n"
    assert parse_cpuinfo(arm, "aarch64") == Cpu("aarch64", "aarch64", frozenset({"fp", "asimd", "bf16"}))
    assert parse_cpuinfo("", "arm64").described() == "arm64 (arm64)"
    assert parse_cpuinfo(x86, "x86_64").described() == "AMD EPYC (avx2 avx512_bf16)"


@pytest.mark.parametrize(
    ("own", "half", "keeps_float32", "expected"),
    [
        ("bfloat16", "bfloat16", True, "bfloat16"),
        ("bfloat16", "float16", True, "float16"),  # a Turing GPU
        ("float16", "bfloat16", False, "float16"),
        ("float32", "bfloat16", True, "float32"),
        ("float32", "bfloat16", False, "bfloat16"),
        (None, "bfloat16", True, "bfloat16"),
    ],
)
def test_the_models_own_numbers_on_a_gpu(own: str | None, half: str, keeps_float32: bool, expected: str) -> None:
    assert half_of({"bfloat16": "9.0\n8.0\n", "float16": "9.0\n7.5\n"}[half]) == half
    assert for_gpu(own, half_of(f"{8.6 if half == 'bfloat16' else 7.0}"), keeps_float32=keeps_float32) == expected


def test_training_and_engines_decide_alike_where_torch_may_use_avx2_only() -> None:
    program = (
        "from plum_hub.engines.dtype import cpu_dtype\nfrom plum_hub.training.device import _computes_in_bf16\n"
        "import torch\nprint(cpu_dtype(), _computes_in_bf16(), torch.backends.cpu.get_cpu_capability())"
    )
    played = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | played, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["float32", "False", "AVX2"]

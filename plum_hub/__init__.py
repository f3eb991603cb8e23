"""plum-hub: code-preference datasets and models on the Hugging Face Hub, made by the PLUM method (arXiv 2406.06887)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plum_hub.loading import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load` is imported when it is first used, so that `import plum_hub` costs nothing."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from plum_hub.loading import load

    return load

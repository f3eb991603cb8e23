"""Where tasks come from: the shipped set, a Hub dataset or a local file; cleaned, and without repeats."""

from plum_hub.instructions.sources import InstructionsConfig, Loaded, PaperSettings, load, paper_settings

__all__ = ["InstructionsConfig", "Loaded", "PaperSettings", "load", "paper_settings"]

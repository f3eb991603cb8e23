"""Sources of instructions: the shipped set, a Hub dataset or a local file, cleaned and deduplicated."""

from plum_hub.instructions.sources import InstructionsConfig, LoadedInstructions, PaperSettings, load, paper_settings

__all__ = ["InstructionsConfig", "LoadedInstructions", "PaperSettings", "load", "paper_settings"]

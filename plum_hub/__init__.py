"""plum-hub: code-preference datasets and models on the Hugging Face Hub, made by the PLUM method (arXiv 2406.06887)."""

__version__ = "0.1.0"

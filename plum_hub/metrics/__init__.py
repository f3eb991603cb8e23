"""Metrics for Hugging Face `evaluate`, in its own form: a script that it loads from a path.

import evaluate
from plum_hub import metrics

code_eval = evaluate.load(metrics.path())
pass_at_k, results = code_eval.compute(predictions=[["def f(x): return x"]], references=["assert f(1) == 1"], k=[1])
"""

from pathlib import Path


def path(name: str = "code_eval") -> str:
    """Return the path of a metric, for `evaluate.load`.

    Args:
        name: Name of the metric.

    Returns:
        The folder that holds the metric's script.
    """
    return str(Path(__file__).with_name(name))

"""The metric `code_eval` of Hugging Face `evaluate`, with programs that run in a sandbox.

`evaluate.load` copies this file into its cache and imports it there, so the implementation is in `plum_hub`.
"""

from collections.abc import Sequence
from typing import Any

import datasets  # noqa: TID253  evaluate, which loads this file, has imported both
import evaluate  # noqa: TID253

from plum_hub.metrics.scoring import Results, score

_DESCRIPTION = """\
pass@k by the unbiased estimator of "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374). Programs run
in isolation. If a test can be split into a call and an expected value, the program never sees the value.
"""

_INPUTS = """
Args:
    predictions: A list of programs for each problem.
    references: The tests of each problem, as Python source. Tests that programs pass which solve nothing are refused.
    k: Number or numbers of programs to consider (default: 1, 10, 100).
    num_workers: Programs that run at the same time (default: 4).
    timeout: CPU seconds of a program (default: 3.0). One that sleeps is stopped after ten times as long.
Returns:
    pass_at_k: The mean pass@k over the problems, for each k for which every problem has enough programs.
    results: For each problem, by its position, a list of (position of the program, result of the program).
Example:
    >>> code_eval = evaluate.load(plum_hub.metrics.path())
    >>> candidates = [["def add(a, b): return a * b", "def add(a, b): return a + b"]]
    >>> pass_at_k, results = code_eval.compute(predictions=candidates, references=["assert add(2, 3) == 5"], k=[1, 2])
    >>> pass_at_k
    {'pass@1': 0.5, 'pass@2': 1.0}
"""


class CodeEval(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """A replacement for `code_eval`: `compute` has the same arguments and results."""

    def _info(self) -> Any:
        features = {
            "predictions": datasets.Sequence(datasets.Value("string")),
            "references": datasets.Value("string"),
        }
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="arXiv 2107.03374",
            inputs_description=_INPUTS,
            features=datasets.Features(features),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[str | None]],
        references: Sequence[str],
        k: int | Sequence[int] = (1, 10, 100),
        num_workers: int = 4,
        timeout: float = 3.0,
    ) -> tuple[dict[str, float], Results]:
        return score(predictions, references, k, workers=num_workers, timeout=timeout)

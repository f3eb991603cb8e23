"""The pass@k estimator."""

from math import comb


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Estimate the probability that at least one of k samples of a problem passes, without bias.

    Computes 1 - C(samples - passed, k) / C(samples, k) (Chen et al., arXiv 2107.03374, section 2.1) in exact integer
    arithmetic.

    Args:
        samples: Number of samples of the problem, at least `k`.
        passed: How many of them passed.
        k: Number of samples drawn, at least 1.

    Returns:
        A probability from 0 to 1.

    Raises:
        ValueError: The estimate is undefined: fewer than `k` samples, or more passed than there are.
    """
    if not (1 <= k <= samples and 0 <= passed <= samples):
        raise ValueError(f"pass@{k} of {samples} samples, of which {passed} passed, is not defined")
    choices = comb(samples, k)
    return (choices - comb(samples - passed, k)) / choices

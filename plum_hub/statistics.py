"""Standard errors of scores, and tests that compare two models on the same problems.

The unit is the problem: a benchmark is a sample of the tasks one could have asked, and the samples of one problem are
not independent. Everything here is exact or seeded, so equal scores give equal numbers on every machine.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from statistics import NormalDist, fmean, quantiles

_RESAMPLES = 5_000
_BINS = 10
"""Bins of the histogram of shares."""
_NEGLIGIBLE = 1e-12
"""Probabilities below this share of the largest one are left out of a sum."""


@dataclass(frozen=True)
class Estimate:
    """A mean over problems and its standard error."""

    value: float
    stderr: float


def mean_over_problems(values: Sequence[float]) -> Estimate:
    """Compute the mean of one value per problem and its standard error.

    The standard error is sqrt(sum of (value - mean)²) / problems, the error of choosing the problems. For values of 0
    and 1 it equals the binomial sqrt(p (1 - p) / problems).

    Args:
        values: One value per problem: whether it was solved, or its pass@k.

    Returns:
        The mean and its standard error, in the unit of the values.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("the mean of no problems is undefined")
    mean = fmean(values)
    return Estimate(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values)) / len(values))


@dataclass(frozen=True)
class Distribution:
    """Values between 0 and 1, summarized."""

    count: int
    """Number of values."""
    mean: float
    """Their mean."""
    quartiles: tuple[float, float, float]
    """The values below which a quarter, a half and three quarters of them are, interpolated."""
    bins: tuple[int, ...]
    """A histogram of ten bins of equal width from 0 to 1; the last one includes 1."""


def distribution(values: Sequence[float]) -> Distribution | None:
    """Summarize shares. The order of the values does not change the result.

    Args:
        values: Values from 0 to 1.

    Returns:
        The summary; None if there are no values.
    """
    if not values:
        return None
    low, middle, high = quantiles([*values, *values] if len(values) == 1 else values, n=4, method="inclusive")
    bins = [0] * _BINS
    for value in values:
        bins[min(int(value * _BINS), _BINS - 1)] += 1
    return Distribution(len(values), fmean(values), (low, middle, high), tuple(bins))


def sampling_error(counts: Sequence[tuple[int, int]]) -> float | None:
    """Compute how far pass@1 would differ between two draws of the samples of the same problems.

    Args:
        counts: (samples, passed) of each problem.

    Returns:
        The standard error sqrt(sum of p (1 - p) / (n - 1)) / problems, where p is the share of a problem's n samples
        that passed. None if a problem has a single sample, which says nothing about a second one.
    """
    if not counts or any(samples < 2 for samples, _ in counts):
        return None
    variances = (passed * (samples - passed) / (samples * samples * (samples - 1)) for samples, passed in counts)
    return math.sqrt(math.fsum(variances)) / len(counts)


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute McNemar's exact test, two-sided.

    Args:
        only_first: Problems that only the first model solved.
        only_second: Problems that only the second model solved.

    Returns:
        The p-value: the probability of a split at least as uneven if each of these problems were equally likely to be
        solved by either model.

    Raises:
        ValueError: A count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts must not be negative, but are {only_first} and {only_second}")
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, count) for count in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << discordant))


def bootstrap_interval(
    differences: Sequence[float], *, level: float = 0.95, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Compute a confidence interval of the mean difference between two models, by the paired percentile bootstrap.

    Problems are drawn with replacement, each with the results of both models. If all differences are the same, no draw
    differs from another; then it is the range of means where as many problems as Wilson's interval allows differ by
    anything.

    Args:
        differences: Second minus first, one per problem, from -1 to 1.
        level: Confidence level, between 0 and 1.
        resamples: How often the problems are drawn.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: There are no differences.
    """
    if not differences:
        raise ValueError("the interval of no problems is undefined")
    counts = Counter(differences)  # most problems share a few values, and drawing those is faster
    values, weights = list(counts), list(counts.values())
    random, size = Random(seed), len(differences)
    if len(values) == 1:
        edge = _most_unseen(size, level)
        return values[0] - edge * (values[0] + 1), values[0] + edge * (1 - values[0])
    means = sorted(math.fsum(random.choices(values, weights, k=size)) / size for _ in range(resamples))
    low = math.floor((1 - level) / 2 * (resamples - 1))
    return means[low], means[resamples - 1 - low]


def ratio_interval(
    parts: Sequence[tuple[int, int]], *, level: float = 0.95, resamples: int = _RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Compute a confidence interval of a share whose trials come in groups, by the percentile bootstrap over groups.

    If all trials agree, no draw differs from another; then it is Wilson's interval, with one trial for each group.

    Args:
        parts: Successes and trials of each group, as of the samples of one instruction; at least one trial each.
        level: Confidence level, between 0 and 1.
        resamples: How often the groups are drawn.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: There are no groups.
    """
    if not parts:
        raise ValueError("the interval of no groups is undefined")
    size, successes = len(parts), sum(part for part, _ in parts)
    if successes in (0, sum(whole for _, whole in parts)):
        edge = _most_unseen(size, level)
        return (0.0, edge) if successes == 0 else (1 - edge, 1.0)
    counts = Counter(parts)
    values, weights = list(counts), list(counts.values())
    random, shares = Random(seed), []
    for _ in range(resamples):
        drawn = random.choices(values, weights, k=size)
        shares.append(sum(part for part, _ in drawn) / sum(whole for _, whole in drawn))
    shares.sort()
    low = math.floor((1 - level) / 2 * (resamples - 1))
    return shares[low], shares[resamples - 1 - low]


def _most_unseen(trials: int, level: float) -> float:
    """Return the upper end of Wilson's interval of a share that no trial showed."""
    squared = NormalDist().inv_cdf((1 + level) / 2) ** 2
    return squared / (trials + squared)


def power(problems: int, discordant: float, gain: float, *, alpha: float = 0.05) -> float:
    """Compute the probability that McNemar's exact test finds a true gain.

    Args:
        problems: Number of problems that both models are asked.
        discordant: Share of problems that exactly one model solves.
        gain: Share that only the second model solves, minus the share that only the first one does.
        alpha: Significance level of the test.

    Returns:
        A probability from 0 to 1.

    Raises:
        ValueError: The shares are impossible: not 0 <= gain <= discordant <= 1.
    """
    if not 0 <= gain <= discordant <= 1:
        raise ValueError(f"a gain of {gain} among {discordant} discordant problems is impossible")
    if discordant == 0:
        return 0.0
    share = (discordant + gain) / (2 * discordant)
    total = 0.0
    for count, chance in _binomial(problems, discordant):
        fewest = _fewest_for_a_finding(count, alpha)
        if fewest is not None:
            found = (part for won, part in _binomial(count, share) if won >= fewest or count - won >= fewest)
            total += chance * math.fsum(found)
    return min(1.0, total)


def smallest_gain(problems: int, discordant: float, *, required: float = 0.8, alpha: float = 0.05) -> float | None:
    """Find the smallest true gain that McNemar's exact test detects.

    Args:
        problems: Number of problems that both models are asked.
        discordant: Share of problems on which the models disagree. A larger gain makes them disagree on more.
        required: Required power, the probability of detection.
        alpha: Significance level of the test.

    Returns:
        The gain, as a share of the problems, to four digits. None if there are too few problems to detect any gain.
    """

    def enough(gain: float) -> bool:
        return power(problems, max(discordant, gain), gain, alpha=alpha) >= required

    return _bisected(enough, 0.0, 1.0) if problems and enough(1.0) else None


def gain_beyond_error(stderr: float, *, required: float = 0.8, alpha: float = 0.05) -> float:
    """Find the smallest true gain that a two-sided normal test detects.

    It replaces `smallest_gain` if problems have several samples.

    Args:
        stderr: Standard error of the mean paired difference.
        required: Required power, the probability of detection.
        alpha: Significance level of the test.

    Returns:
        The gain, in the unit of the standard error.
    """
    normal = NormalDist()
    return stderr * (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(required))


def relative_gain(before: float, after: float) -> float | None:
    """Compute the relative growth of a score, as in the paper's "11.8 % increase" (0.118).

    Args:
        before: The first score.
        after: The second score.

    Returns:
        The gain as a share of the first score; None if that is 0.
    """
    return (after - before) / before if before else None


def _binomial(trials: int, chance: float) -> list[tuple[int, float]]:
    """Return each count of successes with its probability, without the negligible ones."""
    if chance in (0.0, 1.0):
        return [(round(trials * chance), 1.0)]
    logarithms = [
        math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        + count * math.log(chance) + (trials - count) * math.log1p(-chance)
        for count in range(trials + 1)
    ]  # fmt: skip
    floor = max(logarithms) + math.log(_NEGLIGIBLE)
    return [(count, math.exp(value)) for count, value in enumerate(logarithms) if value > floor]


def _fewest_for_a_finding(discordant: int, alpha: float) -> int | None:
    """Return how many discordant problems one model must solve to differ significantly; None if all are too few."""
    tail, most = 0, math.floor(Fraction(alpha) * 2**discordant / 2)
    for count in range(discordant + 1):
        tail += math.comb(discordant, count)
        if tail > most:
            return discordant - count + 1 if count else None
    return None


def _bisected(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return the smallest argument for which `holds` is true, to four digits. It must be true for `high`."""
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return round(high, 4)

"""Every formula against a definition that is worked out another way: by counting all cases, or by hand."""

import itertools
import math

import pytest

from plum_hub.statistics import (
    bootstrap_interval,
    gain_beyond_error,
    mcnemar,
    mean_over_problems,
    power,
    ratio_interval,
    relative_gain,
    sampling_error,
    smallest_gain,
)


def test_the_error_of_zeros_and_ones_is_the_binomial_one() -> None:
    estimate = mean_over_problems([1.0] * 30 + [0.0] * 134)
    share = 30 / 164
    assert estimate.value == pytest.approx(share)
    assert estimate.stderr == pytest.approx(math.sqrt(share * (1 - share) / 164))


def test_the_error_is_the_spread_of_the_mean_over_every_choice_of_problems() -> None:
    values = [0.0, 0.25, 1.0]
    means = [sum(chosen) / 3 for chosen in itertools.product(values, repeat=3)]
    middle = sum(means) / 27
    spread = math.sqrt(sum((mean - middle) ** 2 for mean in means) / 27)
    assert mean_over_problems(values).stderr == pytest.approx(spread)
    with pytest.raises(ValueError, match="no problem"):
        mean_over_problems([])


def test_the_error_of_sampling_is_unbiased() -> None:
    """Its square, over all draws of 3 samples of one problem solved with probability 0.3, has the true mean."""
    chance, expected = 0.3, 0.0
    for draw in itertools.product((0, 1), repeat=3):
        probability = math.prod(chance if won else 1 - chance for won in draw)
        error = sampling_error([(3, sum(draw))])
        assert error is not None
        expected += probability * error**2
    assert expected == pytest.approx(chance * (1 - chance) / 3)
    assert sampling_error([(1, 1), (3, 2)]) is None


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (0, 5), (3, 10), (7, 7), (10, 3)])
def test_mcnemar_counts_every_split(lost: int, won: int) -> None:
    discordant = lost + won
    splits = list(itertools.product((-1, 1), repeat=discordant))
    as_uneven = sum(abs(sum(split)) >= abs(won - lost) for split in splits)
    assert mcnemar(lost, won) == pytest.approx(as_uneven / len(splits))


def test_the_bootstrap_interval_is_that_of_every_choice() -> None:
    differences = [1, 1, 0, -1, 1, 0]
    means = sorted(sum(chosen) / 6 for chosen in itertools.product(differences, repeat=6))
    exact = means[math.floor(0.025 * len(means))], means[math.ceil(0.975 * len(means)) - 1]
    found = bootstrap_interval(differences, resamples=20_000)
    assert found == pytest.approx(exact, abs=1e-9)
    assert found == bootstrap_interval(differences, resamples=20_000)


def test_problems_that_all_agree_do_not_make_a_gain_certain() -> None:
    edge = 1.959964**2 / (20 + 1.959964**2)  # Wilson's interval of 0 of 20 problems ends here
    assert bootstrap_interval([0.0] * 20) == pytest.approx((-edge, edge), abs=1e-6)
    assert bootstrap_interval([1.0] * 20) == pytest.approx((1 - 2 * edge, 1.0), abs=1e-6)
    low, high = bootstrap_interval([0.5] * 9)
    assert low < 0.5 < high <= 1.0
    narrow, wide = (bootstrap_interval([0.0] * 20, level=level)[1] for level in (0.8, 0.99))
    assert narrow < edge < wide


def test_power_is_the_share_of_all_outcomes_that_are_found() -> None:
    problems, discordant, gain = 9, 0.8, 0.6
    lost, won = (discordant - gain) / 2, (discordant + gain) / 2
    chances = {-1: lost, 0: 1 - discordant, 1: won}
    expected = 0.0
    for outcome in itertools.product(chances, repeat=problems):
        if mcnemar(outcome.count(-1), outcome.count(1)) <= 0.05:
            expected += math.prod(chances[one] for one in outcome)
    assert power(problems, discordant, gain) == pytest.approx(expected)
    assert power(problems, 0.0, 0.0) == 0.0
    with pytest.raises(ValueError, match="impossible"):
        power(problems, 0.1, 0.2)


def test_the_smallest_gain_is_just_found() -> None:
    for problems, discordant in ((164, 0.1), (378, 0.0), (30, 0.5)):
        gain = smallest_gain(problems, discordant)
        assert gain is not None
        assert power(problems, max(discordant, gain + 2e-4), gain + 2e-4) >= 0.8
        assert power(problems, max(discordant, gain - 2e-4), gain - 2e-4) < 0.8
    assert smallest_gain(5, 0.2) is None  # even five wins of five are no finding


def test_more_problems_show_smaller_gains() -> None:
    gains = [smallest_gain(problems, 0.1) for problems in (80, 164, 378, 1055)]
    assert None not in gains
    assert gains == sorted(gains, key=lambda gain: -(gain or 0))


def test_a_gain_beyond_the_error_and_a_relative_one() -> None:
    assert gain_beyond_error(0.01) == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-5)
    assert relative_gain(0.5, 0.559) == pytest.approx(0.118)
    assert relative_gain(0.0, 0.5) is None


def test_the_interval_of_a_grouped_share() -> None:
    low, high = ratio_interval([(9, 10)] * 30 + [(0, 10)] * 10)
    assert low < 0.675 < high
    spread = ratio_interval([(1, 1)] * 270 + [(0, 1)] * 130)
    assert high - low > 2 * (spread[1] - spread[0])  # the trials of a group agree with one another
    low, high = ratio_interval([(5, 5)] * 20)
    assert high == 1.0
    assert 0.8 < low < 0.9  # Wilson's of 20 of 20: 0.839
    assert ratio_interval([(0, 5)] * 20) == pytest.approx((0.0, 1 - low))
    with pytest.raises(ValueError, match="no groups"):
        ratio_interval([])

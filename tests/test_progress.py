"""What is told of a stage while it goes on: speed, time left, and a line now and then where there is no terminal. The
clock is the test's own, so nothing sleeps."""

import pytest

from plum_hub.cli.reporters import Lines
from plum_hub.progress import LoggedProgress


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def begun(kind: type[LoggedProgress] = LoggedProgress) -> tuple[LoggedProgress, Clock]:
    clock = Clock()
    progress = kind(clock)
    progress.begin("responses", 30, 0)
    progress.expect(300)
    return progress, clock


def test_the_time_left_is_known_from_the_first_tokens() -> None:
    progress, clock = begun()
    clock.seconds = 10
    assert progress.line() == "responses: 0/30  reading the prompts  10s"  # nothing to reckon with yet: no figure
    progress.wrote(400)
    # 9,000 tokens are expected, 400 are there, at 40 a second
    assert progress.line() == "responses: 0/30  400 tokens  40 tokens/s  3m35s left"


def test_short_answers_that_finish_first_do_not_bend_the_estimate() -> None:
    progress, clock = begun()
    clock.seconds = 100
    progress.wrote(4000)
    progress.advance(tokens=20)
    left = progress.seconds_left(100)
    assert left is not None
    assert 80 < left < 130  # some 270 tokens each, of which 29 x 270 - 3,980 are owed; not 29 x 100 s


def test_answers_longer_than_expected_still_leave_something_to_do() -> None:
    progress, _ = begun()
    progress.wrote(30 * 400)
    left = progress.seconds_left(100)
    assert left is not None
    assert left > 0


def test_the_estimate_holds_while_the_longest_answers_are_left() -> None:
    """All answers are written together, a token of each a second; their lengths are those of real ones."""
    lengths = [
        92,
        127,
        143,
        149,
        153,
        160,
        167,
        176,
        183,
        192,
        201,
        214,
        230,
        251,
        277,
        330,
        387,
        440,
        511,
        640,
        768,
    ] * 10
    clock = Clock()
    progress = LoggedProgress(clock)
    progress.begin("responses", len(lengths), 0)
    progress.expect(300)
    for second in range(1, 700):
        clock.seconds = second
        progress.wrote(sum(length >= second for length in lengths))
        for length in lengths:
            if length == second:
                progress.advance(tokens=length)
        owed = sum(max(0, length - second) for length in lengths)
        left = progress.seconds_left(second)
        assert left is not None
        assert 0.4 < left * progress.written / second / owed < 2.5, second


def test_tokens_of_engines_that_count_finished_answers_only() -> None:
    progress, clock = begun()
    clock.seconds = 10
    for _ in range(15):
        progress.advance(tokens=300)
    assert progress.line() == "responses: 15/30  4,500 tokens  450 tokens/s  10s left"


def test_loading_moves_and_is_no_part_of_the_speed() -> None:
    progress, clock = begun()
    with progress.waiting("loading the-model"):
        clock.seconds = 85
        assert progress.line() == "responses: 0/30  loading the-model ... 1m25s"
    clock.seconds += 10
    progress.wrote(500)
    assert "50 tokens/s" in progress.line()


def test_without_a_terminal_a_line_comes_though_nothing_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    progress, clock = begun(Lines)
    assert isinstance(progress, Lines)
    told = []
    try:
        for second in range(1, 61):
            clock.seconds = second
            if second == 20:
                progress.wrote(100)
            progress.tick()
            told += [second] * capsys.readouterr().err.count("responses:")
    finally:
        progress.close()
    assert told == [15, 30, 45, 60]


def test_the_last_line_says_how_long_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    progress, clock = begun(Lines)
    clock.seconds = 60
    progress.advance(30, tokens=6000)
    progress.end()
    assert capsys.readouterr().err == "responses: 30/30  6,000 tokens  100 tokens/s  in 1m00s\n"


def test_a_stage_that_follows_another_reckons_no_time_of_its_own() -> None:
    clock = Clock()
    lines = Lines(clock)
    behind = lines.beside()
    assert isinstance(behind, Lines)
    behind.begin("verdicts", 120, 0)
    clock.seconds = 10
    behind.advance()
    assert behind.line() == "verdicts: 1/120  0.1/s  in 10s"
    behind.close()
    lines.close()


def test_slow_steps_are_told_by_their_length_and_the_time_left_only_falls_between_them() -> None:
    """Steps of a training on a CPU take minutes: `0.0/s`, and a growing time left, said nothing."""
    clock = Clock()
    progress = LoggedProgress(clock)
    progress.begin("training", 10, 0)
    clock.seconds = 100
    progress.advance()
    assert progress.line() == "training: 1/10  1m40s each  15m00s left"
    clock.seconds = 160
    assert progress.line() == "training: 1/10  1m40s each  14m00s left"
    clock.seconds = 300  # the second step takes 200 s: so far 150 s each
    assert progress.line() == "training: 1/10  2m30s each  20m00s left"

"""What `judge` does with its options, and how it shows what came of them."""

from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from plum_hub.cli import screen
from plum_hub.errors import UsageError
from plum_hub.judging.verdict_file import JudgeOptions, VerdictCount
from plum_hub.recipe import VerdictsConfig

_LIMITS = {"cpu_limit": "cpu_seconds", "wall_limit": "wall_seconds", "memory_limit": "memory_mb"}


def order(given: dict[str, Any]) -> JudgeOptions:
    """The options as an order.

    Raises:
        UsageError: a limit is none that a program could be given.
    """
    chosen: dict[str, Any] = {key: given[option] for option, key in _LIMITS.items() if given[option] is not None}
    if "wall_seconds" not in chosen and "cpu_seconds" in chosen:
        chosen["wall_seconds"] = max(60.0, 12 * chosen["cpu_seconds"])
    if not given["mypy"]:
        chosen["mypy_codes"] = ()
    try:
        settings = VerdictsConfig(**chosen)
    except ValidationError as error:
        wrong = error.errors()[0]
        option = next(option for option, key in _LIMITS.items() if key in wrong["loc"]).replace("_", "-")
        raise UsageError(f"--{option} {wrong['input']}: {wrong['msg'].lower()}") from error
    rest = {key: value for key, value in given.items() if key not in {*_LIMITS, "mypy"}}
    return JudgeOptions(settings=settings, **rest)


def show_count(order: JudgeOptions, count: VerdictCount, *, as_json: bool) -> None:
    """How many programs came to what, and how fast."""
    if as_json:
        screen.echo_json(
            {
                "out": str(order.out),
                "samples": count.statuses.total(),
                "statuses": dict(count.statuses.most_common()),
                "judged_now": count.fresh,
                "seconds": round(count.seconds, 3),
                "per_second": count.per_second,
                "harness": asdict(count.harness),
            }
        )
        return
    total = count.statuses.total()
    rows = [(status, f"{number:>9,}  {number / total:7.2%}") for status, number in count.statuses.most_common()]
    rate = "nothing was owed" if count.per_second is None else f"{count.fresh:,} now, {count.per_second:,} a second"
    screen.facts([*rows, ("samples", f"{total:>9,}  {rate}"), ("verdicts", str(order.out))])

"""What `--workers` and `--address` ask for."""

import os
import re
from dataclasses import dataclass

from plum_hub.errors import UsageError
from plum_hub.recipe import Recipe

MOST_WORKERS = 1024


@dataclass(frozen=True)
class ClusterOptions:
    """A Ray cluster, and how much of it to use."""

    address: str = "auto"
    """`HOST:PORT`, or `auto` for `RAY_ADDRESS` or the cluster that this machine belongs to."""
    actors: int | None = None
    """Engines to run at a time; None for as many as the cluster has room for."""

    @classmethod
    def chosen(cls, workers: int | str, address: str | None) -> "tuple[int, ClusterOptions | None]":
        """Read the options.

        Args:
            workers: A number, `ray` or `ray:N`.
            address: `HOST:PORT` or `auto`; None if not given.

        Returns:
            The number of processes on this machine, and the cluster; None without one.

        Raises:
            UsageError: They are none of these, or contradict each other.
        """
        found = re.fullmatch(r"(ray)|(?:(ray):)?(\d{1,4})", str(workers).strip())
        number = int(found[3]) if found and found[3] else None
        if not found or (number is not None and not 0 < number <= MOST_WORKERS):
            raise UsageError(f"--workers {workers}: give a number from 1 to {MOST_WORKERS}, ray, or ray:N")
        if found[1] or found[2]:
            named = address or os.environ.get("RAY_ADDRESS") or "auto"
            if named.startswith("ray://"):
                raise UsageError(
                    f"--address {named}: is of Ray's client; name the port of the cluster itself, as HOST:6379, and "
                    "run the command on a machine that  ray start --address HOST:6379 --num-cpus 0  has made part of it"
                )
            return 1, cls(named, number)
        if address is not None:
            raise UsageError(f"--address {address}: names a Ray cluster; add  --workers ray")
        assert number is not None
        return number, None

    def check(self, recipe: Recipe) -> None:
        """Check that a cluster can make the run of a recipe.

        Args:
            recipe: The recipe, with defaults filled in.

        Raises:
            UsageError: It is a run that one process makes.
        """
        if recipe.budget.minutes is not None:
            raise UsageError("--workers ray: one process makes a run with budget.minutes; leave out one of the two")
        if recipe.policy.answers_later or recipe.generator.answers_later:
            raise UsageError("--workers ray: answers of a Batch API come after hours, without a cluster; leave it out")


def gpus_of(recipe: Recipe) -> int:
    """Count the GPUs that an engine of a recipe is split over.

    Args:
        recipe: The recipe, with defaults filled in.

    Returns:
        At least 1: those of the larger engine.
    """
    return max(getattr(engine, "tensor_parallel_size", 1) for engine in (recipe.policy, recipe.generator))

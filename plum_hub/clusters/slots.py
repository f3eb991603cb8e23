"""The actors of a node: engines on its GPUs, a judge on the cores beside them; without GPUs, actors that do both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ENGINE, JUDGE = "engine", "judge"
"""What a task needs, and an actor does."""


@dataclass(frozen=True)
class Slot:
    """The place of one actor on a node."""

    does: frozenset[str]
    """`engine`, `judge` or both."""
    cpus: int
    """Cores that the actor holds of those that Ray counts."""
    gpus: int
    share: tuple[int, int] = (0, 1)
    """Which part of the node's cores is its own, and of how many."""


@dataclass(frozen=True)
class SlotPlan:
    """How many actors a node gets, decided once, so that a node that joins later gets as many."""

    gpus_each: int
    """GPUs of an engine; 0 in a cluster without any."""
    most: int | None
    """Engines of a node at most; None for as many as it has room for."""

    @classmethod
    def of(cls, nodes: Sequence[Mapping[str, Any]], actors: int | None, gpus_each: int) -> "SlotPlan":
        """Decide it.

        Args:
            nodes: The nodes of the cluster, as `ray.nodes()` describes them.
            actors: Engines to run in all; None for as many as there is room for.
            gpus_each: GPUs of an engine, if the cluster has any.

        Returns:
            The plan.
        """
        has_gpus = any(_amount(node, "GPU") for node in nodes)
        plan = cls(gpus_each if has_gpus else 0, None)
        able = sum(any(ENGINE in slot.does for slot in plan.slots(node)) for node in nodes)
        return plan if actors is None or not able else cls(plan.gpus_each, -(-actors // able))

    def slots(self, node: Mapping[str, Any]) -> list[Slot]:
        """List the actors of a node.

        Args:
            node: The node, as `ray.nodes()` describes it.

        Returns:
            Their places; none if the node lends no cores and no GPUs.
        """
        cpus = _amount(node, "CPU")
        if not self.gpus_each:
            count = min(cpus, 1 if self.most is None else self.most)
            both = frozenset((ENGINE, JUDGE))
            return [Slot(both, cpus // count, 0, (number, count)) for number in range(count)]
        engines = _amount(node, "GPU") // self.gpus_each
        engines = engines if self.most is None else min(engines, self.most)
        held = 1 if cpus > engines else 0  # at least one core is left to the judge
        found = [Slot(frozenset((ENGINE,)), held, self.gpus_each) for _ in range(engines)]
        left = cpus - held * engines
        return found + ([Slot(frozenset((JUDGE,)), left, 0)] if left else [])


def _amount(node: Mapping[str, Any], name: str) -> int:
    return int(node["Resources"].get(name, 0)) if node.get("Alive", True) else 0

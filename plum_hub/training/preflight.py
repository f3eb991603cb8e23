"""What TRL will really do, read from a trainer's own prepared rows and its own loader, before a step is taken.

Nothing here trusts the order that was laid out: the batches of every process are those of accelerate's sampler, and a
row's KL partner is found by the tokens that TRL put beside it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from plum_hub.errors import TrainingError

HIGHEST = 0.01
"""The rate above which a training is refused."""

_TOKEN = 4
"""Bytes of a token's number."""


@dataclass(frozen=True)
class Preflight:
    """Counted over all batches of all processes."""

    rows: int
    """Row visits, over all epochs."""
    batches: int
    pairs: int
    """KL pairs, one a row."""
    same_prompt: int
    """KL pairs whose completion answers the row's own prompt."""
    foreign: int
    """KL pairs whose completion is of no row of the same batch."""
    single_label: int
    """Batches with one label only."""
    repeated: int
    """Rows that accelerate gives out twice to fill a last batch."""
    cut: int
    """Rows longer than `max_length`."""

    @property
    def same_prompt_rate(self) -> float:
        """Share of the pairs, from 0 to 1."""
        return self.same_prompt / self.pairs if self.pairs else 0.0

    @property
    def single_label_rate(self) -> float:
        """Share of the batches, from 0 to 1."""
        return self.single_label / self.batches if self.batches else 0.0

    def as_json(self) -> dict[str, Any]:
        """The counts and both rates."""
        return asdict(self) | {
            "same_prompt_rate": self.same_prompt_rate,
            "single_label_rate": self.single_label_rate,
        }

    def check(self) -> None:
        """Refuse a training that would estimate the KL term from matched pairs, or weigh one label alone.

        Raises:
            TrainingError: a rate is above 1 %, or a row would be cut.
        """
        wrong = [
            f"{name} {count:,} of {whole:,}"
            for name, count, whole in (
                ("KL pairs of one prompt:", self.same_prompt, self.pairs),
                ("KL pairs across batches:", self.foreign, self.pairs),
                ("batches of one label:", self.single_label, self.batches),
            )
            if whole and count / whole > HIGHEST
        ]
        if self.cut:
            wrong.append(f"rows that would be cut: {self.cut:,}")
        if wrong:
            raise TrainingError(
                f"what TRL would train on is not right ({'; '.join(wrong)}): this version of TRL orders or tokenises "
                "rows otherwise than plum-hub lays them out; install trl 1.16"
            )


def read(trainer: Any, world: int) -> Preflight:
    """Read a KTO trainer.

    Args:
        trainer: TRL's trainer, before its first step.
        world: how many processes it will have; in a process of its own it may be asked for more.
    """
    table = trainer.train_dataset
    labels = list(table["label"])
    prompts, answers, partners = (
        _tokens(table, name) for name in ("prompt_ids", "completion_ids", "KL_completion_ids")
    )
    counts: Counter[str] = Counter()
    seen: Counter[int] = Counter()
    for batch in _batches(trainer, world):
        seen.update(batch)
        counts["batches"] += 1
        counts["single_label"] += len({labels[row] for row in batch}) == 1
        for row in batch:
            owners = {prompts[other] for other in batch if answers[other] == partners[row]}
            counts["foreign"] += not owners
            counts["same_prompt"] += owners == {prompts[row]}
    most = trainer.args.max_length
    return Preflight(
        rows=len(table),
        batches=counts["batches"],
        pairs=seen.total(),
        same_prompt=counts["same_prompt"],
        foreign=counts["foreign"],
        single_label=counts["single_label"],
        repeated=seen.total() - len(seen),
        cut=sum(len(prompt + answer) > most * _TOKEN for prompt, answer in zip(prompts, answers, strict=True)),
    )


def _tokens(table: Any, name: str) -> list[bytes]:
    """A column of token lists, each as its bytes: what is only compared need not become Python's numbers, which for a
    million rows takes minutes."""
    column = table.with_format("arrow")[:][name].combine_chunks()
    values = column.values.to_numpy().astype(f"i{_TOKEN}")
    return [values[begin:end].tobytes() for begin, end in pairwise(column.offsets.to_pylist())]


def _batches(trainer: Any, world: int) -> Iterator[list[int]]:
    """The batches of all processes, as accelerate hands out those of the trainer's own loader."""
    from accelerate.data_loader import BatchSamplerShard

    sampler = trainer.get_train_dataloader().batch_sampler
    whole = sampler.batch_sampler if isinstance(sampler, BatchSamplerShard) else sampler
    accelerator = trainer.accelerator
    for process in range(world):
        yield from BatchSamplerShard(
            whole,
            num_processes=world,
            process_index=process,
            split_batches=accelerator.split_batches,
            even_batches=accelerator.even_batches,
        )

"""Read what TRL will do with KTO's rows from its own prepared dataset and data loader, before a step is taken.

Nothing here trusts the order that was laid out: the batches of every process come from accelerate's sampler, and a
row's KL partner is identified by the tokens that TRL paired it with.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, computed_field

from plum_hub.errors import TrainingError

_MAX_RATE = 0.01
"""Rate above which a training is refused."""

_BATCH = 1_000
"""Rows that are read at a time."""


class Preflight(BaseModel):
    """Counts over all batches of all processes."""

    model_config = ConfigDict(frozen=True, strict=True)

    rows: int
    """Row visits, over all epochs."""
    batches: int
    """Device batches."""
    pairs: int
    """KL pairs, one per row."""
    same_prompt: int
    """KL pairs whose completion answers the row's own prompt."""
    foreign: int
    """KL pairs whose completion belongs to no row of the same batch."""
    single_label: int
    """Batches with one label only."""
    repeated: int
    """Rows that accelerate repeats to fill a last batch."""
    cut: int
    """Rows longer than `max_length`."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def same_prompt_rate(self) -> float:
        """Share of KL pairs, from 0 to 1."""
        return self.same_prompt / self.pairs if self.pairs else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def single_label_rate(self) -> float:
        """Share of batches, from 0 to 1."""
        return self.single_label / self.batches if self.batches else 0.0

    def check(self) -> None:
        """Refuse a training that would estimate the KL term from matched pairs, or weigh one label alone.

        Raises:
            TrainingError: A rate is above 1 %, or a row would be cut.
        """
        problems = [
            f"{name} {count:,} of {whole:,}"
            for name, count, whole in (
                ("KL pairs of one prompt:", self.same_prompt, self.pairs),
                ("KL pairs across batches:", self.foreign, self.pairs),
                ("batches of one label:", self.single_label, self.batches),
            )
            if whole and count / whole > _MAX_RATE
        ]
        if self.cut:
            problems.append(f"rows that would be cut: {self.cut:,}")
        if problems:
            raise TrainingError(
                f"TRL would not train on valid batches ({'; '.join(problems)}): this version of TRL orders or "
                "tokenises rows differently from plum-hub; install trl 1.16"
            )


def read(trainer: Any, world: int) -> Preflight:
    """Count KL pairs and labels in the batches of a KTO trainer.

    Args:
        trainer: TRL's `KTOTrainer`, before its first step.
        world: Number of processes that will train; the trainer itself may run in one.

    Returns:
        The counts; nothing is trained.
    """
    table = trainer.train_dataset
    labels = list(table["label"])
    prompts, answers, partners = (
        list(_tokens(table, name)) for name in ("prompt_ids", "completion_ids", "KL_completion_ids")
    )
    counts: Counter[str] = Counter()
    visits: Counter[int] = Counter()
    for batch in _batches(trainer, world):
        visits.update(batch)
        counts["batches"] += 1
        counts["single_label"] += len({labels[row] for row in batch}) == 1
        for row in batch:
            owners = {prompts[other].key for other in batch if answers[other].key == partners[row].key}
            counts["foreign"] += not owners
            counts["same_prompt"] += owners == {prompts[row].key}
    max_length = trainer.args.max_length
    return Preflight(
        rows=len(table),
        batches=counts["batches"],
        pairs=visits.total(),
        same_prompt=counts["same_prompt"],
        foreign=counts["foreign"],
        single_label=counts["single_label"],
        repeated=visits.total() - len(visits),
        cut=sum(prompt.length + answer.length > max_length for prompt, answer in zip(prompts, answers, strict=True)),
    )


class _Tokens(NamedTuple):
    """A list of tokens, by what is needed of it: a million rows of them would not fit into memory."""

    key: bytes
    """Equal if and only if the tokens are equal."""
    length: int


def _tokens(table: Any, name: str) -> Iterator[_Tokens]:
    """Yield the token lists of a column; converting a million of them to Python integers would take minutes."""
    for batch in table.with_format("arrow").iter(batch_size=_BATCH):
        column = batch[name].combine_chunks()
        values = column.values.to_numpy().astype("i4")
        for begin, end in pairwise(column.offsets.to_pylist()):
            yield _Tokens(hashlib.blake2b(values[begin:end].tobytes(), digest_size=16).digest(), end - begin)


def _batches(trainer: Any, world: int) -> Iterator[list[int]]:
    """Yield the batches of all processes, as accelerate shards those of the trainer's own data loader."""
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

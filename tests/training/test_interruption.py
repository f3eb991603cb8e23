"""A training that is killed, or whose disk fills up, ends with the very weights of one that was left alone."""

import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from plum_hub.errors import TrainingError
from plum_hub.progress import Progress
from plum_hub.training.run import TrainingRequest, load_trainer, prepare, train
from plum_hub.training.settings import compose
from tests.training import toy

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("one_thread")]

CHECKPOINT_BYTES = 100_000
"""More than the adapter of the tiny model takes, less than its optimiser's state."""


def start(source: Path, tiny: Path, out: Path, file_bytes: int = resource.RLIM_INFINITY) -> "subprocess.Popen[str]":
    """Begin a training whose files may not grow beyond `file_bytes`."""
    process = subprocess.Popen(
        toy.command(source, tiny, out, "--set", "learning_rate=1e-3", "--quiet"),
        env=toy.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    return process


def test_killed_and_out_of_disk_it_ends_with_the_same_weights(source: Path, tiny: Path, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = start(source, tiny, broken)
    while not (broken / "steps" / "checkpoint-4" / "complete").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    toy.finish(process)
    assert not (broken / "adapter_model.safetensors").exists()
    begun = [row["step"] for row in toy.metrics(broken)]

    code, said = toy.finish(start(source, tiny, broken, CHECKPOINT_BYTES))
    assert code == 13
    (line,) = [line for line in said.splitlines() if line.startswith("plum-hub: ")]
    assert "cannot be written" in line
    assert "the checkpoint before it is kept" in line

    settings = compose([*toy.SETTINGS, "learning_rate=1e-3"])
    record = train(prepare(TrainingRequest(str(source), str(tiny), broken, settings)), Progress())
    assert record.seconds.from_step >= 4
    assert record.seconds.from_step in begun
    train(prepare(TrainingRequest(str(source), str(tiny), whole, settings)), Progress())
    weights = [(out / "adapter_model.safetensors").read_bytes() for out in (broken, whole)]
    assert weights[0] == weights[1]
    steps, *others = (
        [[row[key] for row in toy.metrics(out)] for out in (broken, whole)] for key in ("step", "loss", "num_tokens")
    )
    assert steps[0] == steps[1] == [*range(1, 19)]
    for values in others:
        assert values[0] == values[1]
    configurations = [(out / "adapter_config.json").read_bytes() for out in (broken, whole)]
    assert configurations[0] == configurations[1], "made in two processes"
    shutil.copytree(whole / "report", whole / "steps" / "checkpoint-18")  # as a kill while they are removed leaves them
    assert train(prepare(TrainingRequest(str(source), str(tiny), whole, settings)), Progress()).finished
    assert not (whole / "steps").exists()


class Interrupting(Progress):
    """Ctrl-C after five steps."""

    def __init__(self) -> None:
        self.left = 5

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        super().advance(rows, tokens)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("kto", ["weights=full"]),
        ("kto", ["precision=bf16", "epochs=2", "accumulation=3"]),
        ("dpo", ["gradient_checkpointing=true"]),
        ("sft", ["epochs=2"]),
    ],
)
def test_interrupted_every_kind_of_training_goes_on_as_if_it_had_not_been(
    method: str, settings: list[str], source: Path, tiny: Path, tmp_path: Path
) -> None:
    chosen = compose([*toy.SETTINGS, "learning_rate=1e-3", *settings], method=method)
    broken, whole = (TrainingRequest(str(source), str(tiny), tmp_path / name, chosen) for name in ("broken", "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(prepare(broken), Interrupting())
    assert train(prepare(broken), Progress()).seconds.from_step == 4
    train(prepare(whole), Progress())
    (name,) = [path.name for path in (tmp_path / "whole").glob("*.safetensors")]
    assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_two_trainings_in_one_folder(source: Path, tiny: Path, tmp_path: Path) -> None:
    ready = prepare(TrainingRequest(str(source), str(tiny), tmp_path / "out", compose(toy.SETTINGS)))
    ready.folder.write(ready.record())
    with ready.folder.lock(), pytest.raises(TrainingError, match="another plum-hub process is training here"):
        train(ready, Progress())
    assert train(ready, Progress()).finished


def test_all_steps_taken_but_nothing_saved_is_saved_by_the_next_start(source: Path, tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from plum_hub.training.trainer import TrainingListener, take_steps

    ready = prepare(
        TrainingRequest(str(source), str(tiny), tmp_path / "out", compose([*toy.SETTINGS, "learning_rate=1e-3"]))
    )
    ready.folder.write(ready.record())
    one, job = load_trainer(ready)
    take_steps(one, job, None, TrainingListener(lambda _: None, lambda: None))
    newest = ready.folder.last_step()
    assert newest is not None
    assert newest.name == "checkpoint-18"
    assert train(ready, Progress()).finished
    trained = {name: weight for name, weight in one.model.named_parameters() if weight.requires_grad}
    saved = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert len(saved) == len(trained)
    for name, weight in trained.items():
        assert torch.equal(saved[name.replace(".default.", ".")], weight)


def test_a_start_that_ended_before_its_first_step_is_begun_anew(source: Path, tiny: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(tiny, torn)
    (torn / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes()[:50_000])
    out = tmp_path / "out"
    with pytest.raises(TrainingError, match=r"does not load .* is damaged"):
        train(prepare(TrainingRequest(str(source), str(torn), out, compose(toy.SETTINGS))), Progress())
    ready = prepare(TrainingRequest(str(source), str(tiny), out, compose(toy.SETTINGS)))
    load_trainer(ready)
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["steps"]
    ready.folder.check(ready.record())
    (out / "notes.txt").touch()
    with pytest.raises(TrainingError, match="holds files that do not belong to a training"):
        ready.folder.check(ready.record())

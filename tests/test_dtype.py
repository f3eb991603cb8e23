"""What `dtype: auto` came to is sealed, goes into ids, stays when a run goes on elsewhere, and is told."""

import json
from pathlib import Path

import pytest

from plum_hub import recipe as recipes
from plum_hub.engines import TransformersConfig, VllmConfig
from plum_hub.engines.base import Sampling
from plum_hub.engines.dtype import cpu_dtype
from plum_hub.errors import RunError
from plum_hub.evaluation.estimate import _as_begun
from plum_hub.pipeline.base import Context, RowRequest, engine_inputs, generate_rows
from plum_hub.pipeline.build import find_run
from plum_hub.pipeline.precision import dtype_note_on
from plum_hub.progress import Progress
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Sample
from plum_hub.run import Run
from tests.engines.tiny import write_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore")
ANEW = "--run DIR --set policy.dtype={dtype}"


class _Told(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dtype") / "tiny"
    write_tiny_model(folder)
    return folder


@pytest.fixture(autouse=True)
def _avx2_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch may use AVX2 only, whatever this machine has, and there is no GPU."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def _recipe(model: Path, engine: str = "transformers", dtype: str = "auto") -> Recipe:
    policy = {"type": engine, "model": str(model), "dtype": dtype}
    return recipes.compose(None, "test", {"policy": policy}, []).filled()


def _sealed_by_an_earlier_version(recipe: Recipe) -> Recipe:
    """Its revisions are pinned, and `auto` is left."""
    auto = {"dtype": "auto"}
    return recipe.model_copy(
        update={key: getattr(recipe, key).model_copy(update=auto) for key in ("policy", "generator")}
    )


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_auto_is_sealed_as_what_it_is_here(model: Path, engine: str, tmp_path: Path) -> None:
    sealed = _recipe(model, engine).pinned("0")
    assert sealed.to_yaml().count("dtype: float32") == 2  # the policy, which is the generator too
    assert engine_inputs(sealed.policy)[-1] == {"dtype": "float32"}
    assert sealed.policy.fixed_dtype == "float32"
    assert engine_inputs(_recipe(model, engine, "bfloat16").pinned("0").policy) != engine_inputs(sealed.policy)
    Run.create(tmp_path / "run", sealed)
    assert find_run(_recipe(model, engine), tmp_path / "run") is not None


def test_a_run_goes_on_elsewhere_in_the_numbers_it_began_in(model: Path, tmp_path: Path) -> None:
    assert cpu_dtype() == "float32"
    Run.create(tmp_path / "run", _recipe(model, dtype="bfloat16").pinned("0"))
    run = find_run(_recipe(model), tmp_path / "run")  # the command leaves it open, and was given on another machine
    assert run is not None
    told = _Told()
    context = Context(run=run, progress=told)
    for name in "ab":
        asked = RowRequest(
            id=name,
            instruction_id="",
            prompt="Add.",
            seed=1,
            keep=lambda answer, _: Drop(id=answer.id, stage="samples", reason="test", instruction_id=""),
        )
        generate_rows(context, Sample, run.recipe.policy, {name: asked}, Sampling(temperature=0, top_p=1, max_tokens=2))
    opened = context.engines.open(run.recipe.policy)
    assert {str(weight.dtype) for weight in opened._model.parameters()} == {"torch.bfloat16"}
    context.engines.close()
    assert len(told.lines) == 1
    assert "computes in bfloat16" in told.lines[0]
    assert "--run DIR --set policy.dtype=float32" in told.lines[0]
    with pytest.raises(RunError, match=r"policy\.dtype"):
        find_run(_recipe(model, dtype="float32"), tmp_path / "run")


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_a_run_of_an_earlier_version_goes_on(model: Path, engine: str, tmp_path: Path) -> None:
    old = _sealed_by_an_earlier_version(_recipe(model, engine).pinned("0"))
    Run.create(tmp_path / "run", old)
    run = find_run(_recipe(model, engine), tmp_path / "run")
    assert run is not None
    assert engine_inputs(run.recipe.policy)[-1] == {"dtype": "auto"}  # so that its rows are still known
    assert run.recipe.policy.fixed_dtype is None  # and no card says what is not known
    with pytest.raises(RunError, match=r"policy\.dtype"):
        find_run(_recipe(model, engine, "float32"), tmp_path / "run")


@pytest.mark.parametrize(
    ("engine", "dtype", "fast", "resumed", "words"),
    [
        ("vllm", "bfloat16", "float32", False, "computes it slowly"),
        ("transformers", "bfloat16", "float32", True, "computes it slowly"),
        ("vllm", "float16", "float32", False, "computes it slowly"),
        ("vllm", "float32", "bfloat16", True, "would be faster in bfloat16"),
        ("vllm", "float32", "bfloat16", False, None),
        ("vllm", "float32", "float32", True, None),
        ("vllm", "bfloat16", "bfloat16", True, None),
        ("vllm", "auto", "float32", True, "the model's own"),
        ("transformers", "auto", "float32", True, "what the CPU is fast in, here float32"),
    ],
)
def test_what_is_said(engine: str, dtype: str, fast: str, resumed: bool, words: str | None) -> None:
    kind = {"vllm": VllmConfig, "transformers": TransformersConfig}[engine]
    said = dtype_note_on(kind(model="org/m", dtype=dtype), fast, ANEW, resumed=resumed)  # type: ignore[arg-type]
    if words is None:
        assert said is None
        return
    assert said is not None
    assert words in said
    assert "\n" not in said
    assert said.endswith(f"--run DIR --set policy.dtype={fast}")


@pytest.mark.parametrize("dtype", ["bfloat16", "auto", "float32"])
def test_an_evaluation_goes_on_in_its_numbers(model: Path, dtype: str) -> None:
    config = TransformersConfig(model=str(model))
    before = json.loads(config.pin().model_copy(update={"dtype": dtype}).model_dump_json())
    assert dtype == _as_begun(config, before).text_settings()["dtype"]
    assert _as_begun(config, {}).text_settings()["dtype"] == "float32"

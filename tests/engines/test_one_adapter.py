"""One LoRA adapter in vLLM on a CPU: the same products as vLLM's own, without a copy of the adapter for each token."""

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")
lora_ops = pytest.importorskip("vllm.lora.ops.torch_ops.lora_ops", reason="vllm is not installed")
punica_cpu = pytest.importorskip("vllm.lora.punica_wrapper.punica_cpu", reason="vllm is not installed")
one_adapter = pytest.importorskip("plum_hub.engines.one_adapter")

NAMES = ("bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")
TOKENS, WIDTH, RANK = 5, 12, 4


@pytest.fixture
def theirs() -> Iterator[dict[str, object]]:
    """vLLM's functions, which are put back."""
    before = {(module, name): getattr(module, name) for module in (lora_ops, punica_cpu) for name in NAMES}
    own = {name: getattr(function, "theirs", function) for (_, name), function in before.items()}
    for module, name in before:
        setattr(module, name, own[name])
    yield own
    for (module, name), function in before.items():
        setattr(module, name, function)


@pytest.mark.parametrize("adapters", [1, 2])
def test_the_products_are_those_of_vllm(theirs: dict[str, object], adapters: int) -> None:
    torch.manual_seed(0)
    one_adapter.multiply_once()
    one_adapter.multiply_once()  # a second engine of the process
    which = torch.arange(TOKENS) % adapters
    down, up = torch.randn(adapters, 1, RANK, WIDTH), torch.randn(adapters, 1, WIDTH, RANK)
    tokens, narrow = torch.randn(TOKENS, WIDTH), torch.randn(TOKENS, RANK)
    calls = {
        "bgmv_shrink": (tokens, down, TOKENS, RANK, (which, 0.5)),
        "bgmv_expand": (narrow, up, TOKENS, WIDTH - 2, (which, True)),
        "bgmv_expand_slice": (narrow, up, TOKENS, WIDTH + 6, (which, 3, WIDTH, True)),
    }
    for name, (inputs, stack, rows, columns, rest) in calls.items():
        begun = torch.randn(rows, columns)
        right, ours = begun.clone(), begun.clone()
        theirs[name](inputs, stack, right, *rest)  # type: ignore[operator]
        assert getattr(punica_cpu, name) is not theirs[name]
        getattr(punica_cpu, name)(inputs, stack, ours, *rest)
        torch.testing.assert_close(ours, right)
        assert not torch.equal(ours, begun)


def test_prompts_are_multiplied_at_once_too(theirs: dict[str, object]) -> None:
    """vLLM's products for prompts call those for single tokens, which they find in their own module."""
    one_adapter.multiply_once()
    assert all(getattr(lora_ops, name) is not theirs[name] for name in NAMES)
    stack, tokens = torch.randn(1, 1, RANK, WIDTH), torch.randn(TOKENS, WIDTH)
    out, starts, lengths, which = (
        torch.zeros(TOKENS, RANK),
        torch.tensor([0]),
        torch.tensor([TOKENS]),
        torch.tensor([0]),
    )
    punica_cpu.sgmv_shrink(tokens, stack, out, starts, lengths, which, 1, TOKENS, TOKENS, 2.0)
    torch.testing.assert_close(out, 2 * tokens @ stack[0, 0].T)

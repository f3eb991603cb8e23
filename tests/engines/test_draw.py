"""Our seeded draw has the distribution of vLLM's own top-p sampling."""

import pytest

pytest.importorskip("vllm", reason="vllm is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("p", [0.3, 0.95, 1.0])
@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])  # from a nucleus of thousands to one of a few
def test_evenly_spaced_numbers_give_each_token_its_share(spread: float, p: float) -> None:
    import torch
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

    from plum_hub.engines.draw import draw

    count = 4000
    logits = torch.randn(1, 3000, generator=torch.Generator().manual_seed(7)) * spread
    tokens = draw(
        logits.expand(count, -1), torch.full((count,), p), (torch.arange(count, dtype=torch.float64) + 0.5) / count
    )
    share = tokens.bincount(minlength=3000) / count
    expected = apply_top_k_top_p_pytorch(logits.clone(), None, torch.tensor([p])).softmax(dim=-1)[0]
    assert (share - expected).abs().max() <= 1.5 / count


def test_the_last_number_before_one_stays_inside() -> None:
    import torch

    from plum_hub.engines.draw import draw

    logits = torch.tensor([[3.0, 2.0, -9.0, -9.0]])
    last = torch.tensor([1 - 2**-53], dtype=torch.float64)
    assert draw(logits, torch.tensor([0.9]), last).tolist() == [1]

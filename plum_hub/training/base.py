"""The model that is trained: its exact revision, configuration and tokenizer, and its weights when they are wanted."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from plum_hub.engines.base import in_a_line
from plum_hub.engines.names import located, on_hub, published
from plum_hub.engines.revision import check_there, exact_revision
from plum_hub.errors import MissingExtraError, TrainingError
from plum_hub.threads import prepare_threads


@dataclass(frozen=True)
class PinnedModel:
    """A model, pinned."""

    model: str
    """A Hub repository or a folder."""
    revision: str
    """The commit, or `sha256:…` of the folder's files."""

    @property
    def name(self) -> str:
        """The name to publish."""
        return published(self.model, self.revision)

    def config(self) -> Any:
        """The model's configuration.

        Raises:
            TrainingError: there is no such model or revision any more.
        """
        from transformers import AutoConfig

        return self._load(AutoConfig)

    def tokenizer(self) -> Any:
        """The model's tokenizer.

        Raises:
            TrainingError: it does not load, or has no end-of-text token.
        """
        from transformers import AutoTokenizer

        tokenizer = self._load(AutoTokenizer)
        if tokenizer.eos_token is None:
            raise TrainingError(f"{self.model}: its tokenizer has no end-of-text token; train another model")
        return tokenizer

    def weights(self, *, bf16: bool, quantization: Literal["none", "4bit", "8bit"] = "none") -> Any:
        """The model itself, in bf16 or fp32; or its linear layers quantised, on this process's GPU where there is one.

        Raises:
            TrainingError: it is no causal language model, or its weights are not there.
        """
        import torch
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        numbers = torch.bfloat16 if bf16 else torch.float32
        if quantization == "none":
            return self._load(AutoModelForCausalLM, dtype=numbers)
        how = BitsAndBytesConfig(
            load_in_4bit=quantization == "4bit",
            load_in_8bit=quantization == "8bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=numbers,
        )
        place = {"": torch.cuda.current_device() if torch.cuda.is_available() else "cpu"}
        return self._load(AutoModelForCausalLM, dtype=numbers, quantization_config=how, device_map=place)

    def merged(self, adapters: Path) -> Any:
        """The model with adapters added to its weights; added in fp32, then in the numbers that it came in."""
        from peft import PeftModel

        model = PeftModel.from_pretrained(self.weights(bf16=False), str(adapters)).merge_and_unload()
        return model.to(self.config().dtype or model.dtype)

    def _load(self, kind: Any, **more: Any) -> Any:
        from safetensors import SafetensorError

        commit = {"revision": self.revision} if on_hub(self.model) else {}
        try:
            return kind.from_pretrained(located(self.model), **commit, **more)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise TrainingError(
                f"{self.model} at revision {self.revision} does not load ({in_a_line(error)}): it is gone, cannot be "
                "reached, is damaged or is no causal language model; name another with --model"
            ) from error


def pinned(model: str, revision: str | None) -> PinnedModel:
    """The model `MODEL` or `MODEL@REVISION`.

    Args:
        model: a folder or a Hub repository.
        revision: what it must be, where `model` does not say; None takes the newest.

    Raises:
        EngineError: there is no such model or revision, or the folder holds another one.
        MissingExtraError: TRL, PEFT or matplotlib, which draws the curves, is not installed.
    """
    if not all(map(find_spec, ("torch", "trl", "peft", "matplotlib"))):
        raise MissingExtraError("training", "train")
    prepare_threads()
    if not Path(model).expanduser().is_dir():
        model, _, own = model.partition("@")
        revision = own or revision
    exact = exact_revision(model, revision)
    if on_hub(model) and exact == revision:  # a commit, which was taken at its word
        check_there(model, exact)
    return PinnedModel(model, exact)


def stand_in(tokenizer: Any) -> Any:
    """A model of next to no size for a trainer that shall only prepare rows: what it makes of them hangs on the
    tokenizer alone."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
        )
    )

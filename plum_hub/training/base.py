"""The model to train, pinned to an exact revision; its weights are loaded only on request."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from plum_hub.engines import trust
from plum_hub.engines.adapter import is_adapter
from plum_hub.engines.base import in_a_line
from plum_hub.engines.causal_lm import add_adapter, load_causal_lm
from plum_hub.engines.forms import apply_form, chosen, family, names_of
from plum_hub.engines.names import located, on_hub, published, unloadable
from plum_hub.engines.revision import check_there, exact_revision
from plum_hub.errors import MissingExtraError, TrainingError
from plum_hub.threads import prepare_threads


@dataclass(frozen=True)
class PinnedModel:
    """A model at an exact revision."""

    model: str
    """Hub repository or local folder."""
    revision: str
    """Commit of the repository, or `sha256:…` of the folder's files."""

    @property
    def name(self) -> str:
        """Public name: the repository, or the folder's name without its path."""
        return published(self.model, self.revision)

    def load_config(self) -> Any:
        """Load the model's configuration.

        Returns:
            A `transformers.PretrainedConfig`.

        Raises:
            TrainingError: The model or the revision no longer exists.
        """
        from transformers import AutoConfig

        return self._load(AutoConfig.from_pretrained, **trust.TOKENIZER)

    def load_tokenizer(self) -> Any:
        """Load the model's tokenizer.

        Returns:
            A `transformers` tokenizer with an end-of-text token.

        Raises:
            TrainingError: The tokenizer does not load, has no vocabulary or no end-of-text token, or ends or pads with
                a token that the model lacks.
        """
        from transformers import AutoTokenizer

        tokenizer = self._load(AutoTokenizer.from_pretrained, **trust.TOKENIZER)
        try:
            trust.check_vocabulary(tokenizer)
        except ValueError as error:
            raise TrainingError(
                f"{self.model}: {error}; copy these files from the model that it was trained from"
            ) from error
        if tokenizer.eos_token is None:
            raise TrainingError(f"{self.model}: its tokenizer has no end-of-text token; train another model")
        known = self.load_config().get_text_config().vocab_size
        for kind in ("eos_token", "pad_token"):
            if (token := getattr(tokenizer, f"{kind}_id")) is not None and token >= known:
                raise TrainingError(
                    f"{self.model}: its tokenizer's {kind} {getattr(tokenizer, kind)!r} is token {token}, and the "
                    f"model has only {known}: name one that it has in tokenizer_config.json, or train another model"
                )
        if tokenizer.chat_template is None and (name := family(names_of(self.model))):
            apply_form(tokenizer, chosen(name, has_template=False))
        return tokenizer

    def load_model(self, *, bf16: bool, quantization: Literal["none", "4bit", "8bit"] = "none") -> Any:
        """Load the model's weights.

        Args:
            bf16: Load in bfloat16 instead of float32; with quantization, compute in bfloat16.
            quantization: Quantise the linear layers with bitsandbytes, on this process's GPU where there is one.

        Returns:
            A causal language model of `transformers`.

        Raises:
            TrainingError: It is not a causal language model, or its files lack weights of it.
        """
        import torch
        from transformers import BitsAndBytesConfig

        dtype = torch.bfloat16 if bf16 else torch.float32
        if quantization == "none":
            return self._load(load_causal_lm, dtype=dtype)
        quantization_config = BitsAndBytesConfig(
            load_in_4bit=quantization == "4bit",
            load_in_8bit=quantization == "8bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
        )
        device_map = {"": torch.cuda.current_device() if torch.cuda.is_available() else "cpu"}
        return self._load(load_causal_lm, dtype=dtype, quantization_config=quantization_config, device_map=device_map)

    def merge(self, adapters: Path) -> tuple[Any, float]:
        """Merge adapters into the model's weights.

        Args:
            adapters: Folder of a PEFT adapter.

        Returns:
            The whole model, merged in float32 and cast to the dtype of the base, and the share of the adapters' change
            that is left in it: many a change is smaller than half the distance of two neighbouring bfloat16 numbers.

        Raises:
            EngineError: The adapter's weights are a pickle.
            TrainingError: The base does not load, or the adapter does not fit it.
        """
        trust.check_weights(adapters)
        base = self.load_model(bf16=False)
        try:
            adapted = add_adapter(base, str(adapters))
            dtype = self.load_config().dtype or adapted.dtype
            share = _share_left(adapted, dtype)
            return adapted.merge_and_unload().to(dtype), share
        except unloadable() as error:
            raise TrainingError(
                f"{adapters} cannot be merged into {self.model} ({in_a_line(error)}): restore its files, or train again"
            ) from error

    def _load(self, how: Callable[..., Any], **options: Any) -> Any:
        commit = {"revision": self.revision} if on_hub(self.model) else {}
        try:
            return how(located(self.model), **commit, **options)
        except unloadable() as error:
            raise TrainingError(
                f"{self.model} at revision {self.revision} does not load ({in_a_line(error)}): it no longer exists, "
                "cannot be reached, is damaged or is not a causal language model; fix it, or name another with --model"
            ) from error


def pin_model(model: str, revision: str | None) -> PinnedModel:
    """Resolve a model's name to an exact revision.

    Args:
        model: Local folder, or Hub repository as `MODEL` or `MODEL@REVISION`.
        revision: Required revision where `model` names none; None takes the newest.

    Returns:
        The pinned model; nothing of it is loaded.

    Raises:
        EngineError: The model or the revision does not exist, or the folder holds another revision or no safetensors.
        TrainingError: The folder holds adapters only.
        MissingExtraError: TRL, PEFT or matplotlib (which draws the curves) is not installed.
    """
    if not all(map(find_spec, ("torch", "trl", "peft", "matplotlib"))):
        raise MissingExtraError("training", "train")
    prepare_threads()
    if is_adapter(Path(model).expanduser()):
        raise TrainingError(
            f"{model}: holds adapters, which cannot be trained on: train the model that they belong to, or merge them "
            "into a whole model with --set merge=true and name its merged/"
        )
    trust.check_weights(Path(model).expanduser())
    if not Path(model).expanduser().is_dir():
        model, _, own = model.partition("@")
        revision = own or revision
    exact = exact_revision(model, revision)
    if on_hub(model) and exact == revision:  # exact_revision does not ask the Hub about a full commit
        check_there(model, exact)
    return PinnedModel(model, exact)


def placeholder_model(tokenizer: Any) -> Any:
    """Make a tiny model for a trainer that only prepares rows, which depends on the tokenizer alone.

    Args:
        tokenizer: Tokenizer of the model to train.

    Returns:
        A one-layer Qwen2 model with random weights and the tokenizer's vocabulary.
    """
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


def _share_left(adapted: Any, dtype: Any) -> float:
    """Project what rounding leaves of the adapters' changes on these changes."""
    from peft.tuners.lora import LoraLayer

    left = whole = 0.0
    for layer in adapted.modules():
        if isinstance(layer, LoraLayer):
            weight = layer.get_base_layer().weight
            change = sum(layer.get_delta_weight(name) for name in layer.active_adapters).detach()
            rounded = (weight + change).to(dtype).to(weight.dtype) - weight
            left += float((rounded * change).sum())
            whole += float(change.square().sum())
    return left / whole if whole else 1.0

"""Load a causal language model so that every weight of it comes from its files.

`transformers` and PEFT fill what the files lack with random numbers, and only warn: such a model would answer, be
scored and be trained as if it were the one that was named.
"""

import warnings
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

from plum_hub.engines import trust
from plum_hub.engines.names import unloadable

_NAMED = 3
"""Weights that a message names."""


class MisfitError(ValueError):
    """A model's files lack weights of it, or hold others than its configuration describes."""


def load_causal_lm(where: str, **options: Any) -> Any:
    """Load a model, or refuse it.

    Args:
        where: Folder or Hub repository.
        options: Further arguments of `from_pretrained`, such as `dtype` and `revision`.

    Returns:
        A causal language model of `transformers`.

    Raises:
        MisfitError: Its files do not fit. What else `from_pretrained` raises is passed on (see `names.unloadable`).
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    told = logging.get_verbosity()
    logging.set_verbosity_error()  # else it prints a table of what is told here in one line
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            where, output_loading_info=True, **trust.WEIGHTS, **options
        )
    finally:
        logging.set_verbosity(told)
    quantised = getattr(model, "hf_quantizer", None) is not None
    if missing := _missing(model, loaded["missing_keys"], quantised=quantised):
        unread = loaded["unexpected_keys"]
        instead = f" and hold {_named(unread)}, which it does not have" if unread else ""
        raise MisfitError(f"its files lack {_named(missing)} of {type(model).__name__}{instead}")
    if not quantised and (unread := _unread(model, loaded["unexpected_keys"])):
        raise MisfitError(f"its files hold {_named(unread)}, which its config.json leaves out")
    return model


def check_causal_lm(where: str, revision: str | None) -> None:
    """Refuse what `load_causal_lm` would, for a library that computes with whatever is in memory where a weight is not.

    Only the headers of the files are read.

    Args:
        where: Folder or Hub repository of weights that are not quantised.
        revision: The commit of that repository.

    Raises:
        MisfitError: Its files do not fit. A model that `transformers` cannot load is left to the library.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        load_causal_lm(where, revision=revision or "main", device_map="meta")
    except MisfitError:
        raise
    except unloadable():
        return


def add_adapter(model: Any, where: str, **options: Any) -> Any:
    """Put an adapter on its base, or refuse it.

    Args:
        model: The base.
        where: Folder or Hub repository of the adapter.
        options: Further arguments of `from_pretrained`, such as `revision`.

    Returns:
        A `peft.PeftModel`; nothing is merged.

    Raises:
        ValueError: The adapter's file lacks weights that its configuration asks for on this base.
    """
    from peft import PeftModel

    with warnings.catch_warnings():
        # PEFT returns no loading report. This is the one that it warns of, and it names adapter weights only.
        warnings.filterwarnings("error", message=".*Found missing adapter keys", category=UserWarning)
        try:
            return PeftModel.from_pretrained(model, where, **options)
        except UserWarning as warning:
            raise ValueError(f"the adapter's weights do not fit its base: {warning}") from warning


def _missing(model: Any, names: Collection[str], *, quantised: bool) -> list[str]:
    """Return the weights that no file had. A quantised layer may do without some of its numbers, not without all."""
    if not quantised:
        return sorted(names)
    tensors = chain(model.named_parameters(), model.named_buffers())
    begun = {_owner(name) for name, _ in tensors if name not in names}
    return sorted(name for name in names if _owner(name) not in begun)


def _unread(model: Any, names: Iterable[str]) -> list[str]:
    """Return weights and biases in the files that belong to a layer of the model, and that it computes without.

    All else that a file may hold changes no answer: heads for other tasks, layers that predict further tokens, scales.
    """
    layers = {name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))}
    return sorted(name for name in names if name.endswith((".weight", ".bias")) and _owner(name) in layers)


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _named(names: Collection[str]) -> str:
    first = ", ".join(sorted(names)[:_NAMED])
    return first if len(names) <= _NAMED else f"{first} and {len(names) - _NAMED} more weights"

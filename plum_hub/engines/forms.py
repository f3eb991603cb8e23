"""The form in which a model is asked, where its tokenizer does not say it: the families of `forms.yaml`.

Instruction-tuned models of 2023 were trained on a form of their own ("@@ Instruction"), and often published without a
chat template. Some base models have a chat template that they were never trained on.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from plum_hub import plain_yaml
from plum_hub.engines.base import Request
from plum_hub.engines.names import located, on_hub

AUTO, OWN = "auto", "own"


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a family of models is asked.

    Attributes:
        models: Regular expression that the last part of a model's name matches, in lower case.
        template: A chat template; None for a base model.
        base: Whether the model only continues text.
        stop: Strings that end an answer.
        end_tokens: Tokens that end an answer, if the tokenizer has them.
    """

    models: str
    template: str | None = None
    base: bool = False
    stop: tuple[str, ...] = ()
    end_tokens: tuple[str, ...] = ()


@cache
def forms() -> Mapping[str, Form]:
    """Read the forms.

    Returns:
        Forms by name, in the order of the file.
    """
    text = files("plum_hub.engines").joinpath("forms.yaml").read_text(encoding="utf-8")
    return {
        name: Form(
            **row | {"stop": tuple(row.get("stop", ())), "end_tokens": tuple(row.get("end_tokens", ()))},
        )
        for name, row in plain_yaml.load(text).items()
    }


def family(names: tuple[str, ...]) -> str | None:
    """Find the form of a model's family.

    Args:
        names: Names of the model, and of the models that it was made from.

    Returns:
        The name of the form, or None if there is none for the model.
    """
    ends = [name.rstrip("/").rpartition("/")[2].lower() for name in names]
    return next((name for name, form in forms().items() if any(re.search(form.models, end) for end in ends)), None)


def names_of(model: str) -> tuple[str, ...]:
    """List a model's names: its own, and those that files in its folder give for it and for its base.

    Args:
        model: A folder or a Hub repository.

    Returns:
        The names. A folder that a training wrote names the model that was trained.
    """
    names = [model]
    if on_hub(model):
        return (model,)
    folder = Path(located(model))
    for file, keys in _NAMING.items():
        try:
            value: Any = json.loads((folder / file).read_text(encoding="utf-8"))
            for key in keys:
                value = value[key]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(value, str):
            names.append(value)
    return (str(folder.resolve()), *names[1:])


_NAMING = {
    "plum-weights.json": ("model",),
    "adapter_config.json": ("base_model_name_or_path",),
    "training.json": ("model", "name"),
}
"""Files of a folder that name a model, and the keys that lead to the name."""


def chosen(name: str, has_template: bool) -> str:
    """Choose between a family's form and what the tokenizer has.

    Args:
        name: The name of the family's form.
        has_template: Whether the model's tokenizer has a chat template.

    Returns:
        The form's name, or `own` if the model is asked in that way without it.
    """
    form = forms()[name]
    if form.base:
        return name if has_template or form.end_tokens else OWN
    return OWN if has_template else name


def apply_form(tokenizer: Any, name: str) -> list[int]:
    """Give a tokenizer the chat template of a form.

    Args:
        tokenizer: A transformers tokenizer; it is modified.
        name: Name of the form; `own` and `auto` change nothing.

    Returns:
        Ids of the form's end tokens.
    """
    form = forms().get(name)
    if form is None:
        return []
    tokenizer.chat_template = form.template
    known = tokenizer.get_vocab()
    return [known[token] for token in form.end_tokens if token in known]


def with_stops(request: Request, name: str) -> Request:
    """Add the stop strings of a form to a request.

    Args:
        request: The request.
        name: Name of the form, `own` or `auto`.

    Returns:
        The request, with more stop strings if the form has any.
    """
    form = forms().get(name)
    if form is None or not form.stop:
        return request
    return replace(request, sampling=replace(request.sampling, stop=(*request.sampling.stop, *form.stop)))

"""Chat templates come with models: rendered as transformers does, in a process that a hostile one cannot leave."""

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from plum_hub.engines import template
from plum_hub.engines.template import TemplateRefusalError, render
from tests.engines.tiny import make_tokenizer

TURNS = [
    {"role": "system", "content": 'Be <brief> & "exact".'},
    {"role": "user", "content": "Reverse é\u2028\ud83d a string.\n\n  "},
    {"role": "assistant", "content": "s[::-1]"},
]
TOOLS = [{"type": "function", "function": {"name": "run", "parameters": {"type": "object", "b": 1, "a": [1.5, None]}}}]
QWEN = (
    "{%- if tools %}{{- '<tools>' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}{%- endif %}\n"
    "{%- for message in messages %}\n  {%- if loop.index0 == 9 %}{% continue %}{% endif %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + eos_token + '\\n' }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
MARKED = (
    "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}"
    "{{ messages | tojson(indent=2) }}"
)
_LOOP = "{% for a in range(99999) %}"
HOSTILE = {
    "loops": _LOOP * 3 + "{% endfor %}" * 3,
    "grows": "{% set ns = namespace(s='x' * 1000000) %}" + _LOOP + "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "grows at once": "{{ 'x' * 100000000000 }}",
    "writes much": _LOOP + "{{ 'x' * 1000 }}{% endfor %}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "reaches out": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "reaches globals": "{{ raise_exception.__globals__ }}",
    "changes": "{{ messages.append(1) }}",
    "formats": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "includes": "{% include '/etc/passwd' %}",
    "imports": "{% import '/etc/passwd' as x %}",
}


def tokenizer(source: str | None):
    made = make_tokenizer(["a"], 300)
    made.chat_template = source
    return made


@pytest.mark.parametrize("template", [None, QWEN, MARKED, "{{ bos_token }}|{{ strftime_now('x') }}|{{ documents }}"])
@pytest.mark.parametrize("open_end", [True, False])
def test_a_template_is_rendered_as_transformers_renders_it(template: str | None, open_end: bool) -> None:
    made = tokenizer(template) if template else make_tokenizer(["a"], 300)
    for tools in (None, TOOLS):
        expected = made.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=open_end, tools=tools)
        assert render(made, TURNS, add_generation_prompt=open_end, tools=tools) == expected


def test_a_refusal_is_the_templates_own_words() -> None:
    with pytest.raises(TemplateRefusalError, match="no system turn"):
        render(tokenizer("{{ raise_exception('no system turn') }}"), TURNS)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_template_ends_in_a_refusal_and_takes_nothing(kind: str) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    made = tokenizer(HOSTILE[kind])
    with pytest.raises(TemplateRefusalError):
        text = render(made, TURNS)
        assert kind in ("reaches out", "reaches globals"), text[:200]
        assert "__" not in text
        assert "/" not in text
        raise TemplateRefusalError  # an undefined value is shown as nothing
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB, in this process
    assert time.process_time() - started < 3.0
    assert render(tokenizer("{{ messages[0].role }}"), TURNS) == "system"  # and the next model is served


def test_a_template_has_no_files(tmp_path: Path) -> None:
    worker = Path(render.__code__.co_filename).with_name("template_worker.py")
    assert worker.is_file()
    with pytest.raises(TemplateRefusalError):
        render(tokenizer("{% extends '" + str(tmp_path) + "' %}"), TURNS)


def test_a_fork_renders_by_a_process_of_its_own() -> None:
    made = tokenizer("{{ messages[0].content }}")
    assert render(made, [{"role": "user", "content": "parent"}]) == "parent"
    child = os.fork()
    if not child:
        os._exit(0 if render(made, [{"role": "user", "content": "child"}]) == "child" else 1)
    assert render(made, [{"role": "user", "content": "again"}]) == "again"
    assert os.waitpid(child, 0)[1] == 0


def test_a_process_that_somebody_killed_is_replaced() -> None:
    """It holds nothing but the template, so a conversation is rendered again rather than refused."""
    made = tokenizer("{{ messages | length }} messages")
    assert render(made, TURNS) == "3 messages"
    os.kill(_processes()["{{ messages | length }} messages"], signal.SIGKILL)
    assert render(made, TURNS) == "3 messages"


def _processes() -> dict[str, int]:
    """Return the process of each template."""
    return {name: one._process.pid for name, one in template._WORKERS.items() if one._process is not None}

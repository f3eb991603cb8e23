"""A build whose generator answers with JSON by a schema, by a real `/v1` server that holds, refuses or ignores it."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plum_hub.engines import ScriptedConfig
from plum_hub.pipeline.build import seal_recipe
from plum_hub.pipeline.status import summarise
from plum_hub.prompts import answer_schema, prompt_digest
from plum_hub.recipe import compose
from plum_hub.run import Run
from tests.engines.proxy import FaultProxy
from tests.engines.server import LoopbackServer
from tests.rehearsal import addend, command, name, plum_hub, program, rows, write_rehearsal

TASKS = 3
TOKENS = 200
"""`suites.max_tokens`, in words."""


def json_answer(number: int, words: int = 0) -> str:
    function, plus = name(number), addend(number)
    starter = f'def {function}(x: int) -> int:\n    """Add. {"word " * words}"""\n'
    cases = [("typical", "5"), ("typical", "1"), ("edge", "0"), ("large", "10**9"), ("invalid", "None")]
    return json.dumps(
        {
            "starter_code": f"{starter}    pass\n",
            "solution": f"{starter}    return x + {plus}\n",
            "cases": [
                {
                    "role": role,
                    "call": f"{function}({one})",
                    "expected": "raises TypeError" if role == "invalid" else str(eval(one) + plus),
                }
                for role, one in cases
            ],
        }
    )


@dataclass
class Served:
    """A folder with tasks, and a server with a proxy before it that answers them."""

    folder: Path
    server: LoopbackServer
    proxy: FaultProxy

    def build(self, run: str, structured: str, *options: str) -> "subprocess.CompletedProcess[str]":
        settings = [
            f"suites.structured={structured}", "suites.responses=1", "suites.temperature=0",
            f"suites.max_tokens={TOKENS}", "samples.per_instruction=2", "policy.first_wait_seconds=0.01",
            "policy.attempts=2",
        ]  # fmt: skip
        chosen = [part for one in settings for part in ("--set", one)]
        arguments = command(self.folder, "-q", *chosen, *options, run=run)
        arguments[arguments.index("--model") + 1] = f"openai:tiny@{self.proxy.url}/v1"
        return plum_hub(arguments, PLUM_HUB_HOME=str(self.folder / "home"))

    def bodies(self) -> list[dict[str, Any]]:
        """The requests that ask for suites."""
        return [
            body for body in map(json.loads, self.server.received) if body["messages"][-1]["content"][:5] == "Task:"
        ]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The answer to the first task is longer than the limit of tokens, so it is cut in the middle."""
    write_rehearsal(tmp_path, TASKS)
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    plain = [dict(row) for row in answers]
    for number in range(TASKS):
        asked = answers[2 * number]["contains"]
        answers[2 * number] = {"contains": f"{asked}\n\nAnswer with the JSON object", "texts": [json_answer(number)]}
        if number == 0:
            answers[0]["texts"] = [json_answer(number, TOKENS)]
        answers[2 * number + 1]["texts"] = [program(number, f"return x + {addend(number)}")]
    rows_ = [*answers, *plain[::2]]  # where no JSON is asked for, the plain answers
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_))
    with (
        ScriptedConfig(model=str(tmp_path / "answers.jsonl")).open() as script,
        LoopbackServer(folder=tmp_path / "batches", script=script) as server,
        FaultProxy(server.url) as proxy,
    ):
        yield Served(tmp_path, server, proxy)


def test_answers_by_a_schema_become_suites_with_roles_and_a_cut_one_is_counted(served: Served) -> None:
    done = served.build("run", "auto")
    assert done.returncode == 0, done.stderr
    folder = served.folder / "run"
    assert "structured: true" in (folder / "recipe.yaml").read_text()
    schema = {"name": "answer", "schema": answer_schema("suite_structured"), "strict": True}
    assert [body["response_format"] for body in served.bodies()] == [
        {"type": "json_schema", "json_schema": schema}
    ] * TASKS
    asked = [body for body in map(json.loads, served.server.received) if "response_format" in body]
    assert len(asked) == TASKS + 1  # one of a few tokens, to see whether the server takes a schema
    assert {str(row["prompt_digest"]) for row in rows(folder, "responses")} == {prompt_digest("suite_structured")}
    assert Counter(row["finish_reason"] for row in rows(folder, "responses")) == {"stop": TASKS - 1, "length": 1}
    assert [row["roles"] for row in rows(folder, "roles")] == [["typical", "typical", "edge", "large", "invalid"]] * 2
    (cut,) = [row for row in rows(folder, "dropped") if row["stage"] == "suites"]
    assert cut["reason"] == "syntax_error"
    assert "JSON is cut off or broken" in str(cut["detail"])
    assert summarise(Run.open(folder)).roles == {"typical": 4, "edge": 2, "large": 2, "invalid": 2}
    assert summarise(Run.open(folder)).chosen == 4
    served.server.schemas = "refused"  # `auto` was decided when the run began
    again = served.build("run", "auto")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("schemas", "said"),
    [
        ("refused", "refused a request for an answer by a JSON schema (response_format is not supported): set suites"),
        ("ignored", "ignores the JSON schema that answers should follow"),
    ],
)
def test_a_server_without_schemas_is_told_before_a_run_is_made(served: Served, schemas: Any, said: str) -> None:
    served.server.schemas = schemas
    done = served.build("run", "true")
    assert done.returncode == 6, done.stderr
    assert said in " ".join(done.stderr.split())
    assert done.stderr.count("set suites.structured=false") == 1
    assert "Traceback" not in done.stderr
    assert not (served.folder / "run").exists()
    assert served.bodies() == []


def test_auto_does_without_a_schema_where_the_server_ignores_it(served: Served) -> None:
    served.server.schemas = "ignored"
    done = served.build("run", "auto")
    assert done.returncode == 0, done.stderr
    assert "structured: false" in (served.folder / "run" / "recipe.yaml").read_text()
    assert not any("response_format" in body for body in served.bodies())
    assert {str(row["prompt_digest"]) for row in rows(served.folder / "run", "responses")} == {prompt_digest("suite")}
    assert len(rows(served.folder / "run", "suites")) == TASKS


def test_an_engine_without_schemas_is_told_and_auto_does_without(served: Served) -> None:
    arguments = command(served.folder, "-q", "--set", "suites.structured=true")
    done = plum_hub(arguments)
    assert done.returncode == 6, done.stderr
    assert "the scripted engine cannot hold answers to a JSON schema: set suites.structured=false" in done.stderr
    assert not (served.folder / "run").exists()
    for structured, source, kept in (("auto", "generate", False), ("true", "rows", True), ("auto", "rows", False)):
        text = f"""
            policy: {{type: scripted, model: {served.folder}/answers.jsonl}}
            suites: {{structured: {structured}, source: {source}}}
            instructions: {{source: {served.folder}/tasks.jsonl}}
        """
        recipe = compose(text, "a recipe", {}, []).filled()
        sealed = seal_recipe(recipe)
        assert sealed.suites.structured is kept
        assert recipe.adopting(sealed).suites == sealed.suites  # the same command finds its run again
    done = plum_hub([part.replace("structured=true", "structured=perhaps") for part in arguments])
    assert done.returncode == 3, done.stderr
    assert "suites.structured" in done.stderr

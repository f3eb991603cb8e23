"""Why rows are left out: every reason that a `Drop` can have, by stage, with its meaning (law 6)."""

_FROM_ANY_MODEL = {
    "refused": "The model refused, or cannot take the request; the detail is its answer.",
    "over_budget": "The time or money of the recipe's `budget` does not suffice for it.",
}
DROP_REASONS: dict[str, dict[str, str]] = {
    "instructions": {
        "not_text": "The column of the task is not a text, or has half a character (a lone surrogate) in it.",
        "empty": "The task is missing or empty, or nothing but imports.",
        "ambiguous_task": "The row has nothing in the column of the task, and several other columns that may be it.",
        "too_short": "The task has fewer characters than `instructions.min_characters`.",
        "too_long": "The task has more characters than `instructions.max_characters`.",
        "not_python": "The task, or its language column, names another language than Python.",
        "no_python": "The conversation shows no Python, neither in its first message nor, except in ShareGPT, in the "
        "first answer, and no column names a language.",
        "not_a_request": "The task asks for no function, class, algorithm or program that tests can judge; see "
        "`instructions.requests_only`.",
        "not_first_turn": "The row continues a conversation that began in an earlier row, or the model speaks first.",
        "unknown_speaker": "The first turn, but for a system's, is of a speaker who is not known.",
        "unreadable_turns": "The conversation is not a list of turns with a role and a text, as in JSON that was cut "
        "short, or is one text with the answers in it.",
        "exact_duplicate": "The same task, except for case and white space, came before; the detail is its id.",
        "near_duplicate": "A task more similar than `instructions.near_duplicates` came before; the detail is its id.",
    },
    "responses": _FROM_ANY_MODEL,
    "suites": {
        "refused": "The generator's answer is a refusal.",
        "not_python": "The code of the answer is in another language than Python.",
        "no_reference": "The answer or row has no Python solution of the task: it is empty, prose or a stub.",
        "syntax_error": "The code is not Python, or the answer not JSON, for example because the answer was cut off.",
        "no_entry_point": "The tests use nothing that the solution defines, or another function.",
        "too_few_cases": "There are fewer distinct assertions than `suites.min_cases`; printed values are none.",
        "cannot_fail": "The tests hold whatever a program does.",
        "contradictory": "Two cases expect different values of the same call, or outputs of the same input.",
        "all_expected_equal": "Every case expects the same value, or only a type, so that a constant would pass.",
        "no_tests": "The row has no column of tests, or the column is empty.",
        "unreadable_tests": "The row's tests are not Python, or of a type or form that is not known.",
        "ambiguous_tests": "The row's tests can be read as two sets of calls and values, and it has no solution that "
        "tells which one is meant.",
        "missing_module": "The solution imports what the sandbox does not have; the detail says what would give it.",
        "nondeterministic": "The result rests on more than the program: random numbers, the clock, the network, files, "
        "the machine or environment, the order of a set, memory addresses. The detail names the source.",
        "reference_failed": "The solution does not pass its own tests: wrong value, error, time or memory limit.",
        "flaky": "The solution passed once and failed when it ran again; no source of that was found.",
        "stub_passed": "A program that returns nothing, raises, or returns its argument passes every case.",
        "weak": "The suite's mutation score is below `suites.min_strength`.",
        "spare_suite": "The suite is self-consistent, but its instruction has one with more cases, or it cannot be "
        "compared with those that voted.",
        "merged": "With `suites.vote`: the response voted, and its cases went into the suite of another one.",
        "disagreement": "With `suites.vote`: too few cases have a majority of the references; the detail is a call and "
        "its values.",
        "merge_failed": "With `suites.vote`: the merged suite is not proved; the detail says why.",
    },
    "samples": _FROM_ANY_MODEL,
    "decontamination": {
        "benchmark_instruction": "The instruction shares more with a benchmark's statement than "
        "`decontamination.overlap`.",
        "benchmark_text": "The sample's text shares more with a benchmark's statement than `decontamination.overlap`.",
        "benchmark_solution": "A function is a benchmark's own solution, perhaps under other names.",
        "benchmark_behaviour": "The program solves a benchmark's problem: it passes that problem's tests.",
        "of_benchmark_instruction": "The row belongs to an instruction that was left out as a benchmark's.",
    },
    "preferences": {
        "timed_out": "Over its limit of time; rejected by the paper's rule, left out where the recipe says so.",
        "failed": "A wrong value; rejected by the paper's rule, left out where the recipe says so.",
        "out_of_memory": "Over its limit of memory.",
        "crashed": "The process died during a case.",
        "not_executable": "The program does not load, or lacks the entry point.",
        "static_error": "mypy reports one of `verdicts.mypy_codes`.",
        "syntax_error": "The program cannot be parsed.",
        "no_code": "There is no code in the answer.",
        "truncated": "The answer reached `samples.max_tokens`.",
        "passed_share": "The share of passed cases is outside `preferences.min_passed` and `preferences.max_passed`.",
        "pass_rate": "The suite's pass rate is outside `preferences.min_pass_rate` and `preferences.max_pass_rate`.",
        "not_repeated": "Fewer than `preferences.min_repeats` chosen samples of the suite are this program.",
        "duplicate": "Another sample of the suite with this label is the same program.",
        "over_cap": "The suite has `preferences.max_per_label` samples with this label already.",
        "no_chosen_sample": "No sample of the instruction is chosen.",
    },
}
"""Meanings by stage and reason."""


def meaning_of(stage: str, reason: str) -> str:
    """Say what the reason of a drop means.

    Args:
        stage: The stage that left the row out.
        reason: Its reason.

    Returns:
        One sentence or more; "" for a reason that this version does not give, as old runs and releases may have.
    """
    return DROP_REASONS.get(stage, {}).get(reason, "")

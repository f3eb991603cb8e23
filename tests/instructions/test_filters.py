"""The keyword filters, on sentences as people write them."""

import pytest

from plum_hub.instructions.filters import (
    asks_for_testable_code,
    concerns_python,
    programming_language,
    shows_python,
)


@pytest.mark.parametrize(
    "text",
    [
        "Write a function to reverse the words of a sentence.",
        "Convert this Java code to Python: int x = 1;",
        "Fix the bug:\n```py\nprint(1)\n```",
        "Complete the code.\ndef area(radius):\n    pass",
        "Sort names; react to an empty list by returning None, and go on.",
        "Parse a JSON object and return its keys.",
        "Let c be the length of the hypotenuse.",
        "Write a function that validates a SWIFT code (BIC).",
        "Compute the angular distance between two vectors.",
        "Write a function that removes all HTML tags from a string.",
        "Return the unity-normalised list.",
        "Parse a bash-like command line into words.",
        "Convert degrees in C to degrees in F.",
        "Check whether a cell is in R or C of the grid.",
    ],
)
def test_python_or_no_language(text: str) -> None:
    assert concerns_python(text)


@pytest.mark.parametrize(
    "text",
    [
        "Write a C program to print primes.",
        "Write a function in C that adds two numbers.",
        "Implement a stack in C++ with templates.",
        "Write a C# class for a bank account.",
        "Create a JavaScript function to compare two strings.",
        "Write an SQL query to select all employees.",
        "Write a MySQL query for the second highest salary.",
        "Design a CSS template to center text.",
        "Use Node.js to read a file.",
        "Write a Go function that sums a slice.",
        "Plot the iris data in R.",
        "Fix this:\n```js\nlet a = 1\n```",
        "Write a bash loop over files.",
        "Write a .NET service.",
        "Create an HTML page with a table.",
        "Write a Swift code to reverse a string.",
        "Create an Angular component to display a list of books.",
        "Store the degrees of a circle in C.",
    ],
)
def test_another_language(text: str) -> None:
    assert not concerns_python(text)


def test_a_language_column_is_believed_before_the_text() -> None:
    assert concerns_python("Port this Java class.", "python")
    assert not concerns_python("Write it in Python.", "c++")
    assert concerns_python("Write a function that adds.", "english")


@pytest.mark.parametrize(
    "value",
    [
        "rs", "rb", "jl", "kt", "hs", "clj", "rkt", "d", "coq", "lean", "luau", "AWK", "CommonLisp", "EmacsLisp",
        "VimScript", "VisualBasic", "JSON", "Markdown", "PLSQL", "vbnet", "asm", "zsh", "GNU G++17 7.3.0",
        "Clang++17 Diagnostics", "FPC", "gnu_c++", "SystemVerilog", "Stata", "Dockerfile", "cmake", "Lang.JAVA",
    ],
)  # fmt: skip
@pytest.mark.parametrize("certain", [True, False])
def test_a_column_names_another_language(value: str, certain: bool) -> None:
    assert programming_language(value, certain=certain) not in (None, "python")


@pytest.mark.parametrize("value", ["cs", "pl", "ml", "Brainfuck", "Standard ML", "LOLCODE"])
def test_an_unknown_language_is_another_one_where_the_column_has_no_others(value: str) -> None:
    assert programming_language(value, certain=True) == value.lower()
    assert programming_language(value) is None


@pytest.mark.parametrize(
    "value", ["en", "en-US", "English", "zh_CN", "sr-RS", "N/A", "none", "", "-", "71", "text", "a " * 9]
)
@pytest.mark.parametrize("certain", [True, False])
def test_a_natural_language_or_nothing_is_no_programming_language(value: str, certain: bool) -> None:
    assert programming_language(value, certain=certain) is None


@pytest.mark.parametrize(
    "value", ["python_3", "PYTHON_3", "Lang.PYTHON", "ProgrammingLanguage.PYTHON", "MicroPython", "py3", "Rust, Python"]
)
@pytest.mark.parametrize("certain", [True, False])
def test_python_by_any_name(value: str, certain: bool) -> None:
    assert programming_language(value, certain=certain) == "python"


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("Use Python's `sorted`.", True),
        ("def f(x):\n    return 1", True),
        ("x = 1\nprint(x)", True),
        ("So:\n```\nfor x in y:\n    print(x)\n```\nDone.", True),
        ("```java\nint x = 1;\n```", False),
        ("SELECT * FROM t;", False),
        ("A stack is a list of items.", False),
        ("Yes", False),
        ("[1, 2, 3]", False),
        ("(" * 5000, False),
        ("Like this:\n```javascript\nconsole.log(1);\n```", False),
        ("Like this:\n```yaml\nname: test\n```", False),
        ("Like this:\n```R\nx = sum(1, 2)\n```\nor\n```\nx = sum([1, 2])\n```", True),
        ("Like this:\n```pypy\nx = sum([1, 2])\n```", True),
    ],
)
def test_an_answer_that_shows_python(answer: str, shown: bool) -> None:
    assert shows_python(answer) is shown


@pytest.mark.parametrize(
    ("text", "testable"),
    [
        ("write a function in python that returns the reverse complement of a DNA sequence", True),
        ("Make me a class called Queue in Python with enqueue and dequeue methods", True),
        ("write johnson's algorithm in python", True),
        ("Create a python function to scrape a website", False),
        ("write a python class for a pygame sprite", False),
        ("how do I install numpy in python", False),
        ("Explain the following python function", False),
        ("let's write a python script.", False),
        ("Write a python program to find the prime numbers below a given maximum", True),
        ("Given 5 numbers, write a Python code that finds which of them add up to a target", True),
        ("Please write a Python program that reads text from stdin and draws a bar for each line", True),
        ("write a snippet of code which deduplicates a list of texts using python", True),
        ("write a python script to copy the files of a list into one folder", False),
        ("write me a python program that will print all the words of the screen", False),
        ("You are given a code snippet of Python. Name its problems and provide the corrected code.", False),
    ],
)
def test_a_request_that_tests_could_judge(text: str, testable: bool) -> None:
    assert asks_for_testable_code(text) is testable

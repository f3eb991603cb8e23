"""The keyword filters, on sentences as people write them."""

import pytest

from plum_hub.instructions.filters import asks_for_testable_code, concerns_python


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
    ],
)
def test_another_language(text: str) -> None:
    assert not concerns_python(text)


def test_a_language_column_is_believed_before_the_text() -> None:
    assert concerns_python("Port this Java class.", "python")
    assert not concerns_python("Write it in Python.", "c++")
    assert concerns_python("Write a function that adds.", "english")


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

"""Is a task about Python, and does a chat message ask for a program that tests could judge? By keywords only.

These are modest filters: they look at words, not at meaning. What they let through wrongly costs a few generated
suites that no reference passes; what they keep out is counted in the run's report.
"""

import re

_PYTHON_NAMES = frozenset(("python", "python2", "python3", "py"))

_OTHER_LANGUAGES = frozenset({
    "ada", "apex", "assembly", "bash", "c", "c#", "c++", "clojure", "cobol", "coffeescript", "common lisp", "cpp",
    "crystal", "csharp", "css", "cuda", "dart", "elixir", "elm", "erlang", "f#", "fortran", "fsharp", "go", "golang",
    "groovy", "haskell", "html", "java", "javascript", "jsx", "js", "julia", "kotlin", "latex", "lisp", "lua", "matlab",
    "mysql", "nim", "node", "node.js", "nodejs", "objective-c", "objectivec", "ocaml", "octave", "pascal", "perl",
    "php", "postgresql", "powershell", "prolog", "r", "racket", "react", "ruby", "rust", "sas", "scala", "scheme", "sh",
    "shell", "solidity", "sql", "sqlite", "swift", "tcl", "ts", "tsx", "typescript", "vb", "vb.net", "vba", "verilog",
    "vhdl", "visual basic", "xml", "zig",
})  # fmt: skip
"""Values that a language column may have; anything else there (`en`, say) is no programming language."""

_VERSION = re.compile(r"[\s:/-]*\(?v?[\d.]+x?\)?$")

_PYTHON = re.compile(r"python|```py\b|\bnumpy\b|\bpandas\b|^\s*def \w+\(.*\).*:\s*$", re.IGNORECASE | re.MULTILINE)

# `c`, `r` and `go` are languages only where the words beside them say so.
_OTHER_LANGUAGE = re.compile(
    r"""
    \b(?: java | javascript | typescript | kotlin | swift | ruby | rust | php | perl | haskell | scala | golang | matlab
        | fortran | cobol | solidity | erlang | elixir | clojure | powershell | vba | visual\ basic | objective-c
        | bash | shell\ (?:script|command) | assembly\ (?:code|language|program)
        | (?:my|postgre|no|t-)?sql(?:ite)? | mongodb | html5? | css3? | s[ac]ss | dom | latex | xslt | jquery | ajax
        | react(?:\.?js|\ native|\ component|\ app) | angular | vue(?:\.?js)? | node\.?js | express\.js | asp\.net
        | laravel | spring\ boot | android | wordpress | unity
        )\b
    | (?<!\w)\.net\b | c\+\+ | \bc\# | \bcpp\b
    | \bin\ (?: c\b(?![+#'-]) | (?:go|r|dart|lua|julia)\b(?!-) )
    | \b(?:c|go|r|dart|lua|julia)\ (?: code | function | language | program | script | snippet )\b
    | ```(?: js | ts | sh | c | r | go | jsx | xml )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

_REQUEST = re.compile(
    r"""
    \b(?: write | create | implement | make | build | code | complete | define | develop | design | generate | give
        | provide | need | want )\b [^.?!]{0,80}? \b(?: functions? | methods? | class | classes | algorithms? )\b
    | \b(?: write | implement | code | create )\b [^.?!]{0,60} \bin\ python\b
    | \bfunction\b [^.?!]{0,60} \b(?: that | which | takes | returns )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

# What such a program does cannot be told from its return values: it needs a network, a screen, a file, a device or a
# trained model, asks its user, or is prose.
_UNTESTABLE = re.compile(
    r"""
    \b(?: flask | django | fastapi | streamlit | apis? | https? | urls? | website | web\ ?page | scrap\w+ | selenium
        | beautiful\ ?soup | requests | sockets? | server | docker | kafka | aws | azure | gcp | cloud | s3 | blender
        | lambda\ function | tkinter | pyqt\d? | kivy | pygame | gui | game | turtle | plot | chart | matplotlib
        | plotly | dashboard | opencv | cv2 | camera | video | audio | images? | pdf | excel | e-?mails? | discord
        | telegram | twitter | \w*bot | raspberry | arduino | gpio | database | mysql | mongodb | postgres\w*
        | sqlite3? | sqlalchemy | multithread\w* | tensorflow | pytorch | keras | neural\ network | sklearn | scikit
        | (?:machine|deep)\ learning | openai | gpt\S*
        | stocks? | trading | photos? | heatmap | google | windows | folder | csv | random | hello\ world
        | asks?\ the\ user | user\ to\ enter | user\ input | explain | tutorial | teach | learn | roadmap | outline
        )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def programming_language(value: str) -> str | None:
    """Recognise the value of a language column.

    Args:
        value: as `Python`, `python 3.11`, `C++17` or `en`.

    Returns:
        `python`, another language's name in lower case, or None where it names no programming language.
    """
    name = value.strip().lower()
    for known in (name, _VERSION.sub("", name)):
        if known in _PYTHON_NAMES:
            return "python"
        if known in _OTHER_LANGUAGES:
            return known
    return None


def concerns_python(text: str, named_language: str | None = None) -> bool:
    """Whether a task can be meant for Python: its language column says so; or, without one, it speaks of Python or of
    no programming language at all."""
    if named_language in _PYTHON_NAMES:
        return True
    if named_language in _OTHER_LANGUAGES:
        return False
    return mentions_python(text) or _OTHER_LANGUAGE.search(text) is None


def mentions_python(text: str) -> bool:
    """Whether Python is named, one of its libraries is, or a `def` line stands in the text."""
    return _PYTHON.search(text) is not None


def asks_for_testable_code(text: str) -> bool:
    """Whether a chat message asks for a function, class or algorithm, and nothing in it speaks of what tests in a
    sealed process cannot see."""
    return _REQUEST.search(text) is not None and _UNTESTABLE.search(text) is None

"""Decide by keywords whether a task is about Python and whether a chat message requests testable code.

These filters look at words, not at meaning. A task that passes wrongly costs a few generated suites that no
reference passes; the tasks that are removed are counted in the run's report.
"""

import ast
import re

from plum_hub.instructions.cells import parsed

_PYTHON_NAMES = frozenset((
    "python", "python2", "python3", "py", "pypy", "cpython", "ipython", "jupyter", "micropython", "circuitpython",
))  # fmt: skip

_OTHER_LANGUAGES = frozenset({
    "abap", "ada", "agda", "apex", "applescript", "arduino", "asm", "assembly", "awk", "bash", "basic", "c", "c#",
    "c++", "clang", "clang++", "clj", "clojure", "cmake", "cobol", "coffeescript", "common lisp", "commonlisp", "coq",
    "cpp", "crystal", "csh", "csharp", "css", "cuda", "d", "dart", "delphi", "dlang", "dockerfile", "elisp", "elixir",
    "elm", "emacs lisp", "emacslisp", "erlang", "f#", "fish", "fortran", "fpc", "fsharp", "g++", "gcc", "glsl", "go",
    "golang", "graphql", "groovy", "haskell", "haxe", "hlsl", "hs", "html", "idris", "java", "javascript", "jl", "js",
    "json", "jsx", "julia", "kotlin", "ksh", "kt", "latex", "lean", "lean4", "less", "lisp", "lua", "luau", "makefile",
    "markdown", "mathematica", "matlab", "mongodb", "mysql", "nasm", "nim", "nix", "node", "node.js", "nodejs",
    "objective c", "objective-c", "objectivec", "ocaml", "octave", "pascal", "perl", "perl6", "php", "pl/pgsql",
    "pl/sql", "plpgsql", "plsql", "postgresql", "powershell", "prolog", "purescript", "r", "racket", "raku", "rb",
    "react", "rkt", "rs", "ruby", "rust", "sas", "sass", "scala", "scheme", "scss", "sh", "shell", "smalltalk", "sml",
    "solidity", "sparql", "sql", "sqlite", "stata", "swift", "systemverilog", "t-sql", "tcl", "terraform", "tex", "ts",
    "tsql", "tsx", "typescript", "vb", "vb.net", "vba", "vbnet", "vbscript", "verilog", "vhdl", "vim script", "viml",
    "vimscript", "visual basic", "visualbasic", "vue", "wolfram", "xml", "yaml", "zig", "zsh",
})  # fmt: skip
"""Programming languages that a column of any languages may name; other values, such as `en`, are none. `cs`, `ml` and
`pl` are not among them, since Czech, Malayalam and Polish are called so too."""
_NOT_PROGRAMMING = frozenset({
    "", "-", "?", "agnostic", "all", "any", "general", "language-agnostic", "missing", "mixed", "multi", "multiple",
    "n/a", "na", "nan", "natural", "nil", "none", "null", "other", "others", "pseudocode", "text", "unknown",
    "unspecified", "various", "ar", "arabic", "chinese", "cn", "de", "deu", "dutch", "en", "eng", "english", "es",
    "fr", "fra", "french", "german", "hindi", "id", "it", "italian", "ja", "japanese", "jp", "ko", "korean", "kr", "nl",
    "polish", "portuguese", "pt", "ru", "rus", "russian", "spa", "spanish", "tr", "turkish", "vi", "vietnamese", "zh",
    "zho",
})  # fmt: skip
"""What a column of programming languages says, word for word, where it names none."""

_LOCALE = re.compile(r"[a-z]{2}[-_](?!py)[a-z]{2}")
"""`sr-RS` is Serbian, and `RS` in it no Rust."""
_MOST_WORDS = 6
"""Words of a language column's value; a longer one is prose."""
_VERSION = re.compile(r"[\s:/_-]*\(?v?[\d.]+x?\)?$")

_PYTHON = re.compile(
    r"python|```py\b|\bnumpy\b|\bpandas\b|^[^\S\n]*+def \w+\((?=.*\)).*:[^\S\n]*$", re.IGNORECASE | re.MULTILINE
)
_BLOCK = re.compile(r"^[^\S\n]*+```([^\n]*)\n(.*?)(?:^[^\S\n]*+```|\Z)", re.DOTALL | re.MULTILINE)

# `c`, `r` and `go` are languages only in the context of certain words.
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

_NO_LANGUAGE = re.compile(
    r"""
    \b(?: remov | strip | pars | extract | escap | unescap | saniti[sz] | clean | validat | count | match )\w*+
      (?:\ [\w'-]++){0,5}? \ html5?\ (?: tags? | strings? | text | entit(?:y|ies) | elements? | markup )\b
    | \bangular\ (?: acceleration | coordinate | diameter | displacement | distance | frequenc | momentum | position
      | resolution | separation | size | speed | velocit )
    | \bunity[-\ ](?: gain | normali[sz] ) | \bto\ unity\b
    | (?-i:\bSWIFT\b) | \bswift(?:/|\ )(?: bic | messages? | payments? | transfers? )\b
    | \b[a-z]++-like\b
    | \b(?: degrees? | temperatures? )\ in\ [cr]\b | \b(?: is | are )\ in\ [cr]\ (?: or | and )\ [cr]\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words that name a language elsewhere, and data, a quantity or something similar to a language here."""

_REQUEST = re.compile(
    r"""
    \b(?: write | create | implement | make | build | code | complete | define | develop | design | generate | give
        | provide | need | want )\b [^.?!]{0,80}? \b(?: functions? | methods? | class | classes | algorithms? )\b
    | \b(?: write | implement | code | create )\b [^.?!]{0,60} \bin\ python\b
    | \bfunction\b [^.?!]{0,60} \b(?: that | which | takes | returns )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

_PROGRAM = re.compile(
    r"""
    \b(?: write | create | implement | make | build | code | complete | develop | design | generate | give | provide
        | need | want )\b [^.?!]{0,40}? \b(?: program | code | script | snippet )\b
    | \bleetcode\ problem\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_DATA = re.compile(
    r"""
    \bgiven\ (?: an? | two | three | \d+ )\ (?! (?:[\w+#]+\ )? code )
    | \breturn(?:s|ing)?\b | \bstdin\b | \b(?:standard|std)\ input\b
    | \b(?: the | an? | two | three | all | of )\ (?:\w+\ ){0,2}
      (?: strings? | arrays? | lists? | words? | matri(?:x|ces) | numbers | primes? | palindromes? | factorial
      | anagrams? | minutes? )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""A program, other than a function or class, is a task for tests only if it says what comes in or out."""
_OUTSIDE = re.compile(
    r"""
    \b(?: file(?:s|names?)? | \w+\.(?:txt|json|html?|log|wav|ya?ml|xlsx?) | folders? | director(?:y|ies) | drives?
        | serial | pictures? | png | jpe?g | apps? | applications? | console | data\ ?sets? | training\ set | users?
        | prints? | screen | terminal | devices? | hardware | config\w* | install\w* | librar(?:y|ies)
        | packages? | modules? | plugins? | nodes? | tweets? | network\w* | ip | ports? | mouse | keyboard
        | browser | links?
        | buttons? | documents\ from | powerpoint | errors? | traceback | race | gender | series )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

# Such a program cannot be judged by its return values: it needs a network, a screen, a file, a device or a trained
# model, prompts its user, or is prose.
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


def programming_language(value: str, *, certain: bool = False) -> str | None:
    """Normalize the value of a language column.

    Args:
        value: For example `Python`, `python 3.11`, `GNU C++17`, `JavaScript (Node.js)`, `["java"]` or `en`.
        certain: Whether the column is of programming languages only, so that a value that is not known is another one.

    Returns:
        `python`, the name of another language in lower case, or None if the value does not name a programming
        language.
    """
    name = value.strip().lower()
    words = [word.strip(".") for word in re.findall(r"[\w.+#]+", name)]
    if len(words) > _MOST_WORDS or _LOCALE.fullmatch(name):
        return None
    parts = [part for word in words for part in re.split(r"[._]", word)]
    known = [name, *words, *parts]
    known = [form for one in known for form in (one, _VERSION.sub("", one))]
    if any(one in _PYTHON_NAMES for one in known):
        return "python"
    found = next((one for one in known if one in _OTHER_LANGUAGES), None)
    says_none = any(one in _NOT_PROGRAMMING for one in [name, *parts]) or not re.search(r"[^\W\d_]", name)
    return name if certain and not found and not says_none else found


def concerns_python(text: str, named_language: str | None = None) -> bool:
    """Return whether a task can be meant for Python.

    Args:
        text: The task.
        named_language: Value of the language column, normalized by `programming_language`; it takes precedence.

    Returns:
        Without a named language, True if the text mentions Python or no programming language at all.
    """
    if named_language is not None and named_language not in _NOT_PROGRAMMING:
        return named_language in _PYTHON_NAMES
    return mentions_python(text) or _OTHER_LANGUAGE.search(_NO_LANGUAGE.sub(" ", text)) is None


def mentions_python(text: str) -> bool:
    """Return whether a text mentions Python.

    Args:
        text: The task.

    Returns:
        True if the text contains the name of Python or of one of its libraries, or a `def` line.
    """
    return _PYTHON.search(text) is not None


def shows_python(answer: str) -> bool:
    """Return whether an answer mentions Python or has a program in Python.

    Args:
        answer: The answer, with or without fences around its programs.

    Returns:
        False for prose, for another language, and for mere values.
    """
    if mentions_python(answer):
        return True
    blocks = [found.groups() for found in _BLOCK.finditer(answer)] or [("", answer)]
    # A line of JavaScript or R may be Python, too.
    codes = [code for named, code in blocks if programming_language(named) in (None, "python")]
    trees = [tree for code in codes if (tree := parsed(code))]
    return any(not isinstance(one, ast.Expr) or isinstance(one.value, ast.Call) for tree in trees for one in tree.body)


def asks_for_testable_code(text: str) -> bool:
    """Return whether a chat message asks for code that tests in a sandbox can judge.

    Args:
        text: The message.

    Returns:
        True if it asks for a function, class or algorithm, or for a program and says what goes in or comes out, and
        mentions nothing outside a sandbox, such as a network or a screen.
    """
    if _UNTESTABLE.search(text):
        return False
    program = _PROGRAM.search(text) and _DATA.search(text) and not _OUTSIDE.search(text)
    return _REQUEST.search(text) is not None or bool(program)

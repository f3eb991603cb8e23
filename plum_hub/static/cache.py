"""Mypy's cache of the standard library, made once, and copied for every run, because mypy adds all that it checks."""

import platform
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plum_hub.errors import StaticCheckError
from plum_hub.home import home

_SEED = """
import abc, argparse, array, ast, asyncio, base64, bisect, calendar, cmath, collections, concurrent.futures, contextlib
import copy, csv, dataclasses, datetime, decimal, difflib, enum, fractions, functools, glob, hashlib, heapq, hmac
import inspect, io, itertools, json, logging, math, multiprocessing, numbers, operator, os, os.path, pathlib, pickle
import platform, pprint, queue, random, re, secrets, shutil, signal, socket, sqlite3, statistics, string, struct
import subprocess, sys, tempfile, textwrap, threading, time, timeit, traceback, types, typing, unicodedata, unittest
import urllib.parse, urllib.request, uuid, warnings, weakref, xml.etree.ElementTree, zlib
"""


def mypy_arguments() -> list[str]:
    """How mypy is asked: unannotated bodies too, nothing followed outside its own stubs, no settings of the user's."""
    return [
        "--config-file=", "--check-untyped-defs", "--ignore-missing-imports", "--follow-imports=skip",
        "--no-site-packages", "--no-error-summary", "--hide-error-context", "--no-color-output", "--output=json",
        "--sqlite-cache",
    ]  # fmt: skip


def seed_cache(run_mypy: Callable[[list[str], Path], list[dict[str, Any]] | str]) -> Path:
    """The cache folder with the standard library in it, made on first use (some 10 s).

    Raises:
        StaticCheckError: mypy does not run.
    """
    place = home() / "mypy" / f"{version('mypy')}-{platform.python_version()}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plum-mypy-", dir=place.parent) as name:
        folder = Path(name)
        (folder / "_plum_seed.py").write_text(_SEED)
        result = run_mypy(["_plum_seed.py"], folder)
        if isinstance(result, str):
            raise StaticCheckError(
                f"mypy does not run here: {result}; reinstall it:  pip install --force-reinstall mypy"
            )
        try:
            (folder / "cache").rename(place)
        except OSError:  # another run was first
            if not place.is_dir():
                raise
    return place


def copy_cache(cache: Path, to: Path) -> None:
    """A copy for one run, in place of an older one."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(cache, to)

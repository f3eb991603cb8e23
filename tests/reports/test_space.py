"""A report of a published dataset, as a Space on the embedded Hub."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import plum_hub
from plum_hub.hubs.embedded import EmbeddedHub
from tests import rehearsal
from tests.rehearsal import published, write_rehearsal
from tests.releases import Releases
from tests.reports.browser import CHROMIUM, Browser

SPACE = "local/numbers-report"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    folder = tmp_path_factory.mktemp("space")
    write_rehearsal(folder)
    releases = Releases(folder, {})
    done = rehearsal.plum_hub(published(folder, "--repo", "numbers"), **releases.environment())
    assert done.returncode == 0, done.stderr
    return releases


@pytest.fixture(scope="module")
def space(released: Releases) -> dict[str, Any]:
    return report(released, "local/numbers@v1.0.0", "--space")


@pytest.fixture(scope="module")
def hub(released: Releases, space: dict[str, Any]) -> Iterator[EmbeddedHub]:  # noqa: ARG001 - published before
    with released.hub() as opened:
        yield opened


def report(released: Releases, *arguments: str) -> dict[str, Any]:
    out = released.folder / "out"
    done = released.plum_hub("report", *arguments, "--hub", "embedded", "--out", str(out), "--json", "-q")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fetched(hub: EmbeddedHub, path: str) -> tuple[dict[str, str], str]:
    with urllib.request.urlopen(f"{hub.endpoint}{path}") as answer:
        return {name.lower(): value for name, value in answer.headers.items()}, answer.read().decode()


def test_a_release_is_reported_as_its_run_is(released: Releases, space: dict[str, Any]) -> None:
    (of_release,) = space["content"]["builds"]
    (of_run,) = report(released, str(released.folder / "run"))["content"]["builds"]
    for key in ("chosen", "rejected", "statuses", "pass_ratios", "self_consistency", "negatives", "samples_per_suite"):
        assert of_release[key] == of_run[key], key


def test_a_release_of_an_early_version_is_reported_as_far_as_it_tells(released: Releases, tmp_path: Path) -> None:
    early = shutil.copytree(released.folder / "run" / "release" / "dataset", tmp_path / "early")
    manifest = json.loads((early / "manifest.json").read_text())
    del manifest["content"], manifest["counts"]["pass_ratios"], manifest["lineage"]["self_consistency"]
    (early / "manifest.json").write_text(json.dumps(manifest))
    (build,) = plum_hub.report(early, out=tmp_path / "out").content.builds
    assert build.chosen == manifest["counts"]["chosen"]
    assert (build.pass_ratios, build.self_consistency) == ((), None)


def test_it_is_released_beside_the_dataset(released: Releases, space: dict[str, Any], hub: EmbeddedHub) -> None:
    assert (space["space"]["repo"], space["space"]["tag"]) == (SPACE, "v1.0.0")
    _, card = fetched(hub, f"/spaces/{SPACE}/resolve/v1.0.0/README.md")
    assert "\nsdk: static\n" in card
    assert "\n- local/numbers\n" in card  # the dataset
    info = json.loads(fetched(hub, f"/api/spaces/{SPACE}/revision/v1.0.0")[1])
    assert {"README.md", "index.html", "report.json"} <= {file["rfilename"] for file in info["siblings"]}
    assert "Open the page" in fetched(hub, f"/spaces/{SPACE}")[1]
    again = report(released, "local/numbers@v1.0.0", "--space")
    assert (again["space"]["tag"], again["space"]["commit"]) == ("v1.0.0", space["space"]["commit"])


def test_its_page_is_served_in_a_sandbox(hub: EmbeddedHub) -> None:
    headers, page = fetched(hub, f"/spaces/{SPACE}/app/v1.0.0")
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split(";")}
    assert policy["sandbox"] == ["allow-scripts"]  # no allow-same-origin
    assert policy["default-src"] == ["'none'"]
    assert "connect-src" not in policy
    assert "Explorer" in page
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetched(hub, "/datasets/local/numbers/app/v1.0.0")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, as Debian's package chromium")
def test_its_page_runs_and_reads_nothing_of_the_hub(hub: EmbeddedHub, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(f"{hub.endpoint}/spaces/{SPACE}/app/v1.0.0")
        assert browser.evaluate("document.querySelectorAll('.row').length") > 0
        assert browser.errors == []
        assert browser.evaluate("origin") == "null"
        refused = "fetch('/api/whoami-v2').then(() => 'read', error => error.name)"
        assert browser.evaluate(refused) == "TypeError"


def test_a_repository_without_a_space_is_refused(released: Releases) -> None:
    done = released.plum_hub("report", str(released.folder / "run"), "--repo", "x")
    assert done.returncode == 2
    assert "add --space" in done.stderr

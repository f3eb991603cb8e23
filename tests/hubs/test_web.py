"""The embedded Hub in a browser: what its pages show, and what they keep from running."""

import io
import re
from base64 import b64encode
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from plum_hub.hubs.git import TreeEntry
from plum_hub.hubs.web.cards import rendered, without_front_matter
from plum_hub.hubs.web.rows import LONGEST, configs
from tests.hubs.conftest import Http, file

CARD = """---
license: mit
tags: [code, "<i>"]
configs:
- config_name: kto
  data_files: kto/*.parquet
- config_name: broken
  data_files:
  - split: test
    path: bad.parquet
---
# Plums & <b>more</b>

<!-- written by a machine --><script>alert(1)</script>

| a | n |
|---|--:|
| x | 1 |

![here](figures/plot.svg) ![there](https://example.com/pixel.png) [data](kto/train.parquet) [bad](javascript:alert(1))
"""
HTML = {"Accept": "text/html,*/*"}


class Links(HTMLParser):
    """What a page points to, and which tags it has."""

    def __init__(self, page):
        super().__init__()
        self.links, self.tags = [], set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs), attrs
        self.links += [value for name, value in attrs if name in ("href", "src")]


@pytest.fixture(scope="module")
def site(server):
    """A Hub with a dataset of two versions and a pull request, and a private model."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    http_, repo = Http(server), "local/shown"
    http_.json("POST", "/api/repos/create", {"name": "shown", "type": "dataset"})
    http_.json("POST", "/api/repos/create", {"name": "hidden", "visibility": "private"})
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["<u>first</u>", "long " * 200], "n": [1, None]}), buffer)
    rows = http_.put_large(repo, buffer.getvalue())
    large = {"key": "lfsFile", "value": {"path": "kto/train.parquet", "algo": "sha256", "oid": rows["oid"]}}
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    first = http_.commit(repo, file("README.md", CARD.encode()), file("figures/plot.svg", svg), large)
    assert first[0] == 200
    http_.json("POST", f"/api/datasets/{repo}/tag/main", {"tag": "v1.0.0", "message": "Release v1.0.0"})
    assert http_.commit(repo, file("bad.parquet", b"no"), file("x/<y>.py", b"print('<hi>')"))[0] == 200
    http_.json("POST", f"/api/datasets/{repo}/tag/main", {"tag": "v1.1.0"})
    asked = {"title": "A <question>", "description": "<img src=x onerror=alert(1)> *please*", "pullRequest": True}
    http_.json("POST", f"/api/datasets/{repo}/discussions", asked)

    def page(path, status=200, *, owner=False, headers=HTML):
        answer, sent, body = http_("GET", path, headers=headers, owner=owner)
        assert answer == status, (path, body[-500:])
        assert sent["content-security-policy"].startswith("default-src 'none'")
        return body.decode()

    return SimpleNamespace(http=http_, page=page, base=f"/datasets/{repo}")


def test_every_link_of_every_page_leads_somewhere(site):
    seen, owed = set(), ["/", f"{site.base}/tree/v1.0.0", f"{site.base}/discussions/1"]
    while owed:
        path = owed.pop()
        if path in seen or not (path == "/" or path.startswith(("/static", site.base))):
            continue
        seen.add(path)
        status, headers, body = site.http("GET", path, headers=HTML, owner=False)
        assert status == 200, path
        if headers["content-type"].startswith("text/html"):
            found = Links(body.decode())
            assert not {"script", "iframe", "object", "form"} & found.tags, path
            owed += found.links
    for expected in ("", "/tree/v1.1.0", "/blob/v1.0.0/README.md", "/viewer?revision=main&config=kto&split=train",
                     "/commits/main", "/discussions", "/blob/main/x/%3Cy%3E.py"):  # fmt: skip
        assert site.base + expected in seen, expected


def test_a_card_is_shown_with_its_pictures_and_nothing_of_it_runs(site):
    page = site.page(site.base)
    assert "<h1>Plums &amp; &lt;b&gt;more&lt;/b&gt;</h1>" in page
    assert "written by a machine" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert re.search(r'<img src="/datasets/local/shown/resolve/[0-9a-f]{40}/figures/plot.svg" alt="here">', page)
    assert re.search(r'href="/datasets/local/shown/blob/[0-9a-f]{40}/kto/train.parquet"', page)
    assert 'href="javascript' not in page
    assert '<td class="right">1</td>' in page
    assert "<span>license</span> mit" in page
    assert "<span>tag</span> &lt;i&gt;" in page
    assert page.index(">v1.1.0<") < page.index(">v1.0.0<"), "versions are shown newest first"
    status, headers, _ = site.http("GET", f"{site.base}/resolve/main/figures/plot.svg")
    assert (status, headers["content-type"]) == (200, "image/svg+xml")
    assert headers["content-security-policy"].endswith("sandbox")


def test_the_first_rows_of_a_config_are_shown_and_long_cells_are_cut(site):
    page = site.page(f"{site.base}/viewer?config=kto")
    assert "2 of 2 rows" in page
    assert "&lt;u&gt;first&lt;/u&gt;" in page
    assert f"+{1000 - LONGEST} characters" in page
    assert "<i>null</i>" in page
    assert "cannot be read as Parquet" in site.page(f"{site.base}/viewer?config=broken")
    assert "there is no config nothing" in site.page(f"{site.base}/viewer?config=nothing", 404)
    assert "2 of 2 rows" in site.page(f"{site.base}/blob/v1.0.0/kto/train.parquet")


def test_each_revision_shows_its_own_files(site):
    assert "bad.parquet" not in site.page(f"{site.base}/tree/v1.0.0")
    assert "bad.parquet" in site.page(f"{site.base}/tree/v1.1.0")
    assert "print(&#39;&lt;hi&gt;&#39;)" in site.page(f"{site.base}/blob/main/x/%3Cy%3E.py")
    page = site.page(f"{site.base}/commit/v1.1.0")
    assert "+print(&#39;&lt;hi&gt;&#39;)" in page


def test_a_discussion_is_shown(site):
    page = site.page(f"{site.base}/discussions/1")
    assert "A &lt;question&gt;" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "refs/pr/1" in page


def test_private_repos_are_shown_to_who_has_a_token(site):
    assert "local/hidden" not in site.page("/")
    assert "it is private" in site.page("/local/hidden", 404)
    assert "local/hidden" in site.page("/", owner=True)
    site.page("/local/hidden", owner=True)
    password = b64encode(f"me:{site.http.server.token}".encode()).decode()
    assert "local/hidden" in site.page("/", headers=HTML | {"Authorization": f"Basic {password}"})
    for path, headers in {"/login": HTML, "/": HTML | {"Authorization": "Basic bTp3cm9uZw=="}}.items():
        status, sent, _ = site.http("GET", path, headers=headers, owner=False)
        assert (status, sent["www-authenticate"][:5]) == (401, "Basic"), "the browser does not ask for the token"


def test_what_is_not_there_is_a_page_too(site):
    for path in ("/nothing", "/local/nothing", f"{site.base}/tree/v9", f"{site.base}/blob/main/gone", "/api/x/y"):
        assert "All repositories" in site.page(path, 404)
    assert site.http("GET", "/api/x/y")[1]["content-type"] == "application/json"


def test_configs_are_those_of_the_card_or_all_parquet_files():
    files = [TreeEntry(path, "blob", path, 1) for path in ("a/x.parquet", "a/b/y.parquet", "test.parquet", "a/z.txt")]
    card = {"configs": [{"config_name": "one", "data_files": "a/*.parquet"},
                        {"config_name": "all", "data_files": [{"split": "test", "path": ["**/*.parquet"]}]},
                        {"config_name": "none", "data_files": "c/*"}, "odd"]}  # fmt: skip
    found = {(name, split): chosen for name, splits in configs(card, files).items() for split, chosen in splits.items()}
    assert found == {("one", "train"): files[:1], ("all", "test"): files[:3]}
    assert {name: list(splits) for name, splits in configs({}, files).items()} == {"default": ["train", "test"]}
    assert configs({"configs": 3}, files[3:]) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!-- a --><p onclick=x>", "&lt;p onclick=x&gt;"),
        ("a<br>b<br/>c<br onload=x>", "<p>a<br>b<br>c&lt;br onload=x&gt;</p>\n"),
        ("![a\"b](x/../y.png 'title')", '<p><img src="/r/x/../y.png" alt="a&quot;b"></p>\n'),
        ("![x](//example.com/y.png)", '<p><a href="//example.com/y.png" rel="noreferrer">x</a></p>\n'),
        ("[x](<a b.md#c>)", '<p><a href="/b/a%20b.md#c" rel="noreferrer">x</a></p>\n'),
        ("[x](/local/y)", '<p><a href="/local/y" rel="noreferrer">x</a></p>\n'),
        ("<JaVa&#115;cript:alert(1)>", "<p>&lt;JaVascript:alert(1)&gt;</p>\n"),
    ],
)
def test_markdown(text, expected):
    assert str(rendered(text, "/b", "/r")) == expected


def test_front_matter_is_no_part_of_the_text():
    assert without_front_matter("---\na: 1\n---\n# T\n---\n") == "\n# T\n---\n"
    assert without_front_matter("# T\n---\n") == "# T\n---\n"

"""The built book: complete, offline, readable. `make book` runs these on what it has just built."""

import json
import os
import re
import shutil
import subprocess
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


def is_up_to_date() -> bool:
    """Whether the book was built after its pages were last changed."""
    index = HTML / "book" / "index.html"
    pages = [*(ROOT / "book").rglob("*.md"), *(ROOT / "notebooks").glob("*/*.md"), ROOT / "_toc.yml"]
    return index.exists() and index.stat().st_mtime > max(p.stat().st_mtime for p in pages)


@pytest.fixture(scope="module")
def book() -> Path:
    if os.environ.get("ECGKIT_REQUIRE_BOOK") == "1" or is_up_to_date():
        return HTML
    pytest.skip("the book is not built, or older than its pages: run `make book`")


class Page(HTMLParser):
    """What one page loads, shows and links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.loads, self.images, self.links, self.styles = path, [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {k: v or "" for k, v in attrs}
        self.styles.append(values.get("style", ""))
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed") and "src" in values:
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") not in (
            "canonical",
            "next",
            "prev",
            "search",
            "index",
            "author",
        ):
            self.loads.append(values.get("href", ""))
        if tag == "img":
            self.images.append(values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


@pytest.fixture(scope="module")
def pages(book: Path) -> list[Page]:
    return [Page(p) for p in sorted(book.rglob("*.html")) if "_static" not in p.parts]


def is_elsewhere(address: str) -> bool:
    return bool(re.match(r"^(https?:)?//", address.strip()))


def test_no_page_loads_anything_from_elsewhere(book: Path, pages: list[Page]) -> None:
    found = {(p.path.name, a) for p in pages for a in p.loads if is_elsewhere(a)}
    for sheet in book.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        found |= {(sheet.name, a) for a in re.findall(r"url\(\s*['\"]?([^)'\"]+)", text) if is_elsewhere(a)}
        found |= {(sheet.name, a) for a in re.findall(r"@import\s+['\"]([^'\"]+)", text) if is_elsewhere(a)}
    assert found == set()


def test_every_image_is_there_and_described(pages: list[Page]) -> None:
    for page in pages:
        for image in page.images:
            alt = image.get("alt", "")
            assert alt.strip(), f"{page.path.name}: {image['src']} has no alternative text"
            assert not re.search(r"[0-9a-f]{16}|\.(png|svg|jpe?g)$", alt), (
                f"{page.path.name}: {alt!r} says nothing"
            )
            if not is_elsewhere(image["src"]) and not image["src"].startswith("data:"):
                assert (page.path.parent / image["src"].split("?")[0]).exists(), image["src"]


def test_every_link_inside_the_book_leads_somewhere(pages: list[Page]) -> None:
    broken = []
    for page in pages:
        for link in page.links:
            target = link.split("#")[0].split("?")[0]
            if target and not re.match(r"^[a-z]+:", target) and not (page.path.parent / target).exists():
                broken.append((page.path.name, link))
    assert broken == []


def test_every_page_of_the_contents_is_built(book: Path) -> None:
    text = (ROOT / "_toc.yml").read_text()
    wanted = re.findall(r"(?:file|root): (\S+)", text)
    for pattern in re.findall(r"glob: (\S+)", text):
        wanted += [p.relative_to(ROOT).with_suffix("").as_posix() for p in ROOT.glob(f"{pattern}.md")]
    assert [w for w in wanted if not (book / f"{w}.html").exists()] == []


def test_every_chapter_has_its_own_colab_button(book: Path) -> None:
    from sys import path

    path.insert(0, str(ROOT / "tools"))
    from bookinfo import repository, sources, tag

    where = repository().removeprefix("https://github.com/")
    for source in sources():
        name = source.relative_to(ROOT).with_suffix("").as_posix()
        links = Page(book / f"{name}.html").links
        assert f"https://colab.research.google.com/github/{where}/blob/{tag()}/{name}.ipynb" in links


def test_no_raw_directive_and_no_error_is_shown(pages: list[Page]) -> None:
    for page in pages:
        text = re.sub(r"(?s)<script.*?</script>|<code.*?</code>|<pre.*?</pre>", "", page.path.read_text())
        assert not re.search(r"\{(term|cite|ref|numref|eq|doc|math)[:\w]*\}|Traceback \(most recent", text), (
            page.path
        )


def test_the_status_page_says_how_the_pages_were_made(book: Path) -> None:
    text = (book / "book" / "status.html").read_text()
    for word in ("commit", "hardware", "torch", "run time", "data version"):
        assert word in text


NOT_SHOWN: dict[str, str] = {}
"""Experiments of which a page need not show every run, each with the reason."""


def test_every_recorded_run_is_shown(book: Path) -> None:
    """What was recorded is in a table or behind a claim, whether it turned out as hoped or not."""
    from ecgbook.runs.check import run_references_in

    shown = {run.partition(":")[0] for page in book.rglob("*.html") for run in run_references_in(page)}
    stored = {f"{path.parent.name}/{path.stem}" for path in (ROOT / "results").glob("*/*.json")}
    missing = [run for run in sorted(stored - shown) if run.split("/")[0] not in NOT_SHOWN]
    assert missing == [], "show these runs in a page, or say in NOT_SHOWN why not"


def test_mathjax_is_part_of_the_book(book: Path) -> None:
    config = yaml.safe_load((ROOT / "_build" / "stage" / "_config.yml").read_text())
    assert (book / "_static" / config["sphinx"]["config"]["mathjax_path"]).resolve().exists()


HARNESS = """<!doctype html><title>waiting</title><pre id="out"></pre><script>
const pages = PAGES, found = {};
async function look(address) {
  const frame = document.createElement("iframe");
  frame.width = 390; frame.height = 844;
  frame.src = address;
  const loaded = new Promise(done => frame.onload = done);
  document.body.append(frame);
  await loaded;
  const inside = frame.contentWindow, page = frame.contentDocument;
  if (page.querySelector(".math")) {
    for (let i = 0; i < 200 && !inside.MathJax?.startup?.promise; i++)
      await new Promise(done => setTimeout(done, 50));
    await inside.MathJax.startup.promise;
  }
  found[address] = {
    math: page.querySelectorAll("article .math").length,
    typeset: page.querySelectorAll("article .math mjx-container svg").length,
    bad: page.querySelectorAll("[data-mjx-error]").length,
    wide: page.documentElement.scrollWidth - inside.innerWidth,
    elsewhere: inside.performance.getEntriesByType("resource").map(r => r.name)
      .filter(n => !n.startsWith(location.origin) && !n.startsWith("data:")),
  };
  frame.remove();
}
(async () => {
  for (const page of pages) await look(page);
  document.getElementById("out").textContent = "RESULT" + JSON.stringify(found) + "END";
})();
</script>"""


@pytest.mark.slow
def test_in_a_browser_without_a_network(book: Path, tmp_path: Path) -> None:
    """At the width of a phone: equations typeset, nothing fetched from elsewhere, no page too wide."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed")
    names = [p.relative_to(book).as_posix() for p in sorted(book.rglob("*.html")) if "_static" not in p.parts]
    names = [n for n in names if n != "index.html"]  # it only redirects
    harness = HARNESS.replace("PAGES", json.dumps([f"/{n}" for n in names])).encode()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/harness":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(harness)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(book)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    )
    command = [chromium, *options.split(), "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=600000", "--dump-dom"]
    try:
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{server.server_port}/harness"],
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        server.shutdown()
    result = re.search(
        r"RESULT(.*)END", done.stdout.split("</script>")[-1] + done.stdout.split("<script>")[0]
    )
    assert result, done.stderr[-2000:]
    found = json.loads(result[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert set(found) == {f"/{n}" for n in names}
    for name, seen in found.items():
        assert seen["elsewhere"] == [], name
        assert seen["typeset"] == seen["math"], f"{name}: {seen}"
        assert seen["bad"] == 0, name
        assert seen["wide"] <= 0, f"{name} is {seen['wide']} pixels wider than a phone"
    assert sum(s["math"] for s in found.values()) > 0

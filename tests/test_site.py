"""The built site, as readers meet it: every page is loaded in a headless Chromium.

tests/conftest.py builds the site once per session. BOOK_SITE names a site that is built already,
CHROMIUM a browser that is not on the PATH. Publishing depends on these tests, on those of
test_site_found.py and on those of test_site_quality.py, so they refuse a site that is empty or
lacks a page.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml  # type: ignore[import-untyped]
from site_files import NOTEBOOKS, PAGES, ROOT
from test_site_found import lacks

sys.path.insert(0, str(ROOT / "tools"))

import addresses

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))


# What the files say


class Document(HTMLParser):
    """What the tests need of a page: its links, its anchors, its headings, its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.words = self.titles = self.downloads = 0
        self.leads_to = ""
        self._article = self._skip = 0
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {values[key] or "" for key in ("id", "name") if key in values}
        for key in ("href", "src"):
            if values.get(key) and tag != "base":
                self.links.append(values[key] or "")
        self.downloads += tag == "a" and "download" in values
        if tag == "meta" and (values.get("http-equiv") or "").lower() == "refresh":
            self.leads_to = (values.get("content") or "").partition("url=")[2]
        self._article += tag == "article"
        self.titles += tag == "h1" and self._article > 0
        self._skip += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._article -= tag == "article"
        self._skip -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self._article and not self._skip:
            self.words += len(data.split())


def read_documents(site: Path) -> dict[Path, Document]:
    """Read every page; the folders with an underscore hold what pages load."""
    pages = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {path: Document(path) for path in pages}


@pytest.fixture(scope="session")
def documents(site: Path) -> dict[Path, Document]:
    return read_documents(site)


def gaps(site: Path) -> list[str]:
    """Return what a whole site has and this one lacks."""
    documents = read_documents(site)
    found = []
    for name in PAGES:
        page = documents.get(site / f"{name}.html")
        if page is None:
            found.append(f"{name} is missing")
        elif page.titles != 1 or page.words < 150:
            found.append(f"{name} has {page.titles} titles and {page.words} words")
    index = documents.get(site / "index.html")
    if index is None or site / index.leads_to != site / f"{PAGES[0]}.html":
        found.append("index.html does not lead to the front page")
    search = site / "searchindex.js"
    text = search.read_text("utf-8") if search.exists() else ""
    found += [f"the search index lacks {name}" for name in PAGES if f'"{name}"' not in text]
    return found


def test_site_is_whole(site: Path) -> None:
    assert len(PAGES) > len(NOTEBOOKS) > 0
    assert gaps(site) == []


def test_empty_site_is_refused(tmp_path: Path) -> None:
    assert {f"{name} is missing" for name in PAGES} < set(gaps(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (f"{PAGES[-1]}.html", None, f"{PAGES[-1]} is missing"),
        (f"{PAGES[1]}.html", "", f"{PAGES[1]} has 0 titles and 0 words"),
        (f"{PAGES[1]}.html", "<h1>T</h1>" + "word " * 200, f"{PAGES[1]} has 0 titles and 0 words"),
        (f"{PAGES[1]}.html", "<article><h1>T</h1>", f"{PAGES[1]} has 1 titles and 1 words"),
        ("index.html", None, "index.html does not lead to the front page"),
        ("index.html", "<p>Hello</p>", "index.html does not lead to the front page"),
        ("searchindex.js", None, f"the search index lacks {PAGES[0]}"),
        ("searchindex.js", "Search.setIndex({})", f"the search index lacks {PAGES[-1]}"),
    ],
)
def test_partial_site_is_refused(
    name: str, content: str | None, says: str, site: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy, ignore=shutil.ignore_patterns("_*"))
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content, "utf-8")
    assert says in gaps(copy)


def test_no_address_is_lost(site: Path) -> None:
    """What tests/addresses.txt records, others link to."""
    assert len(addresses.recorded()) > len(PAGES)
    missing = addresses.lost(site)
    assert not missing, missing


def test_links_and_anchors_resolve(site: Path, documents: dict[Path, Document]) -> None:
    broken = []
    for path, document in documents.items():
        for link in document.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append(f"{path.relative_to(site)}: no file {link}")
            elif target in documents and unquote(parts.fragment) not in documents[target].anchors:
                broken.append(f"{path.relative_to(site)}: no anchor {link}")
    assert not broken


def complaints(site: Path, repository: str, branch: str) -> list[str]:
    """Return what pages of notebooks lack of Colab and their file, or offer without an address."""
    found = []
    placeholder = repository.startswith("OWNER/")
    named = (
        f"github.com/{repository}",
        f"/github/{repository}",
        repository.replace("/", ".github.io/"),
    )
    for path, document in read_documents(site).items():
        name = path.relative_to(site).with_suffix("").as_posix()
        for link in document.links if placeholder else []:
            found += [f"{name} links to {link}" for one in named if one in link]
        if name not in NOTEBOOKS:
            continue
        colab = f"https://colab.research.google.com/github/{repository}/blob/{branch}/{name}.ipynb"
        file = f"../_sources/{name}.ipynb"
        text = re.sub(r"<[^>]+>", "", path.read_text("utf-8"))
        # Once from the theme's button, once from the line under the title.
        offers = [document.links.count(colab), document.links.count(file), document.downloads]
        if offers != ([0, 1, 0] if placeholder else [2, 2, 1]):
            found.append(f"{name} offers {offers}")
        if ("make address REPO=owner/name has set the" in text) != placeholder:
            found.append(f"{name} does not say how to set the address, or says it in vain")
        if not (path.parent / file).is_file():
            found.append(f"{name} has no file {file}")
    return found


def test_notebook_page_offers_colab_and_its_file_once_there_is_an_address(site: Path) -> None:
    repository = urlsplit(CONFIG["repository"]["url"]).path.lstrip("/")
    assert complaints(site, repository, CONFIG["repository"]["branch"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("owner", ["OWNER", "some-one"])
def test_site_offers_what_the_address_allows(owner: str, tmp_path: Path) -> None:
    """The same with the placeholder and with an address, whichever the repository has now."""
    repository = f"{owner}/their-book"
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, encoding="utf-8")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    for command in ["git init -q", "git add -A", f"{sys.executable} tools/address.py {repository}"]:
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    done = subprocess.run(
        [*command, "-W", "-n", "--keep-going", "-q"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    branch = CONFIG["repository"]["branch"]
    assert complaints(tmp_path / "_build" / "html", repository, branch) == []
    assert lacks(tmp_path / "_build" / "html", repository) == []


def test_reference_has_every_public_name_of_the_module(
    site: Path, documents: dict[Path, Document]
) -> None:
    anchors = documents[site / "book/reference/api.html"].anchors
    shown = {anchor.rpartition(".")[2] for anchor in anchors if anchor.startswith("vgg_utils.")}
    inner = {"sight.py", "sight_rules.py"}  # how network_receptive_field does it
    for path in (ROOT / "vgg_utils").rglob("*.py"):
        if path.name in inner:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        assert {name for name in names if not name.startswith("_")} <= shown, path


def test_no_sentence_that_begins_with_a_number_is_taken_for_a_list(site: Path) -> None:
    for page in PAGES:
        text = (site / f"{page}.html").read_text("utf-8")
        assert not re.findall(r'<ol [^>]*start="', text), page


def test_no_comment_of_an_attribute_is_torn_at_a_colon(site: Path) -> None:
    """Sphinx takes what stands before a colon for a type, and prints it last."""
    page = (site / "book/reference/api.html").read_text("utf-8")
    assert '<dt class="sig sig-object py"' in page and ">Type<span" not in page


def test_works_linked_in_chapters_are_in_the_bibliography() -> None:
    known = (ROOT / "book/reference/references.bib").read_text("utf-8")
    for name in NOTEBOOKS:
        text = (ROOT / f"{name}.ipynb").read_text("utf-8")
        works = set(re.findall(r"arxiv\.org/abs/(\d{4}\.\d{5})", text))
        assert not {work for work in works if work not in known}, name


def test_chapter_numbers_come_from_the_file_names(site: Path) -> None:
    for name in NOTEBOOKS:
        number = int(name.split("/")[-1][:2])
        text = (site / f"{name}.html").read_text("utf-8")
        assert f'<h1><span class="section-number">{number}. </span>' in text, name


# What the browser says

MEASURE = r"""() => {
  const article = document.querySelector('article');
  const text = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  const raw = [];
  while (text.nextNode()) {
    const node = text.currentNode;
    if (node.parentElement.closest('pre, code, script, style, math')) continue;
    if (/\\\(|\\\[|\$[^$\s][^$]*\$/.test(node.data)) raw.push(node.data.trim());
  }
  const images = [...document.images];
  return {
    raw,
    maths: article.querySelectorAll('.math').length,
    typeset: [...article.querySelectorAll('.math > math')].filter(m => m.childElementCount).length,
    broken: images.filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
    unnamed: images.filter(i => {
      const alt = (i.getAttribute('alt') || '').trim();
      return !alt || /\.(png|svg|jpe?g)$|^_images|^output_/i.test(alt);
    }).map(i => i.src + ' alt=' + i.alt),
    undrawn: [...document.querySelectorAll('[class*="fa-"]')].filter(icon =>
      !getComputedStyle(icon).getPropertyValue('--icon')
    ).map(icon => icon.className),
    drawings_unnamed: [...article.querySelectorAll('svg')].filter(s =>
      !s.closest('[aria-hidden=true], button') && !s.matches('[aria-label], [aria-labelledby]')
    ).map(s => s.outerHTML.slice(0, 80)),
  };
}"""

# Those that are far down, and those of the other theme.
LOAD_ALL = """() => Promise.all([...document.images].map(image => {
  image.loading = "eager";
  return image.decode().catch(() => {});  // the broken ones are counted later
}))"""

TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(e => e.tagName + '.' + e.className);
}"""


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_clean(name: str, page: Any, address: str) -> None:
    complaints: list[str] = []

    def complain_if(condition: bool, text: str) -> None:
        if condition:
            complaints.append(text)

    def is_local(url: str) -> bool:
        return url.startswith((address, "data:", "blob:"))

    page.on("console", lambda message: complain_if(message.type == "error", message.text))
    page.on("pageerror", lambda error: complain_if(True, str(error)))
    page.on("requestfailed", lambda request: complain_if(True, f"failed: {request.url}"))
    page.on("response", lambda r: complain_if(r.status >= 400, f"{r.status}: {r.url}"))
    page.on("request", lambda r: complain_if(not is_local(r.url), f"leaves the site: {r.url}"))
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    page.evaluate(LOAD_ALL)
    seen = page.evaluate(MEASURE)
    assert not complaints
    assert not seen["broken"]
    assert not seen["unnamed"]
    assert not seen["drawings_unnamed"]
    assert not seen["undrawn"]  # an icon that book/_static/icons.css lacks
    assert not seen["raw"]
    assert seen["typeset"] == seen["maths"]

    for width in (820, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate(TOO_WIDE) == []


def test_search_finds_a_term(page: Any, address: str) -> None:
    page.goto(f"{address}/search.html?q=receptive")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    assert any("glossary" in link or "receptive_field" in link for link in found), found


CONTRAST = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const result = {};
  for (const selector of ['article p', 'article h2', 'article p a', 'article pre', 'summary',
                          'article pre span', 'article td']) {
    for (const element of document.querySelectorAll(selector)) {
      const style = getComputedStyle(element);
      const pair = [light(parse(style.color)), light(ground(element))].sort((a, b) => b - a);
      const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
      result[selector] = Math.min(result[selector] ?? 21, ratio);
    }
  }
  return result;
}"""


@pytest.mark.parametrize("name", [PAGES[0], *NOTEBOOKS[:1], "book/reference/api"])
def test_both_themes_are_legible(name: str, page: Any, address: str) -> None:
    page.goto(f"{address}/{name}.html")
    page.add_style_tag(content="* { transition: none !important; }")  # or colours fade in
    grounds = {}
    for _ in range(3):  # the button goes round light, dark and the system's choice
        theme = page.evaluate("document.documentElement.dataset.theme")
        grounds[theme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        ratios = page.evaluate(CONTRAST)
        assert min(ratios.values()) >= 4.5, (theme, ratios)
        page.locator(".theme-switch-button:visible").first.click()
    assert grounds.keys() == {"light", "dark"}
    assert grounds["light"] != grounds["dark"]


def test_page_prints_light_open_and_alone(page: Any, address: str) -> None:
    """What a reader who prints one page gets, also from a dark screen."""
    page.emulate_media(color_scheme="dark")
    page.goto(f"{address}/{NOTEBOOKS[1]}.html")
    hint = page.locator("details:not(.hide, .guess) > :not(summary)").first
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert not hint.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert hint.is_visible()
    assert page.locator("article h1").is_visible()
    for screen in (".bd-sidebar-primary", ".bd-header-article", "details.hide", ".headerlink"):
        assert not page.locator(screen).first.is_visible(), screen
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("width", [1280, 390])
def test_figure_of_the_receptive_field_answers_the_keyboard(
    width: int, page: Any, address: str
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{address}/book/03_chains.html", wait_until="networkidle")
    figure = page.locator(".live-field").first
    slider, output = figure.locator('input[type="range"]').first, figure.locator("output").first
    slider.focus(timeout=5_000)
    page.keyboard.press("Home")
    texts = [output.inner_text()]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        texts.append(output.inner_text())
    assert len(set(texts)) == 4, texts


@pytest.mark.parametrize("name", [PAGES[0], "book/01_paper"])
def test_network_loads_when_asked_for_and_says_if_it_cannot(
    name: str, page: Any, address: str, site: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/networks/" in r.url else None)
    page.goto(f"{address}/{name}.html", wait_until="networkidle")
    figure = page.locator(".live-at_work").first
    assert not asked
    page.route("**/networks/*", lambda route: route.fulfill(status=404))
    figure.get_by_role("button").press("Enter")
    figure.get_by_role("alert").wait_for()
    assert "The weights didn’t load: the site doesn’t answer (404)." in figure.inner_text()
    page.unroute("**/networks/*")
    figure.get_by_role("button", name="Try again").press("Enter")
    figure.locator(".work-bars tr").first.wait_for()
    assert figure.get_by_role("alert").is_hidden()
    assert "It says: cat" in figure.inner_text()
    assert [url.removeprefix(address) for url in asked] == [asked[0].removeprefix(address)] * 2
    for option in figure.locator("option").all():  # all that can be chosen are there
        assert (site / f"_static/networks/{option.get_attribute('value')}.npz").is_file()


# Figures (tests/test_figures.py says what is in them)

SHOWN = """() => [...document.querySelectorAll("article img")]
  .filter(image => image.checkVisibility()).map(image => new URL(image.src).pathname)"""


def figures(site: Path, name: str) -> list[dict[str, str]]:
    """Return what the tags of a page's images say, but of those that are written into the page."""
    article = (site / f"{name}.html").read_text("utf-8").partition("<article")[2]
    tags = re.findall(r"<img ([^>]*)>", article.partition("</article>")[0])
    found = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in tags]
    return [tag for tag in found if not tag.get("src", "data:").startswith("data:")]


@pytest.mark.parametrize("name", [*NOTEBOOKS, "book/reference/results"])
def test_figures_are_light_in_either_theme(name: str, site: Path) -> None:
    tags = figures(site, name)
    sides = {side: [t for t in tags if f"on-{side}" in t["class"]] for side in ("light", "dark")}
    assert len(sides["light"]) == len(sides["dark"]) == len(tags) / 2 > 0
    for tag in tags:
        assert tag["loading"] == "lazy" and tag["decoding"] == "async"
        assert int(tag["width"]) > 500 and int(tag["height"]) > 40  # so that no text jumps
    for pair in zip(*sides.values(), strict=True):
        for key in ("alt", "width", "height"):
            assert pair[0][key] == pair[1][key]
    for shown in sides.values():
        files = [(site / name).parent / tag["src"] for tag in shown]
        assert sum(file.stat().st_size for file in files) < 300_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_fetches_and_shows_the_figures_of_its_theme(
    theme: str, page: Any, address: str, site: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.emulate_media(color_scheme=theme)
    page.goto(f"{address}/book/03_chains.html", wait_until="networkidle")
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    of_theme = [t for t in figures(site, "book/03_chains") if f"on-{theme}" in t["class"]]
    names = [Path(tag["src"]).name for tag in of_theme]
    assert [Path(path).name for path in page.evaluate(SHOWN)] == names
    # What is far down waits.
    fetched = {Path(path).name for path in asked if "/_images/" in path}
    assert names[0] in fetched and fetched < set(names)
    for image in page.locator(f"img.on-{theme}").all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.complete || new Promise(done => image.onload = done)")
    assert {Path(path).name for path in asked if "/_images/" in path} == set(names)
    # A screen reader meets one of two.
    alts = [tag["alt"] for tag in of_theme]
    assert page.get_by_role("img", name=unescape(alts[0]), exact=True).count() == 1
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[theme]
    styles = "e => [getComputedStyle(e).filter, getComputedStyle(e).padding]"
    assert page.locator(f"img.on-{theme}").first.evaluate(styles) == ["none", "0px"]
    page.emulate_media(media="print", color_scheme=theme)
    assert all("light" in path for path in page.evaluate(SHOWN))

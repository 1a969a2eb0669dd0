"""What the built site weighs, what axe and Lighthouse find on it, and how it does without a mouse.

axe looks at every page, wide and as on a phone, in both themes, and at the live figures after they
have been used. That takes minutes, so all but a few pages are left to the slow tests, and so is
Lighthouse. How fast pages load is measured by tools/lighthouse.py.
"""

from __future__ import annotations

import gzip
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from site_files import NOTEBOOKS, PAGES, ROOT

sys.path.insert(0, str(ROOT / "tools"))
import lighthouse

ALL = [*PAGES, "search"]
# The front page, one with all that a lesson has, and those of another form.
SOME = [PAGES[0], "book/03_chains", "book/reference/bibliography", "search"]
CASES = [pytest.param(n, marks=[] if n in SOME else pytest.mark.slow) for n in ALL]

# Weight


LIMIT, LIMIT_OF_FIGURES = 250_000, 300_000  # bytes, as a host sends them
FIGURES = """() => [...document.querySelectorAll("article img")]
  .map(image => [new URL(image.src), image.checkVisibility()])
  .filter(([url]) => url.protocol === "http:").map(([url, shown]) => [url.pathname, shown])"""


def weight(site: Path, path: str) -> int:
    """Return the bytes of a file as a host sends it, text compressed."""
    content = (site / unquote(path).lstrip("/")).read_bytes()
    return min(len(content), len(gzip.compress(content)))


@pytest.mark.parametrize("name", ALL)
def test_page_and_its_figures_are_light(name: str, page: Any, address: str, site: Path) -> None:
    """What a page loads by itself counts, to its end; weights come only when asked for."""
    loaded: set[str] = set()
    page.on("request", lambda request: loaded.add(urlsplit(request.url).path))
    page.goto(f"{address}/{name}.html", wait_until="load")
    page.evaluate("document.fonts.ready")
    figures = page.evaluate(FIGURES)
    files = loaded - {path for path, _ in figures}
    sizes = {path: weight(site, path) for path in files if (site / path.lstrip("/")).is_file()}
    assert f"/{name}.html" in sizes
    assert sum(sizes.values()) < LIMIT, sorted(sizes.items(), key=lambda item: -item[1])
    shown = {path: weight(site, path) for path, visible in figures if visible}
    assert bool(shown) == (name in [*NOTEBOOKS, "book/reference/results"])
    assert sum(shown.values()) < LIMIT_OF_FIGURES, shown


# axe

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
# Two of the experimental rules are wrong here. td-has-header asks for headers in the small grids of
# pixels and weights of lesson 2's figure, which have none. focus-order-semantics forbids the tab
# stop at a wide table that another rule, scrollable-region-focusable, asks for.
RUN_AXE = """async ([scope, only]) => {
  const wrong = ["td-has-header", "focus-order-semantics"];
  const rules = axe.getRules(["experimental"]).map(({ruleId}) =>
    [ruleId, {enabled: !wrong.includes(ruleId)}]);
  const options = {resultTypes: ["violations"], rules: Object.fromEntries(rules)};
  if (only.length) Object.assign(options, {runOnly: only, rules: {}});
  const found = await axe.run(scope, options);
  return found.violations.flatMap(({id, impact, nodes}) => nodes.map(node =>
    `${id} (${impact}) ${node.target.flat().join(" ")}: ${node.any.concat(node.all, node.none)
      .map(check => check.message).join("; ")}`));
}"""
OF_COLOURS = ["color-contrast", "link-in-text-block"]  # all that another theme can change
# Of the thousands of pieces of code alike, one of each kind says what axe can say.
THIN_OUT = """() => {
  const seen = new Set();
  for (const piece of document.querySelectorAll("pre span, dt.sig span")) {
    const kind = piece.className + " in " + piece.closest("pre, dt").parentElement.className;
    if (seen.has(kind)) piece.replaceWith(...piece.childNodes);
    seen.add(kind);
  }
}"""
STILL = "*, ::before, ::after { transition: none !important; animation: none !important; }"


def violations(page: Any, scope: str = "html", only: list[str] | None = None) -> list[str]:
    """Return what axe finds within a scope, by all its rules, experimental ones too, or by some."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN_AXE, [scope, only or []])
    return found


def in_both_themes(page: Any, scope: str = "html") -> list[str]:
    found = violations(page, scope)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    return found + [f"dark: {line}" for line in violations(page, scope, OF_COLOURS)]


def load(page: Any, url: str) -> None:
    """Open a page with every fold open, and wait until the theme has set its tab stops."""
    page.goto(url, wait_until="load")
    page.add_style_tag(content=STILL)  # or colours are caught while they fade
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    page.evaluate(THIN_OUT)
    page.wait_for_timeout(500)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", CASES)
def test_axe_finds_nothing(name: str, width: int, page: Any, address: str) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    load(page, f"{address}/{name}.html")
    assert in_both_themes(page) == []


READY = """figure => [...figure.querySelectorAll("button, input, select")].some(element =>
  element.checkVisibility() && !element.disabled)"""
USE = """() => {
  const tell = (element, ...kinds) =>
    kinds.forEach(kind => element.dispatchEvent(new Event(kind, {bubbles: true})));
  let used = 0;
  for (const figure of document.querySelectorAll(".live")) {
    const each = (selector, use) => figure.querySelectorAll(selector).forEach(element => {
      if (element.checkVisibility() && !element.disabled) { use(element); used += 1; }
    });
    each("button", button => button.click());
    each("input[type=checkbox], input[type=radio]", choice => choice.click());
    each("input[type=range]", slider => {
      slider.value = slider.max;
      tell(slider, "input", "change");
    });
    each("select", select => {
      select.selectedIndex = select.options.length - 1;
      tell(select, "input", "change");
    });
  }
  return used;
}"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", [n for n in CASES if n.values[0] in [PAGES[0], *NOTEBOOKS]])
def test_axe_finds_nothing_on_used_figures(name: str, width: int, page: Any, address: str) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    load(page, f"{address}/{name}.html")
    if not page.locator(".live").count():
        assert name not in SOME
        pytest.skip("no live figure here")
    for figure in page.locator(".live").all():  # they begin as they come into sight
        figure.scroll_into_view_if_needed()
        page.wait_for_function(READY, arg=figure.element_handle())
    for _ in range(2):  # once more, for what has come with the first
        assert page.evaluate(USE) > 0
        page.wait_for_timeout(500)
        for figure in page.locator(".live").all():
            page.wait_for_function(READY, arg=figure.element_handle())
    assert in_both_themes(page, ".live") == []


def test_axe_would_find_something(page: Any) -> None:
    page.set_content("<html><body><img src='data:,'><p style='color: #bbb'>Pale</p></body></html>")
    found = {line.split()[0] for line in violations(page)}
    assert {"image-alt", "color-contrast", "html-has-lang", "region"} <= found


# Lighthouse


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_lighthouse_gives_100(name: str, address: str) -> None:
    if lighthouse.find_npx() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lighthouse.NO_NODE)
    found = lighthouse.report(f"{address}/{name}.html", ["accessibility", "best-practices", "seo"])
    assert set(lighthouse.scores(found).values()) == {100}, lighthouse.complaints(found)


# The longest page, of which only what is near is laid out


@pytest.mark.parametrize("name", ["vgg_utils.receptive_field.receptive_field", "vgg_utils.inside"])
def test_link_into_the_longest_page_leads_there(name: str, page: Any, address: str) -> None:
    anchor = name if "." in name.removeprefix("vgg_utils.") else f"module-{name}"
    page.goto(f"{address}/book/reference/api.html#{anchor}", wait_until="load")
    page.wait_for_timeout(500)  # what comes near gets its size
    top = page.evaluate("id => document.getElementById(id).getBoundingClientRect().top", anchor)
    assert 0 <= top < 150
    waiting = page.evaluate("""() => [...document.querySelectorAll("article dl.py")].filter(entry =>
      !entry.firstElementChild.checkVisibility({contentVisibilityAuto: true})).length""")
    assert waiting > 100


# Without a mouse, without motion, without scripts


@pytest.mark.parametrize("width", [1280, 390])
def test_first_tab_stop_leads_to_the_text(width: int, page: Any, address: str) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{address}/book/03_chains.html")
    link = page.locator("#pst-skip-link a")
    page.keyboard.press("Tab")
    assert link.evaluate("link => link === document.activeElement")
    page.wait_for_timeout(300)  # it slides in
    box = link.bounding_box()
    assert box["y"] >= 0 and box["height"] > 10
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("side", ["primary", "secondary"])
def test_sidebar_opens_and_closes_by_keys_on_a_phone(side: str, page: Any, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/book/03_chains.html", wait_until="load")
    page.add_style_tag(content=STILL)
    button, dialog = page.locator(f"main .{side}-toggle"), f"#pst-{side}-sidebar-modal"
    button.focus()
    page.keyboard.press("Enter")
    page.locator(dialog).wait_for()
    assert page.evaluate(f"document.querySelector('{dialog}').contains(document.activeElement)")
    assert violations(page, dialog) == []
    page.keyboard.press("Escape")
    page.locator(dialog).wait_for(state="hidden")
    assert button.evaluate("button => button === document.activeElement")


def test_sidebar_folds_away_on_a_desk(page: Any, address: str) -> None:
    page.goto(f"{address}/book/03_chains.html", wait_until="load")
    page.add_style_tag(content=STILL)
    sidebar = page.locator("#pst-primary-sidebar")
    assert sidebar.is_visible()
    for shown in (False, True):
        page.locator("main .primary-toggle").press("Enter")
        sidebar.wait_for(state="visible" if shown else "hidden")


def test_nothing_moves_where_less_motion_is_wanted(page: Any, address: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{address}/book/03_chains.html", wait_until="load")
    moving = page.evaluate("""() => [...document.querySelectorAll("*")].filter(element => {
      const style = getComputedStyle(element);
      const lasts = duration => duration.split(", ").some(time => parseFloat(time) > 0);
      return lasts(style.transitionDuration) || style.scrollBehavior === "smooth"
        || (style.animationName !== "none" && lasts(style.animationDuration));
    }).map(element => element.outerHTML.slice(0, 80))""")
    assert moving == []


def test_page_is_whole_without_scripts(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{address}/book/03_chains.html")
    assert page.locator("article math").first.bounding_box()["width"] > 5
    live = page.locator(".live").first
    assert live.locator(".live-static").is_visible()
    assert not live.locator(".live-body").is_visible()
    assert not page.locator("button.search-button__button").first.is_visible()  # it needs a script
    fold = page.locator("article details").first
    fold.locator("summary").click()
    assert fold.locator("> :not(summary)").first.is_visible()
    page.locator("article img").first.scroll_into_view_if_needed()
    page.locator(".prev-next-area a.right-next").click()
    assert page.url.endswith("/book/04_configs.html")
    context.close()

"""The built site as it's found, shared and searched, and what its front page shows."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
import yaml  # type: ignore[import-untyped]
from PIL import Image
from site_files import NOTEBOOKS, PAGES, ROOT

from vgg_utils.images import read_image
from vgg_utils.pictures import picture, thumbnails
from vgg_utils.receptive_field import receptive_field
from vgg_utils.trained import load_trained

sys.path.insert(0, str(ROOT / "tools"))

import lessons
import social
from address import read_setting

REPOSITORY = read_setting(ROOT)[0]


# What a page's head says


def read_head(site: Path, page: str) -> dict[str, list[str]]:
    """Return what the tags in a page's head hold, by name, and "canonical" and "base"."""
    head = (site / f"{page}.html").read_text("utf-8").partition("</head>")[0]
    found: dict[str, list[str]] = {}
    for attributes in re.findall("<meta ([^>]+)>", head):
        values = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
        name = values.get("name") or values.get("property") or ""
        found.setdefault(name, []).append(values.get("content", ""))
    found["canonical"] = re.findall(r'<link rel="canonical" href="([^"]+)"', head)
    found["base"] = re.findall(r'<base href="([^"]+)"', head)
    return found


def lacks(site: Path, repository: str) -> list[str]:
    """Return what a site lacks of its addresses, or says of them while it has none."""
    placeholder = repository.startswith("OWNER/")
    owner, name = repository.split("/")
    published = f"https://{owner}.github.io/{name}/"
    found = []
    for page in PAGES:
        head = read_head(site, page)
        own = [] if placeholder else [f"{published}{page}.html"]
        if head["canonical"] != own or head.get("og:url", []) != own:
            found.append(f"{page} calls itself {head['canonical']} and {head.get('og:url')}")
        pictures = head.get("og:image", [])
        if len(pictures) != len(own):
            found.append(f"{page} names the pictures {pictures}")
        for address in pictures:
            file = site / address.removeprefix(published)
            if not address.startswith(published) or not file.is_file():
                found.append(f"{page} has no picture {address}")
    listed = site / "sitemap.xml"
    text = listed.read_text("utf-8") if listed.exists() else ""
    wanted = [] if placeholder else sorted(f"{published}{page}.html" for page in PAGES)
    if sorted(re.findall("<loc>(.+?)</loc>", text)) != wanted:
        found.append(f"the sitemap lists other pages than the book has: {text}")
    robots = site / "robots.txt"
    if not placeholder and f"Sitemap: {published}sitemap.xml" not in robots.read_text("utf-8"):
        found.append("robots.txt names no sitemap")
    if read_head(site, "404")["base"] != ["/" if placeholder else f"/{name}/"]:
        found.append("the page for what isn't found counts its addresses from elsewhere")
    return found


def test_every_page_is_described_in_its_own_words(site: Path) -> None:
    heads = {page: read_head(site, page) for page in PAGES}
    for page, head in heads.items():
        (says,) = head["description"]
        assert 40 <= len(says) <= 220, (page, says)
        assert says[-1] in ".?!" and says == says.strip()
        assert head["og:description"] == [says]
        title = re.search("(?m)^# (.+?)(?:\\\\n|$)", source(page))
        assert title and plain(head["og:title"][0]) == plain(title[1]), page
        assert head["og:site_name"] == ["VGGNet, read and rebuilt"]
    heads["search"] = read_head(site, "search")
    assert len({head["description"][0] for head in heads.values()}) == len(PAGES) + 1


def source(page: str) -> str:
    """Return a page's text, of a notebook its first cell."""
    if page in NOTEBOOKS:
        return str(lessons.load_notebook(ROOT / f"{page}.ipynb").cells[0].source)
    return (ROOT / f"{page}.md").read_text("utf-8")


def plain(text: str) -> str:
    return re.sub("[\u2018\u2019']", "'", text.replace("&#x27;", "'").replace("`", ""))


def test_addresses_are_named_once_there_are_any(site: Path) -> None:
    assert lacks(site, REPOSITORY) == []


def test_icons_are_there(site: Path) -> None:
    text = (site / f"{PAGES[1]}.html").read_text("utf-8")
    icons = re.findall(r'<link rel="(?:icon|apple-touch-icon)"[^>]* href="([^"]+)"', text)
    assert len(icons) == 3
    for icon in icons:
        assert (site / "book" / icon).is_file(), icon
    assert Image.open(site / "_static/apple-touch-icon.png").size == (180, 180)


def test_every_lesson_has_its_own_picture_to_be_shared_with(site: Path) -> None:
    folder = site / "_static" / "social"
    names = [*(page.removeprefix("book/") for page in NOTEBOOKS), "book"]
    assert {file.stem for file in folder.iterdir()} == set(names)
    for name in names:
        with Image.open(folder / f"{name}.png") as card:
            assert card.size == (1200, 630)
            grey = card.convert("L")
        left, right = (grey.crop((x, 0, x + 500, 630)) for x in (40, 640))
        assert left.getextrema()[0] < 60 < 250 <= left.getextrema()[1], "no title on white"
        assert right.getextrema()[0] < 100 and right.getextrema()[1] >= 250, "no figure"
    files = [(folder / f"{name}.png").read_bytes() for name in names]
    assert len(set(files)) == len(names)
    assert max(map(len, files)) < 300_000


def test_picture_is_the_same_each_time_and_holds_a_long_title(tmp_path: Path) -> None:
    for file in ("one.png", "two.png"):
        title = "Carry an unreasonably long title over " * 2
        notebook = ROOT / f"{NOTEBOOKS[0]}.ipynb"
        social.draw_card(tmp_path / file, title, ["Lesson 17 of 16"], notebook)
    one = (tmp_path / "one.png").read_bytes()
    assert one == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as card:  # nothing runs over the edges
        edges = [(12, 0, 1200, 20), (12, 610, 1200, 630), (1180, 0, 1200, 630)]
        assert min(card.convert("L").crop(edge).getextrema()[0] for edge in edges) >= 250


def test_notebook_without_a_figure_is_named(tmp_path: Path) -> None:
    file = tmp_path / "17_bare.ipynb"
    file.write_text('{"cells": [{"cell_type": "code", "outputs": []}]}', "utf-8")
    with pytest.raises(ValueError, match=r"17_bare\.ipynb has no figure"):
        social.first_figure(file)


# Where the reader is


def test_lesson_says_which_it_is_and_what_comes_before_and_after(site: Path) -> None:
    times = json.loads((ROOT / "vgg_utils" / "lessons.json").read_text("utf-8"))
    for at, page in enumerate(NOTEBOOKS):
        html = (site / f"{page}.html").read_text("utf-8")
        (line,) = re.findall('<p class="lesson-line">(.+?)</p>', html)
        assert re.search(r"Lesson\xa0\d+\xa0of\xa0\d+\xa0· \d+\xa0minutes", line)
        line = line.replace("\xa0", " ")
        minutes = lessons.load(lessons.load_notebook(ROOT / f"{page}.ipynb")).minutes
        seconds = times[page.removeprefix("book/")]["seconds"]
        number = int(page.removeprefix("book/")[:2])
        begin = f"Lesson {number} of {len(NOTEBOOKS)} · {minutes} minutes to study · runs in "
        assert line.startswith(f"{begin}{seconds} s · "), line
        assert line.count("minutes to study") == 1
        assert f"--done: {100 * (at + 1) / len(NOTEBOOKS):.1f}%" in html
        for side, other in (("left-prev", at - 1), ("right-next", at + 1)):
            if 0 <= other < len(NOTEBOOKS):
                link = re.search(rf'(?s)<a class="{side}"\s+href="([^"]+)".+?</a>', html)
                assert link and link[1] == f"{NOTEBOOKS[other].removeprefix('book/')}.html"
                title = source(NOTEBOOKS[other]).splitlines()[0].removeprefix("# ")
                assert plain(title) in plain(re.sub("<[^>]+>", "", link[0]))


# The front page


def front_page(page: Any, address: str, width: int, height: int) -> dict[str, Any]:
    """Return the boxes of what the first screen has to show."""
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{address}/{PAGES[0]}.html", wait_until="networkidle")
    parts = {"says": "article h1 + p", "time": ".time", "figure": ".live-at_work"}
    boxes = {name: page.locator(selector).bounding_box() for name, selector in parts.items()}
    ways = [way.bounding_box() for way in page.locator(".ways > .way").all()]
    links = page.locator(".ways > .way").evaluate_all(
        "ways => ways.map(w => !!w.querySelector('a'))"
    )
    assert links == [True] * 3
    return boxes | {"ways": ways}


def bottom(box: dict[str, float]) -> float:
    return box["y"] + box["height"]


def test_first_screen_shows_what_this_is(page: Any, address: str) -> None:
    boxes = front_page(page, address, 1440, 900)
    shown = [boxes["says"], boxes["time"], boxes["figure"], *boxes["ways"]]
    assert max(map(bottom, shown)) <= 900
    assert len(page.locator("article h1 + p").inner_text().split()) <= 45
    figure = page.locator(".live-at_work")
    assert "Run it here" in figure.inner_text() and "cat" in figure.inner_text()

    boxes = front_page(page, address, 390, 844)  # the network first; the ways follow it
    assert bottom(boxes["says"]) < boxes["figure"]["y"] < 844 - 500
    assert bottom(boxes["figure"]) < boxes["ways"][0]["y"] < 2 * 844


def test_front_page_says_how_long_the_book_takes(page: Any, address: str) -> None:
    found = [lessons.load(lessons.load_notebook(ROOT / f"{page}.ipynb")) for page in NOTEBOOKS]
    minutes = [each.minutes for each in found]
    page.goto(f"{address}/{PAGES[0]}.html")
    says = [int(number) for number in re.findall(r"\d+", page.locator(".time").inner_text())]
    assert says[:3] == [len(NOTEBOOKS), min(minutes), max(minutes)]
    assert abs(60 * says[3] - sum(minutes)) <= 30


def test_front_page_is_right_about_shallow_and_deep_maps() -> None:
    """Of the eight brightest maps, two pictures share most in the first layer, few in the last."""
    trained, small = load_trained("A"), thumbnails()
    shown = [read_image(picture(name)) for name in ("cat", "coffee")]
    shown += [small.images[4 * small.classes.index(name)] for name in ("bird", "ship", "truck")]
    x = torch.stack([trained.preprocess(image) for image in shown])
    brightest = []
    for layer in trained.model.features:
        x = layer(x)
        found = x.flatten(2).amax(2).topk(8).indices.tolist()
        brightest.append([set(maps) for maps in found])
    pairs = [(a, b) for a in range(len(shown)) for b in range(a)]
    shared = [sum(len(maps[a] & maps[b]) for a, b in pairs) / len(pairs) for maps in brightest]
    assert shared[1] > 4  # after the first ReLU
    assert shared[-1] < 2


def test_steps_of_the_front_page_lead_where_they_say(page: Any, address: str) -> None:
    page.goto(f"{address}/{PAGES[0]}.html", wait_until="networkidle")
    figure = page.locator(".live-at_work")
    figure.locator(".work-wake").click()
    figure.locator(".work-bars tr").first.wait_for()
    caption = page.locator(".live-at_work + p")
    assert caption.is_hidden()  # it's about what stood there before
    slider, says = figure.locator(".work-layer"), figure.locator(".live-says")
    slider.press("Home")
    assert "this unit sees 3x3 pixels" in says.inner_text()
    while not says.inner_text().startswith("conv3_1"):
        slider.press("ArrowRight")
    card = json.loads((ROOT / "vgg_utils" / "records" / "networks.json").read_text("utf-8"))
    first = next(iter(card["networks"].values()))  # the network that it begins with
    rows = {row.name: row for row in receptive_field(first["config"])}
    side = rows["conv3_1"].receptive_field
    assert f"this unit sees {side}x{side} pixels" in says.inner_text()
    slider.press("End")
    assert "map of" not in says.inner_text()
    assert "128 maps of 1x1" in (slider.get_attribute("aria-valuetext") or "")
    box = figure.locator(".work-seen .work-field").bounding_box()
    whole = figure.locator(".work-seen .live-pane").bounding_box()
    assert box["width"] >= whole["width"] - 1 and box["height"] >= whole["height"] - 1


# An address that is none


def test_page_not_found_works_at_any_depth(page: Any, site: Path) -> None:
    (base,) = read_head(site, "404")["base"]
    missing: list[str] = []

    def answer(route: Any) -> None:
        path = unquote(urlsplit(route.request.url).path)
        file = site / path.removeprefix(base)
        if path.startswith(base) and file.is_file():
            route.fulfill(path=file)
            return
        missing.append(path)
        route.fulfill(path=site / "404.html", status=404)

    page.route("**/*", answer)
    for path in ("gone.html", "book/reference/deep/er/gone.html"):
        missing.clear()
        page.goto(f"http://book.test{base}{path}", wait_until="networkidle")
        assert page.locator("article h1").inner_text() == "Page not found"
        assert missing == [f"{base}{path}"]  # styles, scripts and pictures are there
        page.locator("article").get_by_role("link", name="front page").click()
        assert page.locator("article h1").inner_text().startswith("VGGNet, read and rebuilt")
        page.go_back()
        page.locator("article input[type=search]").fill("stuck")
        page.locator("article input[type=search]").press("Enter")
        page.wait_for_selector("#search-results li a")


# Search

WORDS = {  # what readers type, and the page that helps
    "pretrained": "11_transfer",
    "2.303": "05_initialisation",
    "receptive field": "02_receptive_field",
    "my own images": "11_transfer",
    "fine-tune": "11_transfer",
    "out of memory": "14_scaling",
    "stuck": "05_initialisation",
    "style transfer": "13_perception",
    "Colab": "anywhere",
    "colab": "anywhere",
}


def results(page: Any, address: str, word: str) -> list[str]:
    """Type a word into the search page's field, and return the first three addresses."""
    page.goto(f"{address}/search.html")
    field = page.locator("article input[type=search], .bd-search-container input").first
    field.fill(word)
    field.press("Enter")
    summary = "document.querySelector('#search-results .search-summary')?.textContent"
    page.wait_for_function(f"/finished|did not match/.test({summary})", timeout=20_000)
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    return [link.removeprefix(f"{address}/") for link in found[:3]]


def test_search_leads_to_the_place_that_helps(page: Any, address: str) -> None:
    first = {}
    for word, helps in WORDS.items():
        found = results(page, address, word)
        names = [re.sub(r".*/|\.html.*", "", link) for link in found]
        assert helps in names, (word, found)
        first[word] = names[0] == helps
    assert sum(first.values()) >= len(WORDS) - 1, first


def test_search_finds_a_number_that_only_a_text_has(page: Any, address: str) -> None:
    assert "book/15_fast_cifar10.html" in results(page, address, "3.29")


def test_words_entered_for_the_search_lead_where_they_say(page: Any, address: str) -> None:
    entered = yaml.safe_load((ROOT / "book" / "search.yml").read_text("utf-8"))
    assert {word.lower() for word in WORDS} <= entered.keys()
    for word, places in entered.items():
        found = results(page, address, word)
        for place in places:
            where, mark, anchor = place.partition("#")
            assert f"{where}.html{mark}{anchor}" in found, (word, found)

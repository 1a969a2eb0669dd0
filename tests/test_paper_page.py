"""The audit of the paper: what the page says is what the record holds."""

import json
import re
import sys
from pathlib import Path

import pytest

from vgg_utils.records import load_record

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import paper_page  # noqa: E402

PAPER = load_record("paper")
TEXT = paper_page.PAGE.read_text(encoding="utf-8")


def part(name: str) -> str:
    """Return what stands between two marks."""
    return TEXT.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- end of {name} -->")[0]


def cells(name: str) -> list[list[str]]:
    """Return the rows of a table, without its heads."""
    lines = part(name).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_tables_are_those_of_the_record():
    """If this fails: python tools/paper_page.py"""
    assert paper_page.with_tables(TEXT) == TEXT


def test_an_altered_figure_is_noticed():
    altered = TEXT.replace("| E | 256 | 256 | 27.3 |", "| E | 256 | 256 | 27.2 |")
    assert altered != TEXT
    assert paper_page.with_tables(altered) == TEXT


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7])
def test_table_has_every_row_and_error_of_the_paper_in_order(number):
    rows = PAPER[f"table{number}"]["rows"]
    keys = [key for key in ("top1_val", "top5_val", "top5_test") if key in rows[0]]
    printed = [
        [cell.strip("*") for cell in line[-len(keys) :]] for line in cells(f"table {number}")
    ]
    wanted = [["–" if row[key] is None else str(row[key]) for key in keys] for row in rows]
    assert printed == wanted


def test_bold_is_the_paper_s():
    for number in (3, 4):
        rows = PAPER[f"table{number}"]["rows"]
        assert [row["bold"] for row in rows] == [
            line[-1].startswith("**") for line in cells(f"table {number}")
        ]


def test_table_1_has_every_layer():
    known = {row["config"]: row["weight_layers"] for row in PAPER["table1"]["rows"]}
    columns = list(zip(*cells("table 1"), strict=True))[1:]
    for (config, layers), column in zip(known.items(), columns, strict=True):
        assert "".join(column[:5]).count("conv") == layers - 3, config


def test_page_prints_the_record_word_for_word():
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", TEXT)
    points = PAPER["ambiguities"]
    printed = [item[key] for item in points for key in ("printed", "open", "where")]
    printed += [item["note"] for item in points if "note" in item]
    # As sentences, these begin with a capital letter.
    printed += [item[key][1:] for item in PAPER["misquotations"] for key in ("said", "paper")]
    printed += [item["change"] for item in PAPER["revisions"]["rows"] if item["change"]]
    printed += [item["remark"] for item in PAPER["remarks"]]
    assert [words for words in printed if words not in text] == []


def test_every_open_point_leads_to_its_lesson():
    assert list(paper_page.LESSONS) == [item["subject"] for item in PAPER["ambiguities"]]
    for stem in paper_page.LESSONS.values():
        assert (ROOT / "book" / f"{stem}.ipynb").exists()


def test_every_decimal_of_the_page_is_in_the_record_or_computed():
    made = "".join(part(name) for name in paper_page.MADE)
    places = r"(?:Sect|App)\.\s[A-C]?[\d.]+(?:(?:, | and )\d\.\d)*|arXiv:\d+\.\d+|abs/[\d.v]+"
    found = set(re.findall(r"(?<![\d.])\d+\.\d+", re.sub(places, "", TEXT)))
    known = set(re.findall(r"(?<![\d.])\d+\.\d+", json.dumps(PAPER) + made))
    assert found - known == set()


def test_pairs_of_errors_are_rows_of_a_table():
    rows = [row for number in (3, 4, 5, 6) for row in PAPER[f"table{number}"]["rows"]]
    pairs = {f"{row['top1_val']} / {row['top5_val']}" for row in rows}
    claims = TEXT.split("## Find each claim's evidence")[1].split("\n## ")[0]
    printed = set(re.findall(r"\d\d\.\d\s/\s\d+\.\d", claims))
    assert len(printed) >= 10 and {re.sub(r"\s", " ", pair) for pair in printed} <= pairs


def test_works_are_in_the_bibliography():
    known = (ROOT / "book/reference/references.bib").read_text(encoding="utf-8")
    assert all(f"{{{key}," in known for key in re.findall(r"\{cite:t\}`(\w+)`", TEXT))
    assert all(work in known for work in re.findall(r"arxiv\.org/abs/(\d{4}\.\d{5})", TEXT))

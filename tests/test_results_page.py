"""The page of results: what it says is what the records hold."""

import json
import random
import re
import statistics
import sys
from pathlib import Path

import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import claims  # noqa: E402
import results_page  # noqa: E402
from claims import CLAIMS, TOPICS  # noqa: E402
from experiments import EXPERIMENTS  # noqa: E402
from results_page import MARKS  # noqa: E402


@pytest.fixture
def records(tmp_path, monkeypatch):
    """A made-up record of every experiment that a claim looks at, with spread and effects."""
    draw = random.Random(0)
    measures = {}
    for claim in CLAIMS:
        for variant, measure in (claim.one, claim.other):
            measures.setdefault(claim.experiment, {}).setdefault(variant, set()).add(measure)
    for name, variants in measures.items():
        one, results = EXPERIMENTS[name], {}
        for variant, wanted in sorted(variants.items()):
            runs = []
            level = draw.uniform(14, 16)
            for seed in one.seeds:
                found = {m: level + draw.gauss(0, 0.3) for m in sorted(wanted)}
                if "started" in wanted:
                    found["started"] = int(variant != "D")
                runs.append({"seed": seed, "measures": found})
            results[variant] = {"runs": runs}
        record = {"settings": {"seeds": list(one.seeds)}, "question": one.question}
        record |= {"data": one.data, "seconds": 7200, "results": results}
        (tmp_path / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setattr(claims, "RECORDS", tmp_path)
    monkeypatch.setattr(results_page, "RECORDS", tmp_path)
    return tmp_path


def test_page_record_and_figure_are_those_of_the_records():
    """If this fails: python tools/results_page.py"""
    found = results_page.verdicts()
    assert results_page.VERDICTS.read_text(encoding="utf-8") == results_page.as_record(found)
    page = results_page.PAGE.read_text(encoding="utf-8")
    assert results_page.with_tables(page, found) == page
    assert results_page.digest(found) in results_page.FIGURE.read_text(encoding="utf-8")


def test_every_claim_has_one_row_under_a_question():
    found = results_page.verdicts()
    page = results_page.tables(found)
    assert {claim.topic for claim in CLAIMS} == set(TOPICS.values())
    for claim in CLAIMS:
        name = re.escape(f"**{claim.name}**" if claim.main else claim.name)
        assert len(re.findall(rf"^\| {name} \|", page, re.MULTILINE)) == 1
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    assert headings == list(TOPICS.values())


def test_row_gives_the_records_interval_in_percent_of_the_error(records):
    found = {one["claim"]: one for one in results_page.verdicts()}
    runs = json.loads((records / "depth_photographs.json").read_text())["results"]
    errors = {name: [run["measures"]["error"] for run in runs[name]["runs"]] for name in ("B", "D")}
    changes = [one - other for one, other in zip(errors["D"], errors["B"], strict=True)]
    low, high = stats.ttest_rel(errors["D"], errors["B"]).confidence_interval()
    base = statistics.mean(errors["B"])
    share, margin = 100 * statistics.mean(changes) / base, 50 * (high - low) / base
    row = next(
        line
        for line in results_page.tables(list(found.values())).splitlines()
        if line.startswith("| **D less B** |")
    )
    sign = "+" if share > 0 else "−"
    assert f"| {sign}{abs(share):.1f}% ±{margin:.1f} of {base:.1f} |" in row
    assert "−5.9% (28.7 to 27.0, Table 3)" in row


def test_open_claims_say_how_many_seeds_would_do_and_starts_are_counted(records):
    found = results_page.verdicts()
    for one in found:
        if one["verdict"] == "cannot tell" and one["kind"] != "count":
            assert re.fullmatch(r"some [\d,]+ seeds; (10|5) here", results_page.settles(one))
        elif one["verdict"] != "cannot tell":
            assert results_page.settles(one) == ""
    start = next(one for one in found if one["claim"] == "A starts, where D does not")
    assert results_page.here(start) == "6 of 6 seeds, the other way 0"
    assert start["verdict"] == "agrees" and start["all_at_once"] == "cannot tell"


def test_summary_counts_every_verdict_once(records):
    found = results_page.verdicts()
    said = results_page.summary(found)
    rows = re.findall(r"^\| \S+ ([^|]+) \| (\d+) \| (\d+) \| (\d+) \|$", said, re.MULTILINE)
    assert [row[0] for row in rows] == list(MARKS)
    for column, total in ((1, len(CLAIMS)), (2, sum(c.main for c in CLAIMS)), (3, len(CLAIMS))):
        assert sum(int(row[column]) for row in rows) == total
    decided = len(CLAIMS) - int(rows[-1][1])
    assert said.startswith(f"{decided} of {len(CLAIMS)} claims are decided at 95%")


def test_figure_has_a_row_for_every_interval_and_stands_still(records, tmp_path):
    found = results_page.verdicts()
    drawn = [row["claim"] for row in results_page.rows(found) if isinstance(row, dict)]
    assert sorted(drawn) == sorted(claim.name for claim in CLAIMS if claim.kind != "count")
    for name in ("one.svg", "other.svg"):
        results_page.save_figure(found, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()

"""Write the book's page of results from the records alone: every claim, and what was found.

    python tools/results_page.py

It writes the verdicts as a record of their own, vgg_utils/records/claims.json, which chapters read;
the tables in book/reference/results.md; and its figure beside it. A test compares all three.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import claims
import matplotlib.pyplot as plt
from claims import CLAIMS, LEVEL, RECORDS, TOPICS, Claim
from experiments import EXPERIMENTS
from marks import renewed
from matplotlib.transforms import blended_transform_factory

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, RED, beside, use_book_style

PAGE = claims.ROOT / "book" / "reference" / "results.md"
FIGURE = PAGE.with_name("results.svg")
VERDICTS = RECORDS / "claims.json"
LIMIT = 36  # percent: the figure's width; what lies beyond is written there
Found = dict[str, Any]

# What a verdict says, with its mark in the tables, and its look in the figure.
MARKS = {
    "agrees": ("✔", BLUE, "o"),
    "disagrees": ("✘", RED, "X"),
    "less than the paper's": ("≈", GREEN, "s"),
    "no difference": ("=", GREEN, "s"),
    "lower error": ("↓", BLUE, "v"),
    "higher error": ("↑", ORANGE, "^"),
    "cannot tell": ("?", GREY, "d"),
}


def verdicts() -> list[Found]:
    """Return what is known of each claim; those without a record have no verdict."""
    found = []
    for claim in CLAIMS:
        of_paper = {"errors": claim.published, "where": claim.where} if claim.where else None
        one: Found = {"topic": claim.topic, "claim": claim.name, "main": claim.main}
        one |= {"record": claim.experiment, "kind": claim.kind, "paper": of_paper}
        record = claims.read(RECORDS, claim.experiment)
        if record is not None:
            one |= _judged(claim, record)
        found.append(one)
    return found


def _judged(claim: Claim, record: Found) -> Found:
    changes, error = claims.changes_of(claim, record)
    found, wide = (claims.judge(claim, changes, error, at) for at in (LEVEL, claims.at_once()))
    judged: Found = {"seeds": len(changes), "error": error, "change": found.mean}
    judged |= {"verdict": found.word, "all_at_once": wide.word}
    if claim.paper_share is not None:
        judged["paper_share"] = claim.paper_share
    if claim.kind == "count":
        judged |= {"more": sum(c > 0 for c in changes), "fewer": sum(c < 0 for c in changes)}
    else:
        spread = statistics.stdev(changes)
        judged |= {"margin": found.margin, "sd": spread}
        if found.word == "cannot tell":
            judged["seeds_to_settle"] = claims.seeds_to_settle(claim, changes, error)
    return {key: round(x, 4) if isinstance(x, float) else x for key, x in judged.items()}


def percent(value: float) -> str:
    return f"{value:+.1f}%".replace("-", "−")


def paper_says(found: Found) -> str:
    paper = found["paper"]
    if not paper:
        return "–"
    if not paper["errors"]:
        return paper["where"]
    one, other = paper["errors"]
    return f"{percent(100 * (one - other) / other)} ({other:.1f} to {one:.1f}, {paper['where']})"


def here(found: Found) -> str:
    if found["kind"] == "count":
        return f"{found['more']} of {found['seeds']} seeds, the other way {found['fewer']}"
    share, margin = (100 * found[key] / found["error"] for key in ("change", "margin"))
    return f"{percent(share)} ±{margin:.1f} of {found['error']:.1f}"


def settles(found: Found) -> str:
    """Say what would settle a claim that is open."""
    if found["verdict"] != "cannot tell":
        return ""
    if found["kind"] == "count":
        return "starts that differ in more seeds"
    return f"some {found['seeds_to_settle']:,} seeds; {found['seeds']} here"


def tables(found: list[Found]) -> str:
    """Return a table for each question, as Markdown."""
    lines: list[str] = []
    for topic in TOPICS.values():
        lines += ["", f"### {topic}", ""]
        lines += ["| claim | paper | here | verdict | all at once | would settle it |"]
        lines += ["|---|---|---|---|---|---|"]
        for one in found:
            if one["topic"] != topic:
                continue
            name = f"**{one['claim']}**" if one["main"] else one["claim"]
            cells = [name, paper_says(one)]
            if "verdict" in one:
                word, wide = one["verdict"], one["all_at_once"]
                cells += [here(one), f"{MARKS[word][0]} {word}", MARKS[wide][0], settles(one)]
            else:
                cells += ["not run yet", "", "", f"`{one['record']}`"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines).strip()


def summary(found: list[Found]) -> str:
    """Return a table of how many claims have which verdict."""
    judged = [one for one in found if "verdict" in one]
    decided = sum(one["verdict"] != "cannot tell" for one in judged)
    main = [one for one in judged if one["main"]]
    standing = sum(one["all_at_once"] != "cannot tell" for one in main)
    lines = ["| verdict | claims | of the main ones | all at once |", "|---|---|---|---|"]
    for word, (mark, *_) in MARKS.items():
        count = [sum(one["verdict"] == word for one in some) for some in (judged, main)]
        wide = sum(one["all_at_once"] == word for one in judged)
        lines.append(f"| {mark} {word} | {count[0]} | {count[1]} | {wide} |")
    said = f"{decided} of {len(judged)} claims are decided at 95%, of {len(found)} asked; "
    said += f"{standing} of {len(main)} main ones also with the intervals of all claims at once. "
    of_paper = [one for one in judged if "paper_share" in one]
    decided = sum(one["verdict"] != "cannot tell" for one in of_paper)
    said += f"Of those with a figure of the paper {decided} of {len(of_paper)} are decided."
    return "\n".join([said, "", *lines])


def records_table() -> str:
    """Return every measured record beside its question, as Markdown."""
    rows = ["| record | question | data | seeds | core-hours |", "|---|---|---|---|---|"]
    for path in sorted(RECORDS.glob("*.json")):
        if path.stem in EXPERIMENTS:
            one = json.loads(path.read_text(encoding="utf-8"))
            seeds, hours = len(one["settings"]["seeds"]), one["seconds"] / 3600
            rows.append(
                f"| `{path.stem}` | {one['question']} | {one['data']} | {seeds} | {hours:.1f} |"
            )
    waiting = [name for name in EXPERIMENTS if not (RECORDS / f"{name}.json").exists()]
    rows += [
        f"| `{name}` | {EXPERIMENTS[name].question} | {EXPERIMENTS[name].data} | not run yet | |"
        for name in waiting
    ]
    return "\n".join(rows)


def rows(found: list[Found]) -> Iterator[Found | str]:
    """Return the rows of the figure: each question, and its claims that have an interval."""
    for topic in TOPICS.values():
        own = [one for one in found if one["topic"] == topic and "margin" in one]
        if own:
            yield topic
            yield from own


def figure(found: list[Found]) -> plt.Figure:
    """Draw every interval beside the paper's figure, in percent of the error compared with."""
    use_book_style()
    lines = list(rows(found))
    drawn, axis = plt.subplots(figsize=(5.6, 0.6 + 0.19 * len(lines)))
    axis.axvline(0, color="black", linewidth=0.8)
    left = blended_transform_factory(drawn.transFigure, axis.transData)
    for place, line in enumerate(lines):
        if isinstance(line, str):
            axis.text(0.01, place, line, transform=left, weight="bold", size=9, va="center")
            continue
        share, margin = (100 * line[key] / line["error"] for key in ("change", "margin"))
        _, colour, marker = MARKS[line["verdict"]]
        seen = min(max(share, -LIMIT), LIMIT)
        axis.errorbar(seen, place, xerr=margin, color=colour, marker=marker, markersize=4, lw=1.2)
        if seen != share:
            beside(axis, percent(share), seen, place, 6 if share < 0 else -6, size=8, color=colour)
        if "paper_share" in line:
            axis.plot(100 * line["paper_share"], place, "|", color="black", markersize=9)
    axis.set_yticks(
        range(len(lines)),
        ["" if isinstance(line, str) else line["claim"] for line in lines],
        size=7,
    )
    axis.set_ylim(len(lines), -1)
    axis.set_xlim(-LIMIT - 4, LIMIT + 4)
    axis.set_xlabel("change of the error, % of it")
    axis.tick_params(left=False)
    return drawn


def with_tables(text: str, found: list[Found]) -> str:
    """Return the page's text with its tables renewed."""
    made = {"summary": summary(found), "tables": tables(found), "records": records_table()}
    return renewed(text, made)


def as_record(found: list[Found]) -> str:
    about = "made from the other records by python tools/results_page.py"
    return json.dumps({"made_with": about, "claims": found}, indent=1) + "\n"


def digest(found: list[Found]) -> str:
    """Return what the figure carries, to be known again by."""
    return hashlib.sha256(as_record(found).encode()).hexdigest()


def save_figure(found: list[Found], path: Path) -> None:
    """Write the figure as SVG, the same bytes each time."""
    with plt.rc_context({"svg.hashsalt": "results"}):
        drawn = figure(found)
        drawn.savefig(path, metadata={"Date": None, "Description": digest(found)})
        plt.close(drawn)


def main() -> int:
    found = verdicts()
    VERDICTS.write_text(as_record(found), encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    save_figure(found, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())

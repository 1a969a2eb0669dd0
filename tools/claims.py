"""The paper's claims that are put to the test on photographs, and the rule that judges them.

    python tools/claims.py             a verdict for each claim whose record is there
    python tools/claims.py --pilot     the spread in the pilot, and how many seeds it calls for
    python tools/claims.py --write     renew the tables of tools/experiments/DESIGN.md

Each claim compares two measures within a seed. The rule stands in DESIGN.md, in words.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from experiments import EXPERIMENTS
from marks import renewed
from scipy import stats

from vgg_utils.records import load_record

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "vgg_utils" / "records"
PILOT = ROOT / "tools" / "experiments" / "pilot"
DESIGN = ROOT / "tools" / "experiments" / "DESIGN.md"
LEVEL = 0.95
POWER = 0.8
# A change of the error by less, as a share of it, counts as none: A to B, the smallest step that
# the paper calls a gain, is 0.9 of 29.6.
EQUAL = 0.03
Place = tuple[str, str]  # variant and measure


@dataclass(frozen=True)
class Claim:
    """`one` less `other` within each seed, and what the paper has for it.

    kind: "change", which has the paper's sign, of the size `published`; "equal", no change of
    `EQUAL` or more; "effect", of which the paper gives no figure; "count", of seeds that start.
    """

    name: str
    experiment: str
    one: Place
    other: Place
    kind: str = "change"
    published: tuple[float, float] | None = None  # the paper's two errors, of one and of other
    where: str = ""  # in the paper
    on_scenes: str = ""  # what was asked of digit scenes before, with its verdict
    main: bool = False

    @property
    def topic(self) -> str:
        """The question that it helps to answer, by which a reader finds it."""
        return _topic(self)

    @property
    def paper_share(self) -> float | None:
        """The paper's change as a share of its error of `other`, where it gives both."""
        return self.published and self.published[0] / self.published[1] - 1

    @property
    def share(self) -> float:
        """The paper's change as a share of the error of `other`, or else the margin `EQUAL`."""
        if self.published is None or self.kind != "change":
            return EQUAL
        one, other = self.published
        return (one - other) / other


TOPICS = {
    "depth": "Does the error fall with depth?",
    "1x1": "Does a 1x1 layer do what a 3x3 layer does?",
    "5x5": "Do two 3x3 layers beat one 5x5?",
    "LRN": "Does local response normalisation help?",
    "batch norm": "What does batch normalisation change?",
    "jitter": "Does training at many scales help?",
    "scales": "Does testing at three scales help?",
    "views": "Crops, the whole image, or both?",
    "two": "Do two networks beat one?",
    "starts": "Which starts does a deep network need?",
    "recipe": "What is each part of the recipe worth?",
    "fast": "What is each trick of the fast loop worth?",
    "flowers": "And on larger photographs?",
}


def _topic(claim: Claim) -> str:
    name, key = claim.name, claim.experiment.removesuffix("_photographs")
    if key == "depth":
        if claim.kind == "effect":
            key = "batch norm"
        elif "5x5" in name:
            key = "5x5"
        elif "LRN" in name:
            key = "LRN"
        elif any(place[0].startswith("C") for place in (claim.one, claim.other)):
            key = "1x1"
    elif key in ("jitter", "views"):
        key = "scales" if "3 scales" in name else "two" if "D+" in name else key
    return TOPICS[key]


class Verdict(NamedTuple):
    mean: float  # of the changes, points
    margin: float  # half the width of their interval
    word: str


def judge(claim: Claim, changes: Sequence[float], error: float, level: float = LEVEL) -> Verdict:
    """Return the verdict on a claim from one change a seed, where `other` has this mean error.

    Of a count, `error` is the share of seeds from which `other` starts. An "effect" that is clear
    of zero and yet within the margin is no difference.
    """
    mean = statistics.mean(changes)
    if claim.kind == "count":
        more, fewer = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
        both = len(changes) if error == 1 else 0  # `other` starts from every seed
        fewer = max(fewer, both)
        tested = stats.binomtest(more, more + fewer).pvalue if more + fewer else 1.0
        word = "cannot tell" if tested > 1 - level else "agrees" if more > fewer else "disagrees"
        return Verdict(mean, math.nan, word)
    count = len(changes)
    t = stats.t.ppf((1 + level) / 2, count - 1)
    margin = float(t * statistics.stdev(changes) / math.sqrt(count))
    low, high, size = mean - margin, mean + margin, claim.share * error
    if claim.kind == "change":
        if low > 0 or high < 0:
            return Verdict(mean, margin, "agrees" if mean * size > 0 else "disagrees")
        smaller = low > size if size < 0 else high < size
        return Verdict(mean, margin, "less than the paper's" if smaller else "cannot tell")
    if -size < low and high < size:
        return Verdict(mean, margin, "agrees" if claim.kind == "equal" else "no difference")
    if claim.kind == "equal":
        outside = low > size or high < -size
        return Verdict(mean, margin, "disagrees" if outside else "cannot tell")
    if low > 0 or high < 0:
        return Verdict(mean, margin, "lower error" if mean < 0 else "higher error")
    return Verdict(mean, margin, "cannot tell")


def seeds_to_settle(claim: Claim, changes: Sequence[float], error: float) -> int:
    """Return how many seeds would do, were mean and spread as found, in a third to a half of cases.

    The smallest n whose margin is as wide as the way from the mean to the bound that decides.
    """
    mean, spread, size = statistics.mean(changes), statistics.stdev(changes), claim.share * error
    clear, inside = abs(mean), size - abs(mean)
    gap = {
        "change": max(clear, abs(mean - size)),
        "equal": abs(inside),
        "effect": max(clear, inside),
    }[claim.kind]
    count = len(changes)
    while count < 10_000 and stats.t.ppf((1 + LEVEL) / 2, count - 1) * spread > gap * count**0.5:
        count += 1
    return count


def seeds_needed(claim: Claim, deviation: float, error: float, level: float = LEVEL) -> int:
    """Return how many seeds show a change of the paper's relative size with a power of 80%.

    The smallest n with (t(level) + t(power)) s / sqrt(n) at most that size; for "equal" and
    "effect", of a true change of zero, the power is that of both ends at once.
    """
    tail = POWER if claim.kind == "change" else (1 + POWER) / 2
    size, count = abs(claim.share) * error, 2
    while count < 10_000:
        t = stats.t.ppf((1 + level) / 2, count - 1) + stats.t.ppf(tail, count - 1)
        if t * deviation / math.sqrt(count) <= size:
            break
        count += 1
    return count


def _claims() -> Iterator[Claim]:
    paper = load_record("paper")
    table_3, table_4 = (
        {(row["config"], row["train_S"]): row["top1_val"] for row in paper[table]["rows"]}
        for table in ("table3", "table4")
    )
    table_5 = {
        (row["config"], row["evaluation"]): row["top1_val"] for row in paper["table5"]["rows"]
    }
    pairs = {
        row["evaluation"]: row["top1_val"]
        for row in paper["table6"]["rows"]
        if row["stage"] == "post-submission"
    }
    series = {"plain": "", "batch norm": ", batch norm"}

    def depth(one: str, other: str, **more: Any) -> Claim:
        ends = (one, "error"), (other, "error")
        name = f"{one} less {other}"
        if name.count(", batch norm") == 2:
            name = f"{name.replace(', batch norm', '')}, batch norm"
        return Claim(
            name.replace(", batch norm less", " with batch norm less"),
            "depth_photographs",
            *ends,
            **more,
        )

    def step(one: str, other: str) -> dict[str, Any]:
        """Return what Table 3 has for the step from one network to another."""
        return {
            "kind": "equal" if (one, other) == ("E", "D") else "change",
            "published": (table_3[one, "256"], table_3[other, "256"]),
            "where": "Table 3",
        }

    on_scenes = {
        "B less A": ("agrees", "cannot tell"),
        "D less B": ("cannot tell", "cannot tell"),
        "E less D": ("cannot tell", "cannot tell"),
        "E less A": ("cannot tell", "disagrees"),
        "C less B": ("cannot tell", "cannot tell"),
        "D less C": ("cannot tell", "cannot tell"),
    }
    for name, verdicts in on_scenes.items():
        one, other = name.split(" less ")
        for (kind, suffix), verdict in zip(series.items(), verdicts, strict=True):
            yield depth(
                one + suffix,
                other + suffix,
                **step(one, other),
                on_scenes=f"{name}, {kind}: {verdict}",
                main=True,
            )
    lrn = table_3["A-LRN", "256"], table_3["A", "256"]
    yield depth(
        "A-LRN",
        "A",
        kind="equal",
        published=lrn,
        where="Table 3",
        on_scenes="A-LRN less A, plain: cannot tell",
    )
    twin: dict[str, Any] = {
        "published": (1.07 * table_3["B", "256"], table_3["B", "256"]),
        "where": "“7% higher”, Sect. 4.1, taken as a share of Table 3's B",
    }
    for kind, suffix in series.items():
        was = f"5x5 twin less B, {kind}: cannot tell"
        yield depth("5x5 twin" + suffix, "B" + suffix, on_scenes=was, **twin)
    yield depth("5x5 twin", "B afresh", **twin)
    yield depth("slim 5x5 twin", "B afresh", **twin)
    yield depth("slim 5x5 twin, batch norm", "B, batch norm", **twin)
    first = table_3["A", "256"]
    for name in "BDE":
        yield depth(name, "A from A", published=(table_3[name, "256"], first), where="Table 3")
    # Plain B to E have the epochs of the A that they start from besides; of B there's one afresh.
    for name in ("A", "B", "5x5 twin", "slim 5x5 twin", "C", "D", "E"):
        plain = "B afresh" if name == "B" else name
        yield depth(f"{name}, batch norm", plain, kind="effect")

    jittered, fixed = table_3["D", "[256;512]"], (table_3["D", "256"], table_3["D", "384"])
    jitter = "D, jitter"

    def at(name: str, one: Place, other: Place, was: str = "", **more: Any) -> Claim:
        if was:
            more["on_scenes"] = was
        return Claim(name, "jitter_photographs", one, other, **more)

    for small, mark, published, was in (
        ("32", "256", fixed[0], "disagrees"),
        ("48", "384", fixed[1], "cannot tell"),
    ):
        place = f"D, S = {small}, longer", f"dense {small}"
        same: dict[str, Any] = {"published": (jittered, published), "where": "Table 3"}
        same["main"] = True
        name = f"jitter less S = {small}"
        yield at(name, (jitter, "dense 48"), place, f"{name}: {was}", **same)
        short = f"D, S = {small}", f"dense {small}"
        yield at(f"{name}, which trained less", (jitter, "dense 48"), short, **same)
        three = table_4["D", mark]
        around = "24,32,40" if small == "32" else "40,48,56"
        yield at(
            f"3 scales less 1, S = {small}",
            (f"D, S = {small}", f"dense {around}"),
            short,
            f"3 scales less 1, A, S = {small}: agrees",
            published=(three, published),
            where="Tables 3 and 4",
            main=True,
        )
    for where, measure, equal, was in (
        ("trained size", "dense 32", "D, S = 32, longer", "cannot tell"),
        ("new sizes", "new sizes", "D, S = 48, longer", "agrees"),
    ):
        said = f"jitter, {where}: {was}"
        yield at(f"jitter, {where}", (jitter, measure), (equal, measure), said, kind="effect")

    def view(name: str, one: Place, other: Place, **more: Any) -> Claim:
        return Claim(name, "views_photographs", one, other, **more)

    words = {"dense": "dense", "crops": "multi-crop", "both": "multi-crop & dense"}
    for way, past, now in (
        ("3 scales less 1", ("cannot tell", "cannot tell"), ("dense", "one scale")),
        ("crops less dense", ("agrees", "agrees"), ("crops", "dense")),
        ("both less dense", ("agrees", "agrees"), ("both", "dense")),
        ("both less crops", ("disagrees", "cannot tell"), ("both", "crops")),
    ):
        for net, old, verdict in zip("DE", "AB", past, strict=True):
            ends = [
                table_3[net, "[256;512]"] if end == "one scale" else table_5[net, words[end]]
                for end in now
            ]
            yield view(
                f"{way}, {net}",
                (net, now[0]),
                (net, now[1]),
                published=(ends[0], ends[1]),
                where="Table 5" if "scales" not in way else "Tables 3 and 4",
                on_scenes=f"{way}, {old}: {verdict}",
                main=True,
            )
    for way, word in words.items():
        alone = table_5["E", word]
        said = f"A+B less B, {way}: cannot tell"
        same = {"published": (pairs[word], alone), "where": "Tables 5 and 6"}
        yield view(f"D+E less E, {way}", ("D and E", way), ("E", way), on_scenes=said, **same)
        yield view(f"D+E less D, {way}", ("D and E", way), ("D", way), **same)
        yield view(f"D+D less D, {way}", ("D and another D", way), ("D", way), kind="effect")
        of_two: tuple[Place, Place] = ("D and E", way), ("D and another D", way)
        yield view(f"D+E less D+D, {way}", *of_two, kind="effect")

    def flowers(name: str, one: Place, other: Place, ends: tuple[float, float]) -> Claim:
        change: dict[str, Any] = {"published": ends, "where": "Tables 3 to 6"}
        return Claim(f"flowers, {name}", "flowers_photographs", one, other, **change)

    scaled = "S in [73;146]"
    every = "73,109,146"
    for small, size, around in (("256", "73", "64,73,82"), ("384", "110", "101,110,119")):
        one_scale: Place = f"S = {size}", f"D dense {size}"
        figures = jittered, table_3["D", small]
        yield flowers(f"jitter less S = {size}", (scaled, "D dense 109"), one_scale, figures)
        figures = table_4["D", small], table_3["D", small]
        three_scales = f"S = {size}", f"D dense {around}"
        yield flowers(f"3 scales less 1, S = {size}", three_scales, one_scale, figures)
    for net in "DE":
        figures = table_4[net, "[256;512]"], table_3[net, "[256;512]"]
        of_three, of_one = (scaled, f"{net} dense {every}"), (scaled, f"{net} dense 109")
        yield flowers(f"3 scales less 1, {net}", of_three, of_one, figures)
        for new, old in (("crops", "dense"), ("both", "dense"), ("both", "crops")):
            figures = table_5[net, words[new]], table_5[net, words[old]]
            pair = [(scaled, f"{net} {way} {every}") for way in (new, old)]
            yield flowers(f"{new} less {old}, {net}", pair[0], pair[1], figures)
    for way, word in words.items():
        figures = pairs[word], table_5["E", word]
        fused = (scaled, f"D+E {way} {every}"), (scaled, f"E {way} {every}")
        yield flowers(f"D+E less E, {way}", *fused, figures)

    def starting(one: str, other: str) -> Claim:
        places: tuple[Place, Place] = (one, "started"), (other, "started")
        name = f"{one} starts, where {other} does not"
        where = "Sect. 3.1" if one in ("A", "D from A", "D, Xavier") else ""
        return Claim(name, "starts_photographs", *places, kind="count", where=where)

    for one, other in (
        ("A", "D"),
        ("D from A", "D"),
        ("D, Xavier", "D"),
        ("D, Xavier, pixels to 1", "D"),
        ("D, He, pixels to 1", "D"),
        ("D, batch norm", "D"),
    ):
        yield starting(one, other)
    for experiment, measure in (
        ("recipe_photographs", "error"),
        ("fast_photographs", "test_error"),
    ):
        for variant in EXPERIMENTS[experiment].variants:
            if variant != "everything":
                own = (variant, measure), ("everything", measure)
                label = "recipe" if measure == "error" else "fast loop"
                how = "" if variant.startswith("without") else "with "
                yield Claim(f"{label} {how}{variant}", experiment, *own, kind="effect")


CLAIMS = list(_claims())


def changes_of(claim: Claim, record: dict[str, Any]) -> tuple[list[float], float]:
    """Return the change within each seed, and the mean error of `other`."""
    values = []
    for variant, measure in (claim.one, claim.other):
        runs = record["results"][variant]["runs"]
        values.append({run["seed"]: run["measures"][measure] for run in runs})
    one, other = values
    both = [seed for seed in other if seed in one]
    changes = [one[seed] - other[seed] for seed in both]
    return changes, statistics.mean(other[seed] for seed in both)


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """Return a record of two seeds or more; one has no spread to judge by."""
    path = folder / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return record if record and len(record["settings"]["seeds"]) > 1 else None


def verdicts() -> str:
    """Return a line for each claim whose record is there, at 95% and with all claims at once."""
    lines, decided, asked = [], 0, 0
    for claim in CLAIMS:
        record = read(RECORDS, claim.experiment)
        if record is None:
            lines.append(f"{claim.name}: no record yet")
            continue
        changes, error = changes_of(claim, record)
        found, wide = (judge(claim, changes, error, level) for level in (LEVEL, at_once()))
        asked, decided = asked + 1, decided + (found.word != "cannot tell")
        size = "" if claim.paper_share is None else f"paper {100 * claim.paper_share:+.1f}%, "
        here = f"{found.mean:+.2f} ±{found.margin:.2f} of {error:.1f}"
        lines.append(f"{claim.name}: {size}here {here}: {found.word}; all at once: {wide.word}")
    return "\n".join([*lines, f"decided: {decided} of {asked} with a record"])


def at_once() -> float:
    """Return the level of one interval at which all of them hold together (Bonferroni)."""
    return 1 - (1 - LEVEL) / len(CLAIMS)


class Asked(NamedTuple):
    """What the pilot says of a claim: errors and spreads in points, and the seeds they call for."""

    error: float
    spread: float | None  # None where the pilot has not run both its variants
    pooled: float  # over the claims of its experiment
    seeds: int
    at_once: int  # seeds, with the intervals of all claims at once


def asked_by_pilot() -> dict[str, Asked]:
    """Return what the pilot says of each claim that it can say something of, by name.

    Few seeds tell little of one spread, so the larger counts of a claim's own and that of all
    claims of its experiment, taken together. Where a claim's variants were not run, the spread and
    the mean error of the others stand in.
    """
    asked = {}
    for name in dict.fromkeys(claim.experiment for claim in CLAIMS):
        if (record := read(PILOT, name)) is None:
            continue
        every = [claim for claim in CLAIMS if claim.experiment == name and claim.kind != "count"]
        own = [c for c in every if {c.one[0], c.other[0]} <= set(record["results"])]
        if not own:
            continue
        found = {claim.name: changes_of(claim, record) for claim in own}
        spreads = {of: statistics.stdev(changes) for of, (changes, _) in found.items()}
        pooled = math.sqrt(statistics.mean(s**2 for s in spreads.values()))
        mean_error = statistics.mean(error for _, error in found.values())
        for claim in every:
            spread = spreads.get(claim.name)
            error = found[claim.name][1] if spread is not None else mean_error
            larger = max(spread or 0.0, pooled)
            seeds = [seeds_needed(claim, larger, error, level) for level in (LEVEL, at_once())]
            asked[claim.name] = Asked(error, spread, pooled, *seeds)
    return asked


def pilot() -> str:
    """Return the spread of each claim's change in the pilot, and the seeds that it calls for."""
    lines = [f"{'claim':48}{'error':>7}{'size':>7}{'sd':>6}{'pooled':>8}{'seeds':>7}{'at once':>9}"]
    asked = asked_by_pilot()
    for claim in CLAIMS:
        if (one := asked.get(claim.name)) is None:
            lines.append(f"{claim.name:48} no pilot of {claim.experiment} that has a spread")
            continue
        spread = "  -" if one.spread is None else f"{one.spread:.2f}"
        lines.append(
            f"{claim.name:48}{one.error:7.1f}{abs(claim.share) * one.error:7.2f}{spread:>6}"
            f"{one.pooled:8.2f}{one.seeds:7}{one.at_once:9}"
        )
    return "\n".join(lines)


def table() -> str:
    """Return the table of all claims, as Markdown."""
    rows = [
        "| claim | paper, top-1 | share | compared | rule | seeds | pilot asks for | on scenes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    asked_for = asked_by_pilot()
    rules = {
        "change": "excludes zero, or the paper's share",
        "equal": f"lies within ±{100 * EQUAL:g}% of the error",
        "effect": f"excludes zero, or lies within ±{100 * EQUAL:g}%",
        "count": "exact sign test over seeds",
    }
    for claim in CLAIMS:
        ends = "none"
        if claim.published:
            ends = f"{claim.published[0]:.1f}, {claim.published[1]:.1f} ({claim.where})"
        elif claim.where:
            ends = claim.where
        share = "–" if claim.paper_share is None else f"{100 * claim.paper_share:+.1f}%"
        compared = f"`{claim.experiment}`: {claim.one[0]} [{claim.one[1]}] less"
        compared += f" {claim.other[0]} [{claim.other[1]}]"
        name = f"**{claim.name}**" if claim.main else claim.name
        asked = EXPERIMENTS[claim.experiment]
        count = min(
            len(asked.seeds_of(variant, asked.seeds)) for variant, _ in (claim.one, claim.other)
        )
        on_scenes = claim.on_scenes or "added"
        needed = asked_for[claim.name].seeds if claim.name in asked_for else "–"
        rows.append(
            f"| {name} | {ends} | {share} | {compared} | {rules[claim.kind]} | {count} | {needed} |"
            f" {on_scenes} |"
        )
    return "\n".join(rows)


def costs() -> str:
    """Return the table of what the experiments cost, as Markdown."""
    rows = ["| experiment | seeds | variants | core-hours |", "|---|---|---|---|"]
    total = 0.0
    for name in dict.fromkeys(claim.experiment for claim in CLAIMS):
        one = EXPERIMENTS[name]
        total += one.minutes / 60
        hours = f"{one.minutes / 60:.1f}"
        rows.append(f"| `{name}` | {len(one.seeds)} | {len(one.variants)} | {hours} |")
    return "\n".join([*rows, f"| all | | | {total:.1f} |"])


def with_tables(text: str) -> str:
    """Return DESIGN.md's text with its tables renewed."""
    return renewed(text, {"claims": table(), "costs": costs()})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Judge the paper's claims on photographs.")
    parser.add_argument(
        "--pilot", action="store_true", help="spread and seeds, from tools/experiments/pilot"
    )
    parser.add_argument("--write", action="store_true", help="renew the tables of DESIGN.md")
    options = parser.parse_args(arguments)
    if options.write:
        DESIGN.write_text(with_tables(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    print(pilot() if options.pilot else verdicts())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the tables of the book's audit of the paper from vgg_utils/records/paper.json.

    python tools/paper_page.py

It renews what stands between the marks in book/reference/paper_audit.md. A test compares the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marks import renewed

from vgg_utils.configs import layer_configs, summarise, total
from vgg_utils.records import load_record

PAGE = Path(__file__).resolve().parent.parent / "book" / "reference" / "paper_audit.md"
PAPER = load_record("paper")
Row = dict[str, Any]

# Where the book takes up what the paper leaves open.
LESSONS = {
    "initial weights": "05_initialisation",
    "layers copied from net A": "05_initialisation",
    "scale jitter": "07_augmentation",
    "learning-rate drops": "06_training",
    "length of fine-tuning": "09_reproduction",
    "score map": "08_evaluation",
    "pooling at odd sides": "08_evaluation",
    "LRN constants": "04_configs",
    "shallow twin of B": "09_reproduction",
}


def table(heads: list[str], rows: list[list[Any]], align: str = "") -> str:
    """Return a Markdown table; `align` has a letter a column, l or r. None becomes a dash."""
    rules = {"l": "---", "r": "---:"}
    lines = [heads, [rules[letter] for letter in align or "l" * len(heads)], *rows]
    texts = [["–" if cell is None else str(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)


def sentence(text: str) -> str:
    """Begin with a capital letter, and link the works on arXiv."""
    linked = re.sub(r"arXiv:(\d{4}\.\d{5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return linked[0].upper() + linked[1:]


def scales(row: Row) -> str:
    return ", ".join(map(str, row["test_Q"]))


def bold(row: Row, *keys: str) -> list[Any]:
    """Return values of a row, in bold where the paper prints them so."""
    return [f"**{row[key]}**" if row.get("bold") else row[key] for key in keys]


def table_1() -> str:
    nets = PAPER["table1"]["rows"]
    heads = ["net", *[f"{net['config']} ({net['weight_layers']})" for net in nets]]
    rows = []
    for block in range(5):
        cells = ["<br>".join(net["blocks"][block]) for net in nets]
        rows.append([f"block {block + 1}", *cells])
    rows.append(["known as", *[net["common_name"] for net in nets]])
    return table(heads, rows)


def table_2() -> str:
    rows = []
    for row in PAPER["table2"]["rows"]:
        cost = total(summarise(row["config"]))
        counted = [f"{cost.parameters:,}", f"{cost.macs / 1e9:.1f}"]
        rows.append([row["config"], row["parameters_millions"], *counted])
    heads = ["net", "printed, million", "counted", "multiply-accumulates, G (counted)"]
    return table(heads, rows, "lrrr")


def table_3(name: str = "table3") -> str:
    rows = [
        [row["config"], row["train_S"], scales(row), *bold(row, "top1_val", "top5_val")]
        for row in PAPER[name]["rows"]
    ]
    return table(["net", "S", "Q", "top-1", "top-5"], rows, "lllrr")


def table_5() -> str:
    rows = [
        [row["config"], row["evaluation"], row["top1_val"], row["top5_val"]]
        for row in PAPER["table5"]["rows"]
    ]
    return table(["net", "evaluation", "top-1", "top-5"], rows, "llrr")


def table_6() -> str:
    rows = []
    for row in PAPER["table6"]["rows"]:
        nets = "<br>".join(f"{net['config']}, S = {net['train_S']}" for net in row["models"])
        errors = [row["top1_val"], row["top5_val"], row["top5_test"]]
        rows.append([row["stage"], nets, row["evaluation"], *errors])
    heads = ["stage", "nets", "evaluation", "top-1", "top-5", "top-5, test"]
    return table(heads, rows, "lllrrr")


def table_7() -> str:
    rows = []
    for row in PAPER["table7"]["rows"]:
        name = row["method"] + (", submitted" if row.get("submitted") else "")
        errors = [row["top1_val"], row["top5_val"], row["top5_test"]]
        rows.append([name, row["nets"] or "several", *errors])
    return table(["method", "nets", "top-1", "top-5", "top-5, test"], rows, "lrrrr")


def versions() -> str:
    rows = [[row["version"], row["change"]] for row in PAPER["revisions"]["rows"]]
    return table(["version", "what changed"], [[v, c or "not described"] for v, c in rows])


def open_points() -> str:
    items = []
    for number, item in enumerate(PAPER["ambiguities"], 1):
        stem = LESSONS[item["subject"]]
        text = f"{number}. **{sentence(item['subject'])}** ({item['where']}).\n"
        text += f"   Printed: {item['printed']}.\n   Left open: {item['open']}.\n"
        if "note" in item:
            text += f"   {sentence(item['note'])}.\n"
        items.append(f"{text}   [Lesson {int(stem[:2])}](../{stem}.ipynb).")
    return "\n".join(items)


def misquotations() -> str:
    rows = []
    for item in PAPER["misquotations"]:
        elsewhere = item["where"].startswith("not in the paper")  # the sentence says so itself
        place = "" if elsewhere else f" ({item['where']})"
        rows.append([sentence(item["said"]), sentence(item["paper"]) + place])
    return table(["often said", "what holds"], rows)


def surprises() -> str:
    return "\n".join(f"- {item['remark']} ({item['where']})" for item in PAPER["remarks"])


def arithmetic() -> str:
    """Return what can be computed again: what the paper prints, and what comes out."""
    training, crops = PAPER["training"], PAPER["testing"]["multi_crop"]["value"]
    exact = training["dataset"]["value"]["exact_train"]
    seen = training["iterations"]["value"] * training["batch_size"]["value"]
    side, mirrored = int(crops["grid"][0]), crops["flips"]
    (ours,) = (r for r in PAPER["table7"]["rows"] if (r["method"], r["nets"]) == ("VGG", 1))
    (other,) = (r for r in PAPER["table7"]["rows"] if (r["method"], r["nets"]) == ("GoogLeNet", 1))
    margin = PAPER["table7"]["in_text"][0]["value"]
    counts = {row["config"]: row["parameters_millions"] for row in PAPER["table2"]["rows"]}
    agree = sum(round(total(summarise(c)).parameters / 1e6) == counts[c] for c in layer_configs)
    rows = [
        ["parameters (Table 2)", "six figures", f"{agree} of {len(counts)} agree"],
        [
            "epochs (Sect. 3.1)",
            training["epochs"]["value"],
            f"{seen / exact:.1f} for {exact:,} images; {seen / 1.3e6:.1f} for 1.3 million",
        ],
        [
            "a 7x7 against three 3x3 (Sect. 2.3)",
            f"{PAPER['architecture']['receptive_field']['value']['single_is_more_by']} more",
            f"{49 / 27 - 1:.0%} more; the stack has {1 - 27 / 49:.1%} fewer",
        ],
        [
            "crops (Sect. 3.2)",
            crops["total"],
            f"{side} x {side} x {mirrored} x {crops['scales']} = "
            f"{side * side * mirrored * crops['scales']}",
        ],
        [
            "lead over a single GoogLeNet (Sect. 4.5)",
            f"{margin} points",
            f"{other['top5_test'] - ours['top5_test']:.1f} with VGG's test error, "
            f"{other['top5_val'] - ours['top5_val']:.1f} on validation alone",
        ],
    ]
    return table(["what", "printed", "comes out"], rows)


MADE: dict[str, Callable[[], str]] = {
    "versions": versions,
    "open points": open_points,
    "misquotations": misquotations,
    "arithmetic": arithmetic,
    "surprises": surprises,
    "table 1": table_1,
    "table 2": table_2,
    "table 3": table_3,
    "table 4": lambda: table_3("table4"),
    "table 5": table_5,
    "table 6": table_6,
    "table 7": table_7,
}


def with_tables(text: str) -> str:
    """Return the page's text with what stands between the marks renewed."""
    return renewed(text, {name: make() for name, make in MADE.items()})


def main() -> int:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The published figures agree with arithmetic where it can give them, and with each other."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vgg_utils.configs import layer_configs, summarise, total
from vgg_utils.receptive_field import receptive_field
from vgg_utils.records import load_record

PAPER = load_record("paper")
ERRORS = ("top1_val", "top5_val")
LESSON = Path(__file__).resolve().parent.parent / "book" / "01_paper.ipynb"


def rows(table: str, **wanted: Any) -> list[dict[str, Any]]:
    found = [
        row
        for row in PAPER[table]["rows"]
        if all(row.get(key) == value for key, value in wanted.items())
    ]
    assert found, f"{table} has no row with {wanted}"
    return found


def lesson_cells(kind: str) -> list[dict[str, Any]]:
    cells = json.loads(LESSON.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def prose() -> str:
    """Return the lesson's markdown, each link by its words alone."""
    text = "\n\n".join("".join(cell["source"]) for cell in lesson_cells("markdown"))
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def row(table: str, **wanted: Any) -> dict[str, Any]:
    (found,) = rows(table, **wanted)
    return found


def errors(found: dict[str, Any]) -> tuple[float, float]:
    return found["top1_val"], found["top5_val"]


def test_unknown_record_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown record 'papers': choose one of .*paper"):
        load_record("papers")


# What arithmetic gives


@pytest.mark.parametrize("config", layer_configs)
def test_table_1_is_the_configuration(config: str) -> None:
    published = row("table1", config=config)
    layers: list[Any] = []
    for block in published["blocks"]:
        for entry in block:
            match = re.fullmatch(r"conv(\d)-(\d+)", entry)
            layers.append((int(match[1]), int(match[2])) if match else entry)
        layers.append("M")
    assert layers == layer_configs[config]
    convolutions = sum(isinstance(entry, tuple) for entry in layers)
    assert published["weight_layers"] == convolutions + len(PAPER["table1"]["fully_connected"])
    assert published["common_name"] in (None, f"VGG-{published['weight_layers']}")


@pytest.mark.parametrize("config", layer_configs)
def test_table_2_is_the_count_rounded(config: str) -> None:
    counted = total(summarise(config)).parameters
    assert row("table2", config=config)["parameters_millions"] == round(counted / 1e6)


def test_epochs_follow_from_iterations() -> None:
    training = PAPER["training"]
    images = training["dataset"]["value"]["exact_train"]
    epochs = training["iterations"]["value"] * training["batch_size"]["value"] / images
    assert round(epochs) == training["epochs"]["value"]
    assert f"{images / 1e6:.1f}M" == training["dataset"]["value"]["train"]


def test_stack_of_three_against_one_7x7() -> None:
    claim = PAPER["architecture"]["receptive_field"]["value"]
    fields = [row.receptive_field for row in receptive_field([(3, 64)] * 3)]
    assert (claim["two_3x3"], claim["three_3x3"]) == tuple(fields[1:])
    stack, single = len(fields) * 3**2, fields[-1] ** 2
    assert claim["stack_weights"].endswith(f"{stack}C²")
    assert claim["single_7x7"].endswith(f"{single}C²")
    assert claim["single_is_more_by"] == f"{single / stack - 1:.0%}"


def test_crops_are_counted_right() -> None:
    crops = PAPER["testing"]["multi_crop"]["value"]
    rows_, columns = map(int, crops["grid"].split("x"))
    assert crops["per_scale"] == rows_ * columns * crops["flips"]
    assert crops["total"] == crops["per_scale"] * crops["scales"]


def test_test_scales_follow_the_rules_of_section_4() -> None:
    for table in ("table3", "table4"):
        for published in rows(table):
            sides = [int(side) for side in re.findall(r"\d+", published["train_S"])]
            low, high = sides[0], sides[-1]
            if table == "table3":
                expected = [(low + high) // 2]
            elif low == high:
                expected = [low - 32, low, low + 32]
            else:
                expected = [low, (low + high) // 2, high]
            assert published["test_Q"] == expected


def test_margins_given_in_the_text() -> None:
    ours = row("table7", method="VGG", nets=1)["top5_test"]
    theirs = row("table7", method="GoogLeNet", nets=1)["top5_test"]
    margin, with_data, without_data = (fact["value"] for fact in PAPER["table7"]["in_text"])
    assert theirs - ours == pytest.approx(margin)
    # GoogLeNet's own paper gives this figure on the validation set.
    elsewhere = PAPER["ilsvrc2014"]["googlenet_single_net_top5_val"]
    assert round(elsewhere["value"], 1) == theirs and "validation" in elsewhere["where"]
    assert without_data == row("table7", method="Clarifai", nets=None)["top5_test"] > with_data

    caltech = {r["method"]: r["caltech256_recall"] for r in rows("table11")}
    gain = caltech["VGG Net-D & Net-E"]["mean"] - caltech["Chatfield et al."]["mean"]
    assert gain == pytest.approx(PAPER["generalisation"]["Caltech"]["value"]["gain_on_256"])


# The tables agree with each other


@pytest.mark.parametrize("table", ["table3", "table4"])
def test_bold_rows_are_the_minima(table: str) -> None:
    best = tuple(min(r[key] for r in rows(table)) for key in ERRORS)
    assert [r for r in rows(table) if r["bold"]] == [r for r in rows(table) if errors(r) == best]
    for r in rows(table):
        assert r["bold"] or all(r[key] > least for key, least in zip(ERRORS, best, strict=True))


def test_table_4_has_the_nets_of_table_3_without_the_two_shallowest() -> None:
    nets = [(r["config"], r["train_S"]) for r in rows("table3")]
    again = [(r["config"], r["train_S"]) for r in rows("table4")]
    assert again == [net for net in nets if not net[0].startswith("A")]


@pytest.mark.parametrize("config", ["D", "E"])
def test_table_5_dense_is_table_4_with_jitter(config: str) -> None:
    jittered = row("table4", config=config, train_S=PAPER["table5"]["train_S"])
    assert errors(row("table5", config=config, evaluation="dense")) == errors(jittered)
    assert PAPER["table5"]["test_Q"] == jittered["test_Q"]


def test_table_6_fuses_nets_of_table_4() -> None:
    """By configuration, S and Q; the weights of the submission's jittered D are others."""
    nets = [{k: r[k] for k in ("config", "train_S", "test_Q")} for r in rows("table4")]
    for fusion in rows("table6"):
        assert all(net in nets for net in fusion["models"])
        names = [(net["config"], net["train_S"]) for net in fusion["models"]]
        assert len(names) == len(set(names))


def test_own_rows_of_table_7_are_rows_of_tables_5_and_6() -> None:
    single = row("table7", method="VGG", nets=1)
    assert errors(single) == errors(row("table5", config="E", evaluation=single["evaluation"]))
    for nets in (2, 7):
        ours = row("table7", method="VGG", nets=nets)
        fused = [
            r for r in rows("table6", evaluation=ours["evaluation"]) if len(r["models"]) == nets
        ]
        assert [(errors(r), r["top5_test"]) for r in fused] == [(errors(ours), ours["top5_test"])]


def test_competition_results_are_table_7_and_table_10() -> None:
    results = {key: item["value"] for key, item in PAPER["ilsvrc2014"].items()}
    submitted = row("table7", method="VGG", submitted=True)
    assert results["classification_top5_test"] == submitted["top5_test"]
    field = [r["top5_test"] for r in rows("table7") if r["top5_test"] and not r.get("evaluation")]
    better = sum(error < submitted["top5_test"] for error in field)
    assert results["classification_place"] == 1 + better

    localisation = {r["method"]: r["top5_test"] for r in rows("table10")}
    assert results["localisation_top5_test"] == localisation["VGG"]
    assert (
        results["localisation_place"] == sorted(localisation, key=localisation.get).index("VGG") + 1
    )
    ours = row("table10", method="VGG")
    assert (ours["top5_val"], ours["top5_test"]) == tuple(
        PAPER["table9"]["rows"][-1][key] for key in ("top5_val", "top5_test")
    )


def test_every_entry_has_its_place() -> None:
    for name in PAPER:
        if name.startswith("table"):
            assert PAPER[name]["where"].startswith(f"Table {name.removeprefix('table')}, ")
    groups = ("architecture", "training", "testing", "ilsvrc2014", "localisation", "generalisation")
    for group in groups:
        assert all(item["where"] for item in PAPER[group].values())
    for group in ("ambiguities", "remarks", "misquotations"):
        assert all(item["where"] for item in PAPER[group])


@pytest.mark.parametrize("remark", PAPER["remarks"], ids=lambda item: item["where"])
def test_errors_in_a_remark_stand_in_the_tables_that_it_names(remark: dict[str, str]) -> None:
    named = re.findall(r"\d+", re.sub(r"(?:Sect|App)\. [\w.]+", "", remark["where"]))
    tables = json.dumps([PAPER[f"table{number}"] for number in named])
    quoted = set(re.findall(r"\b[1-9]\d?\.\d\b", remark["remark"]))
    assert quoted <= set(re.findall(r"\b\d+\.\d\b", tables))


# The corrections of misquotations, counted


def test_corrections_that_can_be_counted() -> None:
    said = {item["said"]: item["paper"] for item in PAPER["misquotations"]}
    text = " ".join(said.values())
    count = summarise("D")
    values, macs = total(count).activations, total(count).macs
    convolutions = sum(r.macs for r in count if r.name.startswith("conv"))
    assert f"{values:,} values" in text and f"{values * 4 / 1e6:.2f} MB" in text
    assert f"{convolutions / 1e9:.3f} G multiply-accumulates" in text
    assert f"{macs / 1e9:.3f} G in all" in text and f"{2 * macs / 1e9:.2f} GFLOP" in text
    assert f"{27 * 64**2:,} for C = 64" in text


def test_correction_of_92_7_percent() -> None:
    (item,) = (item for item in PAPER["misquotations"] if "92.7%" in item["said"])
    jitter = {"config": "D", "train_S": "[256;512]"}
    values = [row(table, **jitter)["top5_val"] for table in ("table3", "table4")]
    values.append(row("table5", config="D", evaluation="multi-crop & dense")["top5_val"])
    assert re.findall(r"\d\.\d(?=%)", item["paper"]) == ["7.3", *map(str, values)]


# The lesson and the record


def test_every_decimal_of_the_lesson_is_printed_or_in_the_record() -> None:
    outputs = [out for cell in lesson_cells("code") for out in cell["outputs"]]
    known = json.dumps(PAPER) + "".join("".join(out.get("text", [])) for out in outputs)
    answers = r"<summary>(?:Hint|Solution|A model answer)</summary>.*?</details>"
    text = re.sub(answers, "", prose(), flags=re.S)
    places = r"(?:Sect|App)\. [A-C]?[\d.]+(?:(?:, | and )\d\.\d)*|arXiv:\d+\.\d+"
    found = set(re.findall(r"(?<![\d.])\d+\.\d+", re.sub(places, "", text)))
    decimals = set(re.findall(r"(?<![\d.])\d+\.\d+", known))
    assert found - decimals == set()

"""The published figures agree with arithmetic where it can give them, and with each other."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from vgg_utils.configs import layer_configs, summarise, total
from vgg_utils.records import load_record

PAPER = load_record("paper")
ERRORS = ("top1_val", "top5_val")
CHAPTER = Path(__file__).resolve().parent.parent / "book" / "01_paper.ipynb"


def rows(table: str, **wanted: Any) -> list[dict[str, Any]]:
    found = [
        row
        for row in PAPER[table]["rows"]
        if all(row.get(key) == value for key, value in wanted.items())
    ]
    assert found, f"{table} has no row with {wanted}"
    return found


def chapter_cells(kind: str) -> list[dict[str, Any]]:
    cells = json.loads(CHAPTER.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def prose() -> str:
    """Return the chapter's markdown, each link by its words alone."""
    text = "\n\n".join("".join(cell["source"]) for cell in chapter_cells("markdown"))
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
    assert round(epochs) == training["epochs"]["value"] == 74
    assert f"{images / 1e6:.1f}M" == training["dataset"]["value"]["train"]


def test_stack_of_three_against_one_7x7() -> None:
    claim = PAPER["architecture"]["receptive_field"]["value"]
    stack, single = 3 * 3**2, 7**2
    assert (stack, single) == (27, 49)
    assert claim["stack_weights"].endswith(f"{stack}C²")
    assert claim["single_7x7"].endswith(f"{single}C²")
    assert claim["single_is_more_by"] == f"{single / stack - 1:.0%}" == "81%"
    assert f"{1 - stack / single:.1%}" == "44.9%"
    assert (claim["two_3x3"], claim["three_3x3"]) == (1 + 2 * 2, 1 + 3 * 2)


def test_crops_are_counted_right() -> None:
    crops = PAPER["testing"]["multi_crop"]["value"]
    side_a, side_b = map(int, crops["grid"].split("x"))
    assert crops["per_scale"] == side_a * side_b * crops["flips"] == 50
    assert crops["total"] == crops["per_scale"] * crops["scales"] == 150
    assert crops["googlenet_total"] == 4 * 3 * 6 * 2 == 144
    assert crops["googlenet_scales"] == 4


def test_test_scales_follow_the_rules_of_section_4() -> None:
    for table, width in (("table3", 1), ("table4", 3)):
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
            assert len(expected) == width


def test_margins_given_in_the_text() -> None:
    ours = row("table7", method="VGG", nets=1)["top5_test"]
    theirs = row("table7", method="GoogLeNet", nets=1)["top5_test"]
    margin, with_data, without_data = (fact["value"] for fact in PAPER["table7"]["in_text"])
    assert theirs - ours == pytest.approx(margin) == 0.9
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
    noted = [fusion["stage"] for fusion in rows("table6") if "note" in fusion]
    assert noted == ["ILSVRC submission"]
    assert "only its fully connected layers" in rows("table6")[0]["note"]


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
    assert results["classification_top5_test"] == submitted["top5_test"] == 7.3
    field = [r["top5_test"] for r in rows("table7") if r["top5_test"] and not r.get("evaluation")]
    better = sum(error < submitted["top5_test"] for error in field)
    assert results["classification_place"] == 1 + better == 2

    localisation = {r["method"]: r["top5_test"] for r in rows("table10")}
    assert results["localisation_top5_test"] == localisation["VGG"] == 25.3
    assert results["localisation_place"] == 1
    assert localisation["VGG"] == min(localisation.values())
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


# The remarks, read from the tables


def test_remark_error_is_not_monotonic_in_depth() -> None:
    d, e = (
        {r["train_S"]: errors(r) for r in rows("table3", config=config)} for config in ("D", "E")
    )
    assert d["256"] == (27.0, 8.8) and e["256"] == (27.3, 9.0)
    assert e["384"][0] == 26.9 > d["384"][0] == 26.8
    assert e["384"][1] == d["384"][1] == 8.7
    for ours, theirs in zip(d["[256;512]"], e["[256;512]"], strict=True):
        assert ours - theirs == pytest.approx(0.1)


def test_remark_c_gains_nothing_on_top_1_from_a_larger_scale() -> None:
    assert {row("table3", config="C", train_S=s)["top1_val"] for s in ("256", "384")} == {28.1}


def test_remark_two_net_fusion() -> None:
    fused = [r for r in rows("table6") if len(r["models"]) == 2]
    found = {r["evaluation"]: errors(r) for r in fused}
    assert found["multi-crop"] == (23.9, 7.2)
    assert found["dense"] == (24.0, 7.1)


def test_remark_best_single_net() -> None:
    assert min(r["top5_val"] for r in rows("table5")) == 7.1
    single = row("table7", method="VGG", nets=1)
    assert (single["top5_val"], single["top5_test"]) == (7.1, 7.0)


def test_remark_c_and_a_lrn_differ_in_more_than_depth() -> None:
    kinds = {
        config: {entry if isinstance(entry, str) else entry[0] for entry in layers}
        for config, layers in layer_configs.items()
    }
    assert kinds["A-LRN"] == {3, "M", "LRN"} and kinds["C"] == {3, 1, "M"}
    assert all(kinds[config] == {3, "M"} for config in "ABDE")


def test_remark_best_net_at_submission() -> None:
    nets = [net for net in rows("table6")[0]["models"] if net["train_S"] == "[256;512]"]
    assert [net["config"] for net in nets] == ["D"]
    best = min(rows("table3"), key=errors)
    assert (best["config"], best["train_S"]) == ("E", "[256;512]")


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
    assert math.isclose(100 - 92.7, row("table7", method="VGG", nets=7)["top5_test"])
    assert {r["train_S"] for r in rows("table3", config="B")} == {"256"}
    assert [r["top5_val"] for r in rows("table3", config="C")] == [9.4, 9.3, 8.8]
    single = row("table3", config="D", train_S="[256;512]")
    several = row("table4", config="D", train_S="[256;512]")
    assert (several["top5_val"], single["top5_val"]) == (7.5, 8.1)


def test_correction_of_92_7_percent() -> None:
    (item,) = (item for item in PAPER["misquotations"] if "92.7%" in item["said"])
    jitter = {"config": "D", "train_S": "[256;512]"}
    values = [row(table, **jitter)["top5_val"] for table in ("table3", "table4")]
    values.append(row("table5", config="D", evaluation="multi-crop & dense")["top5_val"])
    assert re.findall(r"\d\.\d(?=%)", item["paper"]) == ["7.3", *map(str, values)]


# The chapter and the record


def test_the_chapter_prints_the_record_word_for_word() -> None:
    text = prose()
    open_questions = PAPER["ambiguities"]
    printed = [item[key] for item in open_questions for key in ("printed", "open")]
    printed += [item["note"] for item in open_questions if "note" in item]
    # As sentences, these begin with a capital letter.
    printed += [item[key][1:] for item in PAPER["misquotations"] for key in ("said", "paper")]
    printed += [item["change"] for item in PAPER["revisions"]["rows"] if item["change"]]
    assert [words for words in printed if words not in text] == []
    assert len(re.findall(r"^\d+\. \*\*.*Printed: ", text, re.M)) == len(open_questions)
    count = {8: "eight", 9: "nine", 10: "ten"}[len(open_questions)]
    assert f"meets {count} questions" in text and f"{count} details" in text


def test_the_claims_of_the_chapter_are_the_record() -> None:
    section = prose().split("\n## List the claims\n")[1].split("\n## ")[0]
    item = r"^(\d+)\. \*\*[^*]+\*\* \([^)]+\)\. (.+)\. Chapter \d(?: and chapter \d)?\.$"
    lines = re.findall(item, section, re.M)
    evidence = {int(number): text for number, text in lines}
    assert list(evidence) == list(range(1, 11))

    def table_3(scale: str, *configs: str) -> list[tuple[float, float]]:
        return [errors(row("table3", config=config, train_S=scale)) for config in configs]

    jitter, both = "[256;512]", "multi-crop & dense"
    pairs: dict[int, list[tuple[float, float]]] = {}
    pairs[3] = table_3("256", "A", "D", "E")
    pairs[4] = table_3("256", "A", "A-LRN")
    pairs[5] = table_3("256", "B", "C", "D")
    pairs[7] = [pair for net in "DE" for scale in ("384", jitter) for pair in table_3(scale, net)]
    pairs[8] = [errors(row("table4", config=net, train_S=jitter)) for net in "DE"]
    pairs[9] = [
        errors(row("table5", config="E", evaluation=both)),
        errors(row("table6", evaluation=both)),
    ]
    expected = {k: [str(value) for pair in found for value in pair] for k, found in pairs.items()}
    recall = {r["method"]: r["caltech256_recall"] for r in rows("table11")}
    expected[10] = [
        str(row("table10", method="VGG")["top5_test"]),
        str(recall["VGG Net-D & Net-E"]["mean"]),
        str(recall["Chatfield et al."]["mean"]),
    ]
    for number, text in evidence.items():
        assert re.findall(r"\d+\.\d+", text) == expected.get(number, []), (number, text)

    depths = [r["weight_layers"] for r in rows("table1")]
    millions = [r["parameters_millions"] for r in rows("table2")]
    assert evidence[1] == (
        f"{min(depths)} to {max(depths)} weight layers, "
        f"{min(millions)} to {max(millions)} million parameters"
    )


def test_every_decimal_of_the_chapter_is_printed_or_in_the_record() -> None:
    outputs = [out for cell in chapter_cells("code") for out in cell["outputs"]]
    known = json.dumps(PAPER) + "".join("".join(out.get("text", [])) for out in outputs)
    text = prose().split("\n## Try it\n")[0] + prose().split("\n## Summary\n")[1]
    places = r"(?:Sect|App)\. [A-C]?[\d.]+(?:(?:, | and )\d\.\d)*|arXiv:\d+\.\d+"
    found = set(re.findall(r"(?<![\d.])\d+\.\d+", re.sub(places, "", text)))
    decimals = set(re.findall(r"(?<![\d.])\d+\.\d+", known))
    assert found - decimals == set()
    assert len(found) > 50

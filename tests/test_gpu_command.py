"""The command for all GPU runs that are owed, rehearsed on the processor at toy size."""

import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from image_files import write_images
from torch.utils.data import TensorDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import gpu  # noqa: E402
import results  # noqa: E402
from experiments import EXPERIMENTS, base, fast_cifar10, reproduction  # noqa: E402

from vgg_utils.data import ImageData, load_digits  # noqa: E402

sys.path.insert(0, str(ROOT / "benchmarks"))
import bench  # noqa: E402
import cases  # noqa: E402

RUNS = ["fast", "vgg16", "depth", "flowers"]


def toy(settings):
    """The same settings with narrow networks and one short epoch."""
    small = {k: toy(v) if isinstance(v, dict) else v for k, v in settings.items()}
    if "layer_config" in small or "hidden_features" in small or "learning_rate" in small:
        small["width"] = 1 / 64
    if "hidden_features" in small:
        small["hidden_features"] = 8
    if "epochs" in small:
        small |= {"epochs": 1, "batch_size": 8}
    small |= {key: [] for key in ("milestones", "curve") if key in small}
    if "fit" in small:
        small["fit"].pop("width", None)
    return small


@pytest.fixture
def rehearsal(tmp_path, monkeypatch):
    """A repository of its own, the processor in place of the GPU, and two variants of each run."""
    noise = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    half = TensorDataset(noise, torch.arange(40) % 10)
    data = ImageData(half, half, [str(label) for label in range(10)], torch.full((3,), 0.5))
    monkeypatch.setattr(fast_cifar10, "cifar10", lambda folder: data)
    monkeypatch.setattr(base, "load_cifar10", lambda folder: data)
    reproduction.loaded.cache_clear()
    reproduction.trained.cache_clear()
    write_images(tmp_path / "data" / "flowers5", sizes=((150, 160), (170, 150)))
    monkeypatch.chdir(tmp_path)
    places = {(results, "RECORDS"): "records", (results, "PARTS"): "parts", (gpu, "OUT"): "out"}
    for (module, name), folder in {**places, (bench, "RESULTS"): "speed"}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(module, name, tmp_path / folder)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "DEVICE", "cpu")
    for name in ("fast_cifar10", "vgg16_cifar10", "depth_cifar10", "evaluation_flowers"):
        one = EXPERIMENTS[name]
        some = {key: toy(one.variants[key]) for key in list(one.variants)[:2]}
        run = reproduction.on("cpu") if name == "depth_cifar10" else one.run
        smaller = replace(one, device="cpu", seeds=[1, 2], variants=some, run=run)
        smaller = replace(smaller, common=toy(one.common))
        monkeypatch.setitem(EXPERIMENTS, name, smaller)
    tiny = {"image": 32, "batch": 2, "large_batch": 3, "width": 1 / 16, "small_batch": 8}
    tiny |= {"test_width": 1 / 64, "epoch_seconds": 0}
    monkeypatch.setitem(bench.SIZES, "cpu", replace(cases.SIZES["cpu"], **tiny))
    digits = load_digits()
    few = {part: TensorDataset(*getattr(digits, part)[:20]) for part in ("train", "test")}
    monkeypatch.setattr(cases, "load_digits", lambda: digits._replace(**few))
    monkeypatch.setattr(bench, "cases_for", lambda device: ["loop", "default"])
    return tmp_path


def test_all_that_is_owed_is_made_once(rehearsal, capsys):
    assert gpu.main([*RUNS, "speed"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("owed: nothing")
    for name in ("fast_cifar10", "vgg16_cifar10", "depth_cifar10", "evaluation_flowers"):
        record = json.loads((rehearsal / "records" / f"{name}.json").read_text(encoding="utf-8"))
        assert record["settings"]["seeds"] == [1, 2] and len(record["results"]) == 2
    speed = json.loads((rehearsal / "speed" / "cpu.json").read_text(encoding="utf-8"))
    assert list(speed["results"]) == ["loop", "default"]
    before = {path: path.stat().st_mtime_ns for path in (rehearsal / "records").iterdir()}
    assert gpu.main([*RUNS, "speed"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (rehearsal / "records").iterdir()}
    assert gpu.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert "depth     done" in listed and "tests     owed" in listed


def test_stage_out_of_time_goes_on_elsewhere_from_the_file_it_left(rehearsal, monkeypatch, capsys):
    made = []
    run = results.run_part
    monkeypatch.setattr(results, "run_part", lambda *what: made.append(what[1:3]) or run(*what))
    state = rehearsal / "gpu.tar"
    assert gpu.main(["vgg16", "--minutes", "0.00001", "--state", str(state)]) == 1
    assert "owed: vgg16" in capsys.readouterr().out and len(made) == 1
    with tarfile.open(state) as archive:
        assert any(name.startswith("parts/vgg16_cifar10/") for name in archive.getnames())
    for folder in ("parts", "records"):  # a machine that forgets
        shutil.rmtree(rehearsal / folder)
        (rehearsal / folder).mkdir()
    assert gpu.main(["vgg16", "--state", str(state)]) == 0
    assert len(made) == len(set(made)) == 4
    assert (rehearsal / "records" / "vgg16_cifar10.json").exists()


def test_stage_that_fails_leaves_the_others_to_run(rehearsal, monkeypatch, capsys):
    stages = gpu.stages()
    broken = gpu.command("broken", "-c", "raise SystemExit('no such thing here')")
    works = gpu.command("works", "-c", "print('12 passed')")
    monkeypatch.setattr(gpu, "stages", lambda: {"broken": broken, "works": works})
    assert gpu.main([]) == 1
    said = capsys.readouterr().out
    assert "no such thing here" in said and "failed: broken (broken ended with 1" in said
    assert (rehearsal / "out" / "works.txt").read_text() == "12 passed\n"
    assert not (rehearsal / "out" / "broken.txt").exists()
    assert next(iter(stages)) == "tests"


def test_benchmarks_of_two_machines_are_not_joined(rehearsal):
    gpu.main(["speed"])
    path = rehearsal / "speed" / "cpu.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="device was another before"):
        bench.joined({**record, "device": "another"}, record)


@pytest.mark.slow
def test_tests_for_a_gpu_pass_on_the_processor(monkeypatch):
    monkeypatch.setenv("VGG_TEST_DEVICE", "cpu")
    words = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    done = subprocess.run([*words, "tests/test_gpu.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and " failed" not in done.stdout

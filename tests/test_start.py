"""The first cell of a lesson: what it says of the machine, one thread, where it writes."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from vgg_utils import start
from vgg_utils.start import describe, start_lesson

ROOT = Path(__file__).resolve().parent.parent
TAKES = {"seconds": 20, "pace": 1.0, "gigabytes": 1.2, "steps": 1234, "choice": ""}
# As the first cell does, and then a training that every library could share out among threads.
TRAIN = """
import json, os
import sklearn.linear_model, threadpoolctl, torch
net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3))
sgd = torch.optim.SGD(net.parameters(), lr=1e-3)
for _ in range(30):
    sgd.zero_grad()
    net(torch.ones(16, 3, 48, 48)).square().mean().backward()
    sgd.step()
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
ticks = [0]
for task in os.listdir("/proc/self/task") if os.path.exists("/proc/self/task") else []:
    fields = open(f"/proc/self/task/{task}/stat").read().rpartition(")")[2].split()
    ticks.append(int(fields[11]) + int(fields[12]))  # hundredths of a second of processor time
print(json.dumps([pools, sum(tick > 2 for tick in ticks)]))
"""
START = 'from vgg_utils.start import start_lesson; start_lesson("01_paper")'


def run(code: str, **environment: str) -> list[str]:
    """Run code as a reader would, who has set no number of threads; return what it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    kept |= {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_after_the_first_cell_no_thread_has_another_to_wait_for() -> None:
    """Two threads on two busy cores took 28 times as long: each waits for the other, computing.

    Counted are the threads of every library, and those that have really worked.
    """
    pools, worked = json.loads(run(START + TRAIN)[-1])
    assert set(pools) == {1}
    assert worked <= 1  # there is no /proc but on Linux


@pytest.mark.skipif((os.cpu_count() or 1) == 1, reason="one core has one thread in any case")
def test_the_count_of_threads_can_fail() -> None:
    pools, worked = json.loads(run(TRAIN)[-1])
    assert max(pools) > 1
    if os.path.exists("/proc/self/task"):
        assert worked > 1


def test_who_sets_the_number_of_threads_gets_it() -> None:
    lines = run(START + "; import torch; print(torch.get_num_threads())", OMP_NUM_THREADS="2")
    assert lines[-1] == "2"
    assert lines[0].startswith("CPU, 2 of ") or "GB;" in lines[0]


@pytest.mark.parametrize("home", ["file", "none"])
def test_home_that_cannot_be_written_makes_no_noise(home: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "home" if home == "file" else Path("/proc/no/such/home")
    run(START + "; import matplotlib.pyplot", HOME=str(place))


def test_two_lines_say_what_is_coming(capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    start_lesson("06_training")
    first, second = capsys.readouterr().out.splitlines()
    assert f"PyTorch {torch.__version__}" in first
    assert "memory free" in first
    assert "CIFAR-10 (170 MB)" in second
    assert torch.equal(torch.get_rng_state(), state)  # a lesson's numbers stay what they are


def test_time_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured in 20 seconds where the pace was 1; here, each piece takes so much longer."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for pace, says in ((1.0, "about 20 seconds"), (2.4, "about 50 seconds"), (9.1, "4 minutes")):
        monkeypatch.setattr(start, "pace", lambda pace=pace: pace)
        assert says in describe(TAKES)[1]
    assert "1,234 steps of training" in describe(TAKES)[1]
    assert "1.2 GB of memory; nothing is downloaded." in describe(TAKES)[1]
    wants = describe(TAKES | {"choice": "a net (1 GB)"})[1]
    assert "only if you choose it: a net (1 GB). On Colab: Runtime > Change runtime type" in wants


def test_gpu_is_named_and_its_time_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (14e9, 15e9))
    first, second = describe(TAKES | {"choice": "a net"})
    assert first.startswith("Tesla T4 with 15 GB; ")
    assert "without the GPU (with it nobody has measured)" in second
    assert "Runtime >" not in second


def test_unknown_lesson_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no lesson is called '07_traning': there are 01_paper, "):
        start_lesson("07_traning")


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """What Colab has and other places lack, with a Drive in a folder here."""
    drive = types.SimpleNamespace(mounted=[], mount=lambda place: drive.mounted.append(place))
    package = types.ModuleType("google.colab")
    package.drive = drive  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(start, "DRIVE", tmp_path / "drive")
    monkeypatch.chdir(tmp_path)
    return drive


def test_drive_is_asked_for_only_if_the_reader_says_so(
    colab: types.SimpleNamespace, tmp_path: Path
) -> None:
    start_lesson("01_paper")
    assert colab.mounted == []
    assert Path.cwd() == tmp_path


def test_files_go_to_drive_and_are_there_after_a_disconnect(
    colab: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the cells are run again
        start_lesson("01_paper", keep_on_drive=True)
        assert colab.mounted[-1] == str(tmp_path / "drive")
        assert Path.cwd() == tmp_path / "drive" / "MyDrive" / "vggnet-book"
        with open("kept", "a") as file:
            file.write("x")
        monkeypatch.chdir(tmp_path)
    assert (tmp_path / "drive/MyDrive/vggnet-book/kept").read_text() == "xx"


def test_reader_who_refuses_drive_goes_on_without(
    colab: types.SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(place: str) -> None:
        raise ValueError("mount failed")

    colab.mount = refuse
    start_lesson("01_paper", keep_on_drive=True)
    assert "Drive was not opened (mount failed): files stay on this machine" in (
        capsys.readouterr().out
    )
    assert Path.cwd() == tmp_path


def test_elsewhere_than_on_colab_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", None)
    monkeypatch.chdir(tmp_path)
    start_lesson("01_paper", keep_on_drive=True)
    assert capsys.readouterr().out.startswith("No Drive here: files stay in this folder.")
    assert Path.cwd() == tmp_path

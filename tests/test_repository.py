"""What holds the repository together: its address, arrows between modules, budgets, workflows.

The tests of the address work on a copy of the repository, never on the files themselves.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import address  # noqa: E402

REPOSITORY, BRANCH = address.read_setting(ROOT)
ISSUE_FORMS = sorted(
    path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"
)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# The address


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository of its own with the same tracked files."""
    for path in tracked(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "--all", "--force"], cwd=tmp_path, check=True)
    return tmp_path


def tracked(root: Path) -> list[Path]:
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=root, encoding="utf-8")
    return [root / name for name in listed.split("\0") if (root / name).is_file()]


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in tracked(root)}


def places(data: bytes, repository: str, branch: str) -> list[int]:
    """Count what names the repository: by itself, with its branch, and its published site."""
    text, end = data.decode("utf-8", errors="replace"), r"(?![\w-])"
    forms = [f"/{repository}", f'"{repository}', f"/{repository}/blob/{branch}/"]
    forms += [f"/{repository}@{branch}", repository.replace("/", ".github.io/")]
    return [len(re.findall(re.escape(form) + end, text)) for form in forms]


def run_address(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, root / "tools" / "address.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_link_to_the_book_has_the_address_of_the_setting() -> None:
    """A link into the book's files or its Colab page names the one repository and branch."""
    link = re.compile(
        r"(?:github\.com|\.com/github|raw\.githubusercontent\.com)/"
        r"([\w.-]+/[\w.-]+)/(?:blob|raw|tree|edit)/([\w.-]+)/(?:book|vgg_utils|requirements)"
    )
    seen = 0
    for path in tracked(ROOT):
        text = path.read_bytes().decode("utf-8", errors="replace")
        for match in link.finditer(text):
            assert match.groups() == (REPOSITORY, BRANCH), f"{path.name}: {match[0]}"
            seen += 1
    notebooks = len(list((ROOT / "book").glob("*.ipynb")))
    assert seen >= notebooks  # Colab's, on every one


def test_address_stands_in_every_place_that_needs_it() -> None:
    config = yaml.safe_load(read("_config.yml"))
    assert config["repository"]["url"] == f"https://github.com/{REPOSITORY}"
    assert config["repository"]["branch"] == BRANCH
    assert yaml.safe_load(read("CITATION.cff"))["repository-code"].endswith(f"/{REPOSITORY}")
    for name in ("README.md", "CONTRIBUTING.md", "book/intro.md"):
        assert f"github.com/{REPOSITORY}" in read(name), name
    for path in (ROOT / "book").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert f"git+https://github.com/{REPOSITORY}@{BRANCH}" in text, path.name


@pytest.mark.parametrize(
    ("repository", "branch"),
    [
        (f"Some-One/{REPOSITORY.split('/')[1]}.fork_2", "trunk"),
        (f"{REPOSITORY}-2", BRANCH),  # one name begins with the other
        (REPOSITORY[:-2], "release/2.0"),
        (REPOSITORY, "trunk"),
    ],
)
def test_address_command_changes_every_place_and_back(
    repository: str, branch: str, copy: Path
) -> None:
    before = contents(copy)
    assert run_address(copy, repository, branch).returncode == 0
    after = contents(copy)
    assert address.read_setting(copy) == (repository, branch)
    for path, data in before.items():
        was = places(data, REPOSITORY, BRANCH)
        assert places(after[path], repository, branch) == was, path.name
        if repository != REPOSITORY:
            assert not any(places(after[path], REPOSITORY, BRANCH)), path.name
    config = yaml.safe_load((copy / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"] == {
        **config["repository"],
        "url": f"https://github.com/{repository}",
        "branch": branch,
    }

    assert run_address(copy, repository).returncode == 0
    assert contents(copy) == after  # once more changes nothing

    assert run_address(copy, REPOSITORY, BRANCH).returncode == 0
    assert contents(copy) == before  # to the byte


@pytest.mark.parametrize(
    "arguments",
    [
        ["vggnet-book"],
        ["https://github.com/owner/name"],
        ["owner/name/more"],
        ["-owner/name"],
        ["own_er/name"],
        ["owner/.."],
        ["owner/name.git"],
        ["owner/na me"],
        ["owner/name\n"],
        ["owner/nämé"],
        ["owner/name", "-branch"],
        ["owner/name", "two words"],
        ["owner/name", "main", "more"],
    ],
)
def test_address_command_refuses_what_is_no_address(copy: Path, arguments: list[str]) -> None:
    before = contents(copy)
    result = run_address(copy, *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert contents(copy) == before


def test_address_command_refuses_the_address_of_a_work_that_the_book_cites(copy: Path) -> None:
    before = contents(copy)
    result = run_address(copy, "Devlee247/PyTorch-Implementations")
    assert result.returncode == 1
    assert "names Devlee247/PyTorch-Implementations as another's work" in result.stderr
    assert contents(copy) == before


# The module


def test_importing_the_package_brings_in_no_heavy_library() -> None:
    heavy = {"torch", "torchvision", "numpy", "matplotlib", "sklearn"}
    code = f"import sys, vgg_utils; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("missing", "modules"),
    [
        ("torch", ["configs", "receptive_field"]),
        (
            "torchvision",
            [
                *("augmentation", "batches", "checkpoint", "checks", "data", "digits"),
                *("distributed", "evaluation", "fast_cifar10", "images", "inputs", "inside"),
                *("model", "plots", "seeds", "start", "train", "trained", "training", "user_data"),
            ],
        ),
    ],
)
def test_modules_import_without(missing: str, modules: list[str]) -> None:
    imports = "; ".join(f"import vgg_utils.{name}" for name in modules)
    code = f"import sys; sys.modules[{missing!r}] = None; {imports}"
    subprocess.run([sys.executable, "-c", code], check=True)


def circles(package: Path) -> list[list[str]]:
    """Return the groups of files of a package that import one another in a circle."""
    files = {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__"): path
        for path in package.rglob("*.py")
    }
    arrows = {
        name: imported(path, package.name, set(files)) - {name} for name, path in files.items()
    }

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = arrows[start] - {start}
        while waiting:
            name = waiting.pop()
            seen.add(name)
            waiting |= arrows[name] - seen
        return seen

    reach = {name: reached(name) for name in files}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in files
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def imported(path: Path, package: str, files: set[str]) -> set[str]:
    """Return the files of the package that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports in full: from vgg_utils.configs import ..."
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {name.removeprefix(f"{package}.") for name in names} & files
    return found


def test_arrows_between_modules_form_no_circle() -> None:
    assert circles(ROOT / "vgg_utils") == []


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    """Also one that goes through an import inside a function."""
    (tmp_path / "vgg_utils").mkdir()
    for name, text in {
        "__init__": "",
        "first": "from vgg_utils import second",
        "second": "def late():\n    import vgg_utils.third",
        "third": "from vgg_utils.first import thing",
        "fourth": "from vgg_utils.first import thing",
    }.items():
        (tmp_path / "vgg_utils" / f"{name}.py").write_text(text)
    assert circles(tmp_path / "vgg_utils") == [["first", "second", "third"]]


CORE = ["configs", "receptive_field", "model", "augmentation", "training", "evaluation"]
ANY_NETWORK = ["network_receptive_field", "sight", "sight_rules"]  # a tool of its own


def test_module_stays_an_evening_s_read() -> None:
    """Lines of the six files that carry the paper, and of the whole package.

    5,200, what loads the own networks, photographs and live figures (one runs the networks), more
    lessons to check, what says at the start of each what it takes, and what makes the fast run fit
    a CPU. Beside it, what follows the receptive field through any network of PyTorch's.
    """
    lines = {
        path.relative_to(ROOT / "vgg_utils").with_suffix("").as_posix(): len(
            path.read_text(encoding="utf-8").splitlines()
        )
        for path in (ROOT / "vgg_utils").rglob("*.py")
    }
    core = {name: lines[name] for name in CORE}
    assert sum(core.values()) <= 1650, core
    apart = sum(lines[name] for name in ANY_NETWORK)
    assert apart <= 1610
    assert sum(lines.values()) - apart <= 5910, lines


def test_formatting_has_no_exceptions() -> None:
    """A layout that the formatter must not touch is a sign of settings that nobody agrees with."""
    mark = re.compile(r"#\s*fmt\s*:")
    files = [path for path in tracked(ROOT) if path.suffix == ".py"]
    assert files
    assert [path.name for path in files if mark.search(path.read_text("utf-8"))] == []


def test_every_file_of_the_module_is_installed_with_it() -> None:
    """Setuptools takes folders with an __init__.py, and data files of the kinds it is told."""
    kinds = re.findall(r'^"\*" = \[(.*)\]$', read("pyproject.toml"), flags=re.MULTILINE)
    kept = re.findall(r'"([^"]+)"', kinds[0])
    for path in (ROOT / "vgg_utils").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert any(path.match(kind) for kind in kept), path
            assert (path.parent / "__init__.py").exists(), path


# The files a reader or a robot relies on


def test_every_checkout_has_the_same_bytes() -> None:
    """What git takes for text ends its lines with one line feed, on Windows too."""
    listed = subprocess.check_output(["git", "ls-files", "--eol"], cwd=ROOT, encoding="utf-8")
    for line in listed.splitlines():
        stored, _, rule = line.partition("\t")[0].strip().split(maxsplit=2)
        assert (stored, rule) in {
            ("i/lf", "attr/text=auto eol=lf"),
            ("i/none", "attr/text=auto eol=lf"),
            ("i/-text", "attr/-text"),
        }, line


def test_citation_has_what_citing_needs() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "url"} <= set(citation)
    assert citation["title"] == yaml.safe_load(read("_config.yml"))["title"]


def test_version_stands_in_one_place() -> None:
    """It is a literal, which setuptools reads without importing the package."""
    code = ast.parse(read("vgg_utils/__init__.py"))
    names = {
        ast.unparse(node.targets[0]): node for node in code.body if isinstance(node, ast.Assign)
    }
    version = ast.literal_eval(names["__version__"].value)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert f"## [{version}]" in read("CHANGELOG.md")
    assert not {"version", "date-released"} & set(yaml.safe_load(read("CITATION.cff")))
    project = read("pyproject.toml").split("[project]\n")[1].split("\n[")[0]
    assert not re.search(r"^version\b", project, flags=re.MULTILINE)
    assert 'version = { attr = "vgg_utils.__version__" }' in read("pyproject.toml")


PAGES = ["README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"]
IN_BOOK = ["book/intro.md", "book/reference/decisions.md"]


@pytest.mark.parametrize("name", [*PAGES, *IN_BOOK, "Makefile", ".pre-commit-config.yaml"])
def test_every_make_command_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\s{4}|entry: )make ([a-z-]+)", read(name), flags=re.MULTILINE))
    assert named <= targets, f"no such target: {sorted(named - targets)}"


@pytest.mark.parametrize("name", [*PAGES, *IN_BOOK])
def test_every_relative_link_leads_to_a_file(name: str) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(name)):
        if not re.match(r"[a-z]+:", link):
            assert (ROOT / name).parent.joinpath(link).exists(), f"{name} links to {link}"


def test_lock_pins_every_package_and_what_pyproject_pins() -> None:
    lines = [line for line in read("requirements.txt").splitlines() if re.match(r"\w", line)]
    assert all(re.match(r"[\w.-]+==[\w.+!]+( ;|$)", line) for line in lines)
    pins = {line.split(" ;")[0] for line in lines}
    assert set(re.findall(r'"(torch(?:vision)?==[^"]+)"', read("pyproject.toml"))) <= pins


@pytest.mark.parametrize("path", ISSUE_FORMS, ids=lambda path: path.stem)
def test_issue_form_is_one_that_github_takes(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "title", "body"}
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    for field in form["body"]:
        assert field["type"] in ("input", "textarea")
        assert field["attributes"]["label"]
        assert set(field) <= {"type", "id", "attributes", "validations"}
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_hook_refuses_long_subjects_alone() -> None:
    """Of a commit's message, the first line has at most 72 characters; the body has no limit."""
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    hook = next(hook for hook in hooks if hook["id"] == "subject")
    assert hook["language"] == "pygrep"
    assert hook["args"] == ["--multiline"]
    refused = re.compile(hook["entry"].encode(), re.MULTILINE).search  # as pygrep does
    assert not refused(b"s" * 72 + b"\n\n" + b"b" * 200)
    assert refused(b"s" * 73 + b"\n\nbody")
    assert refused(b"s" * 73)


# The workflows


def test_workflows_and_forms_are_there() -> None:
    assert {path.name for path in WORKFLOWS} >= {"tests.yml", "publish.yml", "weekly.yml"}
    assert {path.stem for path in ISSUE_FORMS} >= {"typo", "wrong_number", "exercise"}


def test_ci_runs_what_make_runs() -> None:
    """Who has no make, and the workflow on systems without it, get the same commands."""
    recipes = re.findall(
        r"^\t\$\(BIN\)/(ruff .*|mypy .*|zizmor .*)$", read("Makefile"), re.MULTILINE
    )
    assert len(recipes) == 4
    for recipe in recipes:
        assert recipe in read(".github/workflows/tests.yml"), recipe
        assert recipe.replace("--quiet ", "") in read("README.md"), recipe
    assert re.findall(r"^make (\S+)", read(".ci/run"), re.MULTILINE) == ["test", "test-slow"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_is_pinned_bounded_and_asks_for_little(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        for permission, level in job.get("permissions", {}).items():
            assert level == "read" or permission in ("pages", "id-token"), name
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "pass values through the environment"
    uses = re.findall(r"^\s*(?:- )?uses: (.*)$", text, flags=re.MULTILINE)
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_workflow_of_the_tests_names_files_that_exist() -> None:
    named = re.findall(r"tests/\w+\.py", read(".github/workflows/tests.yml"))
    assert named
    assert all((ROOT / name).exists() for name in named)


def test_weekly_run_takes_colab_s_versions_the_oldest_and_the_image() -> None:
    jobs = yaml.safe_load(read(".github/workflows/weekly.yml"))["jobs"]
    ends = [job["versions"] for job in jobs["versions"]["strategy"]["matrix"]["include"]]
    assert set(ends) | {"here"} == {"colab", "oldest", "here"}
    for name, says in (("versions", '--versions "$VERSIONS"'), ("image", "--versions here")):
        assert f"tools/alone.py {says}" in jobs[name]["steps"][-1]["run"]


def test_publishing_waits_for_the_tests_of_the_site() -> None:
    jobs = yaml.safe_load(read(".github/workflows/publish.yml"))["jobs"]
    steps = jobs["build"]["steps"]
    commands = [step.get("run", step.get("uses", "")) for step in steps]
    check = next(i for i, command in enumerate(commands) if "tests/test_site.py" in command)
    upload = next(i for i, command in enumerate(commands) if "upload-pages-artifact" in command)
    assert check < upload
    assert steps[check]["env"]["BOOK_SITE"] == steps[upload]["with"]["path"]
    assert jobs["deploy"]["needs"] == "build"

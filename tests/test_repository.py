"""What holds the repository together: its address, arrows between modules, workflows, site check.

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

import vgg_utils

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import address  # noqa: E402
import check_site  # noqa: E402

REPOSITORY, BRANCH = address.read_setting(ROOT)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# The address


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of every file that may hold the address."""
    for path in address.text_files(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return tmp_path


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in address.text_files(root)}


def run_address(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "tools" / "address.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_link_to_the_book_has_the_address_of_the_setting() -> None:
    """A link into the book's files or its Colab page names the one repository and branch."""
    link = re.compile(
        r"(?:github\.com|\.com/github|raw\.githubusercontent\.com)/"
        r"([\w.-]+/[\w.-]+)/(?:blob|raw|tree|edit)/([\w.-]+)/(?:book|vgg_utils|requirements)"
    )
    seen = 0
    for path in address.text_files(ROOT):
        if path == Path(__file__):
            continue
        for match in link.finditer(path.read_text(encoding="utf-8")):
            assert match.groups() == (REPOSITORY, BRANCH), f"{path.name}: {match[0]}"
            seen += 1
    notebooks = len(list((ROOT / "book").glob("*.ipynb")))
    assert seen >= 2 * notebooks  # Colab and download, on every one


def test_address_stands_in_every_place_that_needs_it() -> None:
    config = yaml.safe_load(read("_config.yml"))
    assert config["repository"]["url"] == f"https://github.com/{REPOSITORY}"
    assert config["repository"]["branch"] == BRANCH
    assert yaml.safe_load(read("CITATION.cff"))["repository-code"].endswith(f"/{REPOSITORY}")
    for name in ("README.md", "CONTRIBUTING.md", "book/intro.md"):
        assert f"github.com/{REPOSITORY}" in read(name), name
    for path in (ROOT / "book").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert f"git+https://github.com/{REPOSITORY}" in text, path.name


def test_address_command_changes_every_place_and_back(copy: Path) -> None:
    before = contents(copy)
    result = run_address(copy, "Some-One/other.book_2", "--branch", "trunk")
    assert result.returncode == 0, result.stderr
    assert "Some-One/other.book_2, branch trunk" in result.stdout
    after = contents(copy)
    owner = REPOSITORY.split("/")[0]
    for path, data in after.items():
        text = data.decode("utf-8")
        assert REPOSITORY not in text or path.name == Path(__file__).name, path.name
        assert f"{owner}.github.io" not in text, path.name
        assert "OWN" + "ER/" not in text, path.name
        was = before[path].decode("utf-8")
        for form in (f"github.com/{REPOSITORY}", f".com/github/{REPOSITORY}"):
            new = form.replace(REPOSITORY, "Some-One/other.book_2")
            assert text.count(new) == was.count(form), path.name
            for kind in ("blob", "raw", "tree"):
                assert f"{new}/{kind}/{BRANCH}/" not in text, path.name
    config = yaml.safe_load((copy / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"]["branch"] == "trunk"
    assert address.read_setting(copy) == ("Some-One/other.book_2", "trunk")

    assert run_address(copy, "Some-One/other.book_2").returncode == 0
    assert contents(copy) == after  # once more changes nothing

    assert run_address(copy, REPOSITORY, "--branch", BRANCH).returncode == 0
    assert contents(copy) == before  # to the byte


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vggnet-book", "owner/name"),
        ("https://github.com/owner/name", "owner/name"),
        ("owner/name/more", "owner/name"),
        ("-owner/name", "owner/name"),
        ("owner/..", "owner/name"),
        ("owner/na me", "owner/name"),
        ("Devlee247/PyTorch-Implementations", "already links to Devlee247"),
    ],
)
def test_address_command_refuses_what_is_no_address(copy: Path, name: str, says: str) -> None:
    before = contents(copy)
    result = run_address(copy, name)
    assert result.returncode == 2
    assert says in result.stderr
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
                *("augmentation", "batches", "checkpoint", "checks", "data"),
                *("distributed", "evaluation", "fast_cifar10", "localise", "model", "plots"),
                *("train", "training"),
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


def test_every_file_of_the_module_is_installed_with_it() -> None:
    """Setuptools takes folders with an __init__.py, and data files of the kinds it is told."""
    kinds = re.findall(r'^"\*" = \[(.*)\]$', read("pyproject.toml"), flags=re.MULTILINE)
    kept = re.findall(r'"([^"]+)"', kinds[0])
    for path in (ROOT / "vgg_utils").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert any(path.match(kind) for kind in kept), path
            assert (path.parent / "__init__.py").exists(), path


# The files a reader or a robot relies on


def test_citation_has_what_citing_needs_and_the_version_of_the_package() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "url"} <= set(citation)
    assert citation["version"] == vgg_utils.__version__
    assert f'\nversion = "{vgg_utils.__version__}"\n' in read("pyproject.toml")
    assert citation["title"] == yaml.safe_load(read("_config.yml"))["title"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "book/intro.md", "Makefile"])
def test_every_make_command_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\s{4})make ([a-z]+)\b", read(name), flags=re.MULTILINE))
    assert named <= targets, f"no such target: {sorted(named - targets)}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_relative_link_leads_to_a_file(name: str) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(name)):
        if not re.match(r"[a-z]+:", link):
            assert (ROOT / link).exists(), f"{name} links to {link}"


def test_lock_pins_every_package_and_what_pyproject_pins() -> None:
    lines = [line for line in read("requirements.txt").splitlines() if re.match(r"\w", line)]
    assert all(re.match(r"[\w.-]+==[\w.+!]+( ;|$)", line) for line in lines)
    pins = {line.split(" ;")[0] for line in lines}
    assert set(re.findall(r'"(torch(?:vision)?==[^"]+)"', read("pyproject.toml"))) <= pins


# The workflows


def test_workflows_are_there() -> None:
    assert {path.name for path in WORKFLOWS} >= {"tests.yml", "publish.yml"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_is_pinned_bounded_and_asks_for_little(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
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


def test_publishing_waits_for_the_check_of_the_site() -> None:
    jobs = yaml.safe_load(read(".github/workflows/publish.yml"))["jobs"]
    commands = [step.get("run", step.get("uses", "")) for step in jobs["build"]["steps"]]
    check = next(i for i, command in enumerate(commands) if "check_site.py" in command)
    upload = next(i for i, command in enumerate(commands) if "upload-pages-artifact" in command)
    assert check < upload
    assert jobs["deploy"]["needs"] == "build"


# The check that publishing depends on

PAGE = "<html><body><article><h1>Title</h1><p>{}</p></article></body></html>"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small whole site, with the front page that Jupyter Book writes."""
    (tmp_path / "_toc.yml").write_text(
        "root: book/intro\nparts:\n- chapters:\n  - file: book/one\n"
        "    sections:\n    - file: book/two\n"
    )
    (tmp_path / "book").mkdir()
    for name in ("intro", "one", "two"):
        (tmp_path / "book" / f"{name}.html").write_text(PAGE.format("word " * 200))
    (tmp_path / "index.html").write_text(
        '<meta http-equiv="Refresh" content="0; url=book/intro.html" />'
    )
    (tmp_path / "searchindex.js").write_text("Search.setIndex({})")
    return tmp_path


def problems(site: Path) -> list[str]:
    return check_site.problems(site, site / "_toc.yml")


def test_whole_site_passes(site: Path) -> None:
    assert problems(site) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("index.html", "index.html is missing"),
        ("book/intro.html", "index.html leads to book/intro.html, which is missing"),
        ("book/one.html", "book/one.html is missing"),
        ("book/two.html", "book/two.html is missing"),
        ("searchindex.js", "searchindex.js is missing"),
    ],
)
def test_site_without_a_page_is_refused(site: Path, name: str, says: str) -> None:
    (site / name).unlink()
    assert any(says in problem for problem in problems(site))


@pytest.mark.parametrize("page", [PAGE.format("word"), "", "<h1>Title</h1>" + "word " * 200])
def test_site_with_an_empty_page_is_refused(site: Path, page: str) -> None:
    (site / "book" / "one.html").write_text(page)
    assert any("book/one.html has" in problem for problem in problems(site))


def test_empty_site_fails_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "check_site.py", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "index.html is missing" in done.stderr
    for path in (ROOT / "book").glob("*.ipynb"):
        assert f"book/{path.stem}.html is missing" in done.stderr

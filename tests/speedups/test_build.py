"""How the accelerator is built: without a compiler not at all, and under sanitizers."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src/dkimcore/_speedups.c"
INCLUDE = sysconfig.get_path("include")
CODE = "from dkimcore.protocol.speedups import in_use; print(in_use())"


def environment(**changes):
    """This process's, without what would decide about the accelerator."""
    kept = {name: value for name, value in os.environ.items() if name != "DKIMCORE_NO_SPEEDUPS"}
    return {**kept, **changes}


def run(*arguments, folder=ROOT, **changes):
    return subprocess.run(
        list(map(str, arguments)),
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def wheel(folder, **changes):
    """Builds a wheel of a copy of the project and unpacks it."""
    project = folder / "project"
    ignored = shutil.ignore_patterns("*.egg-info", "*.so", "__pycache__")
    shutil.copytree(ROOT / "src", project / "src", ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", folder)
    built = run(sys.executable, "-m", "pip", "wheel", *options, project, **changes)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    with zipfile.ZipFile(found) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_without_a_compiler_it_is_installed_without_the_accelerator(tmp_path):
    installed = wheel(tmp_path, CC="/bin/false")
    assert list(installed.rglob("*.so")) == []
    used = run(sys.executable, "-c", CODE, folder=tmp_path, PYTHONPATH=str(installed))
    assert (used.stdout, used.stderr) == ("none\n", "")


@pytest.mark.server("gcc")
def test_with_a_compiler_one_build_serves_every_python(tmp_path):
    installed = wheel(tmp_path, CC="gcc")
    (extension,) = installed.rglob("*.so")
    assert extension.name == "_speedups.abi3.so"
    used = run(sys.executable, "-c", CODE, folder=tmp_path, PYTHONPATH=str(installed))
    assert (used.stdout, used.stderr) == ("C\n", "")
    assert (extension.parent / "_speedups.pyi").exists()


def test_everything_passes_without_it():
    """The tests of canonicalization and of the RFCs' examples."""
    tests = [f"tests/{name}.py" for name in ("protocol/test_canonical", "protocol/test_message")]
    tests += ["tests/test_vectors.py", "tests/properties/test_canonicalization.py"]
    options = ("-q", "--no-header", "-p", "no:cacheprovider")
    passed = run(sys.executable, "-m", "pytest", *options, *tests, DKIMCORE_NO_SPEEDUPS="1")
    assert passed.returncode == 0, passed.stdout


def test_the_stub_says_what_is_there():
    found = run(sys.executable, "-m", "mypy.stubtest", "dkimcore._speedups", MYPYPATH="src")
    assert found.returncode == 0, found.stdout + found.stderr


def sanitized(folder, text, *defined):
    """Builds with every warning an error, and what is wrong at run time the end."""
    source, extension = folder / "_speedups.c", folder / "_speedups.so"
    source.write_text(text)
    warnings = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror", "-std=c11")
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
    output = ("-fPIC", "-shared", f"-I{INCLUDE}", str(source), "-o", str(extension))
    built = run("gcc", *warnings, *sanitizers, *defined, *output)
    assert built.returncode == 0, built.stderr
    return extension


def exercised(extension):
    libraries = [
        run("gcc", f"-print-file-name={name}").stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return run(
        *(sys.executable, "-m", "tests.speedups.exercise", extension, 1000),
        LD_PRELOAD=" ".join(libraries),
        # CPython keeps objects to the end; what the extension keeps, test_same.py finds.
        ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1",
        # Python's own allocator would hide a write behind the end of a small block.
        PYTHONMALLOC="malloc",
    )


LIMITED = "-DPy_LIMITED_API=0x030b0000"


@pytest.mark.server("gcc")
@pytest.mark.parametrize(
    "defined",
    [(LIMITED,), (LIMITED, "-DDKIMCORE_SCALAR"), ()],
    ids=["SSE2 where it is to be had", "any processor", "the API of one Python"],
)
def test_sanitizers_find_nothing(tmp_path, defined):
    ran = exercised(sanitized(tmp_path, SOURCE.read_text("ascii"), *defined))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("memory errors: ")


@pytest.mark.server("gcc")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("PyMem_Malloc(leading + end + ROOM)", "PyMem_Malloc(leading + end)"),
        ("if (rest >= BLOCK + AHEAD)", "if (rest >= BLOCK)"),
    ],
)
def test_a_fault_is_noticed(tmp_path, right, wrong):
    text = SOURCE.read_text("ascii")
    assert right in text
    ran = exercised(sanitized(tmp_path, text.replace(right, wrong), LIMITED))
    assert ran.returncode != 0
    assert "AddressSanitizer" in ran.stderr

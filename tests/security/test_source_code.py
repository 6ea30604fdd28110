"""What the code never does: files whose names are known, arithmetic with keys, code from data."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent.parent / "src"
TREES = {
    path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted(SOURCE.rglob("*.py"))
}


def nodes(kind, trees=TREES):
    return [
        (name, node)
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, kind)
    ]


def imported(trees=TREES):
    """Modules that are imported anywhere, by the file that does."""
    for name, node in nodes((ast.Import, ast.ImportFrom), trees):
        if isinstance(node, ast.ImportFrom):
            yield name, node.module or ""
        else:
            for alias in node.names:
                yield name, alias.name


def called(trees=TREES):
    for name, node in nodes(ast.Call, trees):
        if isinstance(node.func, ast.Name):
            yield name, node.func.id, node
        elif isinstance(node.func, ast.Attribute):
            yield name, node.func.attr, node


def test_no_file_is_made_under_a_name_that_can_be_known_before():
    """CVE-2020-35766: one below /tmp.  `tempfile` makes names at random, and the file with them."""
    made = [(name, function) for name, function, _ in called() if function == "mktemp"]
    assert made == []
    texts = [
        (name, node.value)
        for name, node in nodes(ast.Constant)
        if isinstance(node.value, str) and node.value.startswith(("/tmp", "/var/tmp"))
    ]
    assert texts == []


def test_python_computes_with_no_private_key_and_with_public_ones_of_bounded_length_alone():
    """pow() takes its time by the octets of a key, and whole minutes for a hostile one."""
    powers = {
        name for name, function, node in called() if function == "pow" and len(node.args) == 3
    }
    assert powers == {
        "dkimcore/protocol/crypto.py",  # a point of Ed25519: numbers of 255 bits, all public
        "dkimcore/diagnosis/keyfit.py",  # a key that is bounded, for a person who asks why
    }
    private = {"private_numbers", "RSAPrivateNumbers", "rsa_crt_iqmp", "rsa_crt_dmp1"}
    readers = [name for name, function, _ in called() if function in private]
    # A key that is copied in a child process, or brought to a token: its numbers are handed on as
    # they are.
    assert sorted(readers) == ["dkimcore/keys/memory.py", "dkimcore/keys/pkcs11/templates.py"]


def test_nothing_that_was_read_becomes_code():
    made = {"eval", "exec", "compile", "__import__", "loads", "system", "popen"}
    allowed = {"re", "json", "tomllib"}
    found = []
    for name, function, node in called():
        if function not in made:
            continue
        owner = getattr(getattr(node.func, "value", None), "id", None)
        if owner not in allowed:
            found.append((name, function))
    assert found == []
    unwanted = {"pickle", "marshal", "shelve", "subprocess"}
    assert [pair for pair in imported() if pair[1].partition(".")[0] in unwanted] == []


@pytest.mark.parametrize(
    "code", ["import tempfile", "from tempfile import mkstemp", "import tempfile.x as y"]
)
def test_an_import_is_noticed(code):
    assert [module.partition(".")[0] for _, module in imported({"x.py": ast.parse(code)})] == [
        "tempfile"
    ]

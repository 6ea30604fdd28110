"""What `import dkimcore` offers, and what it costs."""

import inspect
import json
import subprocess
import sys

import pytest

import dkimcore

LAZY = ["Milter", "asyncio", "boto3", "botocore", "click", "dns", "hvac", "idna", "pkcs11", "rich"]


def test_the_public_names_are_sorted_and_there():
    names = dkimcore.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(dkimcore, name)] == []


def test_nothing_else_is_public():
    """What is visible besides are the package's own modules."""
    others = [
        name
        for name, value in vars(dkimcore).items()
        if not name.startswith("_") and name not in dkimcore.__all__ and not inspect.ismodule(value)
    ]
    assert others == []


@pytest.mark.parametrize("name", [name for name in dkimcore.__all__ if name != "__version__"])
def test_a_public_name_is_documented(name):
    """Its own docstring, not one that a base class or a dataclass wrote."""
    thing = getattr(dkimcore, name)
    text = inspect.getdoc(thing) or ""
    assert len(text) > 20
    assert not text.startswith(f"{name}(")
    if inspect.isclass(thing):
        methods = [
            f"{name}.{method}"
            for method, function in vars(thing).items()
            if not method.startswith("_")
            and (inspect.isfunction(function) or isinstance(function, property))
            and not inspect.getdoc(function)
        ]
        assert methods == []


def modules_after(statement):
    """The names of all modules loaded in a fresh process."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(run.stdout))


# What `cryptography` itself brings in is not ours to avoid.
FLOOR = """
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
"""


def test_importing_loads_nothing_that_is_not_used_yet():
    """No extra, no DNS, no event loop: who signs with a file never pays for these."""
    loaded = modules_after("import dkimcore") - modules_after(FLOOR)
    assert [name for name in LAZY if name in loaded] == []


def test_the_asyncio_front_end_loads_no_extra():
    loaded = modules_after("import dkimcore.aio") - modules_after(FLOOR)
    assert [name for name in LAZY if name in loaded and name != "asyncio"] == []


def test_signing_and_verifying_with_keys_at_hand_loads_no_dns():
    script = "\n".join(
        (
            "import dkimcore",
            "from tests.protocol import material",
            "signed = material.sign(material.MESSAGE, material.ed25519())",
            "assert material.verify(signed, material.ed25519().record()).passed",
        )
    )
    loaded = modules_after(script) - modules_after(FLOOR)
    assert [name for name in LAZY if name in loaded] == []


def test_the_package_is_typed_and_has_a_version():
    from importlib import metadata, resources

    assert resources.files("dkimcore").joinpath("py.typed").is_file()
    assert metadata.version("dkimcore") == dkimcore.__version__

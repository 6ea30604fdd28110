"""What README and the documentation say is true: examples run, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.snippets import Page, blocks
from tests.servers import requires_server

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_" not in path.parts[-2]),
]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@each_page
@pytest.mark.server("nsd")
def test_examples_do_what_the_page_says(path, tmp_path):
    if "softhsm2-util" in path.read_text("utf-8"):
        requires_server("softhsm")
    Page(path, tmp_path).run()


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *PAGES[1:]], ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_to_files_lead_somewhere(path):
    prose = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in LINK.findall(prose):
        if re.match(r"[a-z]+:", target):
            continue
        file = ROOT / "docs" / target[1:] if target.startswith("/") else path.parent / target
        assert file.exists(), f"{path.name} links to {target}"


SAMPLE = """\
Some text.

<!-- file: a.txt -->
```
k1 IN TXT ("v=DKIM1; " "p=")
```

<!-- run -->
```console
$ cat a.txt
k1 IN ... "p=")
$ true
```

```console
$ never run
```

<!-- run status=3 -->
```shell
exit 3
```

<!-- setup: touch unseen -->

```python
import os
assert os.path.exists("unseen")
names = ["k1.example.com"]
```

```python
from dkimcore.resolvers.dnspython import DnspythonResolver
assert DnspythonResolver().lookup_txt(f"{names[0]}.").records == (b"v=DKIM1; p=",)
```

<!-- no-run: needs a mail server -->
```python
raise SystemExit(1)
```
"""


@pytest.mark.server("nsd")
def test_blocks_share_a_folder_a_namespace_and_a_name_server(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(SAMPLE)
    assert [block.language for block in blocks(SAMPLE)] == [
        *("", "console", "console", "shell", "setup", "python", "python", "python")
    ]
    assert Page(page, tmp_path).run() == 6


@pytest.mark.server("nsd")
@pytest.mark.parametrize(
    ("sample", "problem"),
    [
        ("<!-- run -->\n```console\n$ echo one\ntwo\n```\n", "but it prints\none"),
        ("<!-- run -->\n```shell\nexit 2\n```\n", "exit status 2, not 0"),
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
    ],
)
def test_an_example_that_does_not_do_what_it_says_is_noticed(tmp_path, sample, problem):
    page = tmp_path / "page.md"
    page.write_text(sample)
    with pytest.raises(AssertionError, match=problem):
        Page(page, tmp_path).run()

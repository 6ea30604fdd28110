"""The process's own resolvers: made once, and of use without any configuration."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dkimcore.resolvers.system import async_system_resolver, system_resolver


@pytest.mark.parametrize("make", [system_resolver, async_system_resolver])
def test_there_is_one_of_each_for_all_threads(make):
    with ThreadPoolExecutor(8) as pool:
        resolvers = [pool.submit(make) for _ in range(64)]
    assert len({id(future.result()) for future in resolvers}) == 1


def test_in_a_container_without_resolv_conf_answers_are_failures():
    code = (
        "import asyncio\n"
        "from dkimcore.resolvers import dnspython\n"
        "dnspython._Configured.__init__.__kwdefaults__['resolv_conf'] = '/nonexistent'\n"
        "from dkimcore.resolvers.system import async_system_resolver, system_resolver\n"
        "answers = [system_resolver().lookup_txt('a.example.'),\n"
        "           asyncio.run(async_system_resolver().lookup_txt('a.example.'))]\n"
        "print(*(answer.status.name + ' ' + answer.detail for answer in answers), sep='\\n')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert (
        run.stdout.splitlines()
        == [
            "FAILED /nonexistent cannot be read (No such file or directory): "
            "name a server there, or give nameservers"
        ]
        * 2
    )

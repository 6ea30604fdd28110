"""Builds the accelerator where there is a compiler; everything else is in pyproject.toml.

Without a compiler dkimcore is installed without it: docs/adr/0017-optional-c-accelerator.md.
"""

from __future__ import annotations

import sysconfig

from setuptools import Extension, setup

# One build serves every Python from 3.11 on, but not one without a GIL.
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    ext_modules=[
        Extension(
            "dkimcore._speedups",
            ["src/dkimcore/_speedups.c"],
            # Debian's Python asks for -O2, which costs a third of the speed.
            extra_compile_args=["-O3"],
            define_macros=[("Py_LIMITED_API", "0x030b0000")] if LIMITED else [],
            optional=True,
            py_limited_api=LIMITED,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED else {},
)

"""Every case of the set, in the order of the standards' statements."""

from functools import cache

from . import (
    body_cases,
    canonical_cases,
    crypto_cases,
    ed25519_cases,
    identity_cases,
    procedure_cases,
    record_cases,
    signature_cases,
    signed_fields_cases,
    taglist_cases,
)
from .model import Case

_MODULES = (
    taglist_cases,
    signature_cases,
    signed_fields_cases,
    identity_cases,
    canonical_cases,
    body_cases,
    crypto_cases,
    ed25519_cases,
    record_cases,
    procedure_cases,
)


@cache
def all_cases() -> tuple[Case, ...]:
    """The whole set; names are unique."""
    made = [case for module in _MODULES for case in module.cases()]
    names = [case.name for case in made]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise AssertionError(f"cases with the same name: {sorted(twice)}")
    return tuple(sorted(made, key=lambda case: (case.statement, case.name)))

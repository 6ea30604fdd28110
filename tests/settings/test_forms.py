"""Both forms of the settings mean the same: whatever is printed in both is read alike."""

from __future__ import annotations

import json
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from dkimcore.protocol.algorithm import Algorithm
from dkimcore.protocol.canonical import Canonicalization
from dkimcore.settings import Settings, Source, load_settings
from dkimcore.settings.assemble import fill
from dkimcore.settings.fields import GROUPS
from dkimcore.settings.options import OPTIONS

# What only a pair of options can say in opendkim.conf.
PAIRED = {option.name: option.fields for option in OPTIONS if len(option.fields) == 2}
OPTION = {
    option.fields[0]: option.name
    for option in OPTIONS
    if len(option.fields) == 1 and option.name != "X-Header"
}
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters='#,"\\', exclude_categories=["C", "Z"]),
    min_size=1,
)
SPECIAL = {
    "signing.algorithm": st.sampled_from([Algorithm.RSA_SHA256, Algorithm.ED25519_SHA256]),
    "signing.lifetime": st.integers(1, 10**9),
    "signing.maximum_signed_bytes": st.integers(0, 10**9),
    "verifying.minimum_key_bits": st.integers(1024, 8192),
    "verifying.clock_drift": st.integers(1, 10**6),
    "verifying.maximum_header_octets": st.integers(1, 10**9),
    "verifying.minimum_body": st.from_regex(r"[0-9]{1,9}\+?|[0-9]{1,2}%|100%", fullmatch=True),
    "resolving.message_timeout": st.integers(1, 1000),
    "resolving.nameservers": st.lists(st.ip_addresses().map(str), min_size=1).map(tuple),
    "logging.facility": st.sampled_from(["mail", "auth", "local7"]),
    "process.umask": st.integers(0, 0o777),
    "process.auto_restart_rate": st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)),
    "process.workers": st.integers(0, 1024),
    "limits.header_fields": st.integers(10, 10**9),
    "limits.recipients": st.integers(100, 10**9),
    "limits.queries": st.integers(1, 1000),
    "limits.connections": st.integers(1, 60_000),
    "limits.threads": st.integers(1, 1024),
    "limits.memory": st.one_of(st.just(0), st.integers(16, 1_048_576)),
}


def values(path, kind):
    """Makes values that a field may have."""
    if path in SPECIAL:
        return SPECIAL[path]
    if kind.startswith("str"):
        return TEXTS
    if kind.startswith("Source"):
        return st.lists(TEXTS, min_size=1).map(",".join).map(Source)
    if kind == "int":
        return st.integers(0, 10**9)
    if kind == "bool":
        return st.booleans()
    return st.sampled_from(type(default(path)))


def default(path):
    group, _, name = path.partition(".")
    return getattr(getattr(Settings(), group), name)


KINDS = {
    f"{group}.{field.name}": str(field.type)
    for group in GROUPS
    for field in fields(getattr(Settings(), group))
}
FIELDS = {path: values(path, kind) for path, kind in KINDS.items()}


def text_of(path, value):
    """Prints a value for opendkim.conf."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Source):
        return value.text
    if path == "process.umask":
        return f"0{value:o}"
    if path == "process.auto_restart_rate":
        return f"{value[0]}/{value[1]}"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def toml_of(path, value):
    """Prints a value for TOML."""
    if isinstance(value, bool | int) and path != "process.umask":
        return str(value).lower()
    if path == "resolving.nameservers":
        return json.dumps(value)
    return json.dumps(text_of(path, value), ensure_ascii=False)


def as_conf(chosen):
    lines = [
        f"{OPTION[path]} {text_of(path, value)}" for path, value in chosen.items() if path in OPTION
    ]
    header, body = (
        chosen.get(f"signing.{part}_canonicalization", Canonicalization.RELAXED)
        for part in ("header", "body")
    )
    lines.append(f"Canonicalization {header}/{body}")
    signs, verifies = (chosen.get(path, True) for path in PAIRED["Mode"])
    lines.append("Mode " + "s" * signs + "v" * verifies)
    return "\n".join(lines)


def as_toml(chosen):
    lines = []
    for group in GROUPS:
        lines.append(f"[{group}]")
        for path, value in chosen.items():
            if path.startswith(f"{group}."):
                key = path.partition(".")[2]
                lines.append(f"{key.replace('_', '-')} = {toml_of(path, value)}")
    return "\n".join(lines)


def without_places(settings):
    groups = {}
    for group in GROUPS:
        part = getattr(settings, group)
        found = {
            field.name: Source(value.text)
            for field in fields(part)
            if isinstance(value := getattr(part, field.name), Source)
        }
        groups[group] = replace(part, **found)
    return replace(settings, **groups, files=(), origins=(), notices=())


def complete(chosen):
    """Whether these settings go together."""
    signing = {path.partition(".")[2] for path in chosen if path.startswith("signing.")}
    single = {"key_file", "selector", "domains"} & signing
    tables = {"key_table", "signing_table"} & signing
    modes = [chosen.get(path, True) for path in PAIRED["Mode"]]
    return any(modes) and (
        (len(tables) == 2 and not single) or (not tables and len(single) in (0, 3))
    )


@given(st.fixed_dictionaries({}, optional=FIELDS).filter(complete))
def test_both_forms_mean_the_same(tmp_path_factory, chosen):
    folder = tmp_path_factory.getbasetemp()
    (folder / "both.conf").write_text(as_conf(chosen), "utf-8")
    (folder / "both.toml").write_text(as_toml(chosen), "utf-8")
    conf = load_settings(str(folder / "both.conf"))
    toml = load_settings(str(folder / "both.toml"))
    assert without_places(conf) == without_places(toml) == fill(chosen)

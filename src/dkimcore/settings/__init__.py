"""The settings of a site: opendkim.conf, or its TOML form, as one frozen object."""

from dkimcore.settings.limits import MilterLimits
from dkimcore.settings.load import load_settings, occurrences
from dkimcore.settings.model import (
    Action,
    Actions,
    Hosts,
    KeyTrust,
    LogFormat,
    Logging,
    Process,
    Resolving,
    Settings,
    Signing,
    Source,
    Verifying,
)

__all__ = [
    "Action",
    "Actions",
    "Hosts",
    "KeyTrust",
    "LogFormat",
    "Logging",
    "MilterLimits",
    "Process",
    "Resolving",
    "Settings",
    "Signing",
    "Source",
    "Verifying",
    "load_settings",
    "occurrences",
]

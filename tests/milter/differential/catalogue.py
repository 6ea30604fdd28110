"""All configurations."""

from __future__ import annotations

from . import origin_cases, results_cases, signing_cases, table_cases, verifying_cases

__all__ = ["TOPICS"]

TOPICS = {
    "Tables": table_cases.SETTINGS,
    "Origin": origin_cases.SETTINGS,
    "Signing": signing_cases.SETTINGS,
    "Verifying": verifying_cases.SETTINGS,
    "Authentication-Results": results_cases.SETTINGS,
}

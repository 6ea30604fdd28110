"""The subjects of the contract, one at a time."""

from __future__ import annotations

from tests.backends.subjects import ambient, made_subjects, shim_library, subject

__all__ = ["ambient", "made_subjects", "shim_library", "subject"]  # fixtures

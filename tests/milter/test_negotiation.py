"""What is asked of an MTA, and what happens with one that offers less."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from dkimcore.settings.model import Action, Settings
from dkimcore.settings.model import Actions as OnActions
from dkimcore_milter.negotiation import Actions, Steps, agree, needed_actions

ALL_ACTIONS = 0x1FF
ALL_STEPS = 0x1FFFFF
ADDS = Actions.ADDHDRS
SILENT = Steps.NODATA | Steps.NR_MAIL | Steps.NR_RCPT | Steps.NR_HDR
CHANGES = Actions.ADDHDRS | Actions.CHGHDRS


def settings(**groups):
    """Settings with some fields set: group to field to value."""
    made = Settings()
    for group, values in groups.items():
        made = replace(made, **{group: replace(getattr(made, group), **values)})
    return made


@pytest.mark.parametrize(
    ("made", "needed"),
    [
        (settings(), CHANGES),
        (settings(verifying={"keep_results": True}), ADDS),
        (settings(verifying={"keep_results": True, "remove_all_results": True}), CHANGES),
        (
            settings(verifying={"keep_results": True}, signing={"remove_old_signatures": True}),
            CHANGES,
        ),
        (
            settings(verifying={"keep_results": True}, signing={"identity_header_remove": True}),
            CHANGES,
        ),
        (settings(actions={"quarantine": True}), CHANGES | Actions.QUARANTINE),
        (settings(actions={"quarantine_unknown_errors": True}), CHANGES | Actions.QUARANTINE),
        (
            settings(actions={"redirect_failures_to": "postmaster@example.com"}),
            CHANGES | Actions.ADDRCPT | Actions.DELRCPT,
        ),
    ],
)
def test_only_what_the_settings_need_is_needed(made, needed):
    assert needed_actions(made) == needed


@pytest.mark.parametrize(
    "name", [field.name for field in fields(OnActions) if field.type == "Action"]
)
def test_each_action_may_quarantine(name):
    made = settings(actions={name: Action.QUARANTINE})
    assert Actions.QUARANTINE in needed_actions(made)


def test_an_mta_without_a_needed_action_is_refused():
    def agreed(actions):
        return agree(settings(), actions=actions, steps=ALL_STEPS, symbols=False, inet=False)

    assert agreed(0x11) is not None
    assert agreed(0x01) is None
    assert agreed(0x10) is None


@pytest.mark.parametrize(
    ("offered", "inet", "agreed"),
    [
        (
            ALL_STEPS,
            False,
            Steps.NOHELO | Steps.NOUNKNOWN | Steps.SKIP | Steps.HDR_LEADSPC | SILENT,
        ),
        (ALL_STEPS, True, Steps.NOHELO | Steps.NOUNKNOWN | Steps.SKIP | Steps.HDR_LEADSPC),
        (0x7F, False, Steps.NOHELO),  # milter_protocol 2
        (0, True, Steps(0)),
    ],
)
def test_steps_are_chosen_from_what_is_offered(offered, inet, agreed):
    agreement = agree(settings(), actions=ALL_ACTIONS, steps=offered, symbols=False, inet=inet)
    assert agreement.steps == agreed
    assert agreement.skip is (Steps.SKIP in agreed)
    assert agreement.leading_space is (Steps.HDR_LEADSPC in agreed)


@pytest.mark.parametrize(
    ("offered", "wanted", "agreed"),
    [(ALL_ACTIONS, True, True), (ALL_ACTIONS, False, False), (0x3F, True, False)],
)
def test_macros_are_chosen_where_that_is_wanted_and_offered(offered, wanted, agreed):
    agreement = agree(settings(), actions=offered, steps=ALL_STEPS, symbols=wanted, inet=False)
    assert agreement.symbols is agreed

"""What filter and MTA agree on when a connection begins (the milter protocol's SMFIC_OPTNEG).

Which actions a configuration needs is OpenDKIM's (reference 6.1).  On a unix socket the MTA is
told to wait for no answer before the end of the header, so that it sends all of it at once.
Over TCP every step that is sent is answered: an answer carries the acknowledgement that the
MTA's kernel would wait 40 ms for otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

from dkimcore.settings.model import Action
from dkimcore_milter import wire
from dkimcore_milter.wire import ProtocolError

if TYPE_CHECKING:
    from dkimcore.settings.model import Settings

__all__ = ["Actions", "Agreement", "Steps", "agree", "needed_actions", "negotiate"]


class Actions(IntFlag):
    """What a filter may do to a message: SMFIF_* of libmilter/mfapi.h."""

    ADDHDRS = 0x01
    ADDRCPT = 0x04
    DELRCPT = 0x08
    CHGHDRS = 0x10
    QUARANTINE = 0x20
    SETSYMLIST = 0x100


class Steps(IntFlag):
    """What an MTA sends or not, and how: SMFIP_* of libmilter/mfdef.h."""

    NOHELO = 0x02
    NR_HDR = 0x80
    NOUNKNOWN = 0x100
    NODATA = 0x200
    SKIP = 0x400
    NR_MAIL = 0x4000
    NR_RCPT = 0x8000
    HDR_LEADSPC = 0x100000


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How a connection goes on.

    Attributes:
        actions: What we may do.
        steps: What is left out, and what else was agreed on.
    """

    actions: Actions
    steps: Steps

    @property
    def leading_space(self) -> bool:
        """Whether values come and go with the white space behind the colon."""
        return Steps.HDR_LEADSPC in self.steps

    @property
    def symbols(self) -> bool:
        """Whether we may choose the macros of a step."""
        return Actions.SETSYMLIST in self.actions

    @property
    def skip(self) -> bool:
        """Whether the rest of a body can be refused."""
        return Steps.SKIP in self.steps


def needed_actions(settings: Settings) -> Actions:
    """Return the actions without which a configuration cannot be followed."""
    needed = Actions.ADDHDRS
    verifying, signing, actions = settings.verifying, settings.signing, settings.actions
    if (
        not verifying.keep_results
        or verifying.remove_all_results
        or signing.remove_old_signatures
        or signing.identity_header_remove
    ):
        needed |= Actions.CHGHDRS
    if _may_quarantine(settings):
        needed |= Actions.QUARANTINE
    if actions.redirect_failures_to is not None:
        needed |= Actions.ADDRCPT | Actions.DELRCPT
    return needed


def _may_quarantine(settings: Settings) -> bool:
    actions = settings.actions
    return (
        actions.quarantine
        or actions.quarantine_unknown_errors
        or Action.QUARANTINE
        in (
            actions.bad_signature,
            actions.dns_error,
            actions.internal_error,
            actions.key_not_found,
            actions.no_signature,
            actions.security,
            actions.signature_error,
        )
    )


def agree(
    settings: Settings, *, actions: int, steps: int, symbols: bool, inet: bool
) -> Agreement | None:
    """Choose from what the MTA offers.

    Args:
        settings: What is to be done.
        actions: The actions that it offers.
        steps: The steps that it can leave out, and what else it can do.
        symbols: Whether we want to choose the macros of a step.
        inet: Whether the connection is over TCP.

    Returns:
        None if an action is missing that we need.
    """
    needed = needed_actions(settings)
    if needed & ~actions:
        return None
    if symbols:
        needed |= Actions.SETSYMLIST & actions
    wanted = Steps.NOHELO | Steps.NOUNKNOWN | Steps.SKIP | Steps.HDR_LEADSPC
    if not inet:
        # On TCP, DATA and its answer keep Postfix's next segment from waiting for an
        # acknowledgement (40 ms on Linux).
        wanted |= Steps.NODATA | Steps.NR_MAIL | Steps.NR_RCPT | Steps.NR_HDR
    return Agreement(actions=needed, steps=wanted & steps)


def negotiate(
    data: bytes, settings: Settings, *, symbols: str | None, inet: bool
) -> tuple[Agreement, bytes] | str:
    """Answer what an MTA offers.

    Args:
        data: What it says.
        settings: What is to be done.
        symbols: The macros that we want at the end of the header; None leaves it to the MTA.
        inet: Whether the connection is over TCP.

    Returns:
        How the connection goes on, and what to send; or why it cannot.

    Raises:
        ProtocolError: What it says is no negotiation, or of a version that is too old.
    """
    version, actions, steps = wire.parse_negotiation(data)
    if version < wire.OLDEST_VERSION:
        raise ProtocolError(f"version {version}, which is too old")
    agreement = agree(
        settings, actions=actions, steps=steps, symbols=symbols is not None, inet=inet
    )
    if agreement is None:
        needed = needed_actions(settings)
        return f"required milter action(s) not available (got 0x{actions:x}, need 0x{needed:x})"
    return agreement, wire.negotiation(
        min(version, wire.VERSION),
        actions=agreement.actions,
        steps=agreement.steps,
        symbols=symbols if agreement.symbols else None,
    )

"""Runs an extended regular expression over a text without backtracking.

Thompson's construction: the set of states that the text so far allows is carried along, so
the work is at most states times characters.  Sets that were met are kept, which makes most
texts a walk through a table.  Parsing is left to `ere`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.tables.ere import Anchor, AnyChar, Chars, Choice, EreError, Repeat, Series

if TYPE_CHECKING:
    from dkimcore.tables.ere import Node

__all__ = ["MAX_STATES", "Automaton"]

MAX_STATES = 1000
_MAX_KEPT = 256  # transitions; each holds a set of states

_States = frozenset[int]


class Automaton:
    """A compiled expression.  Safe to share between threads.

    Args:
        node: The parsed expression.

    Raises:
        EreError: It has more than `MAX_STATES` states, because of counts such as {200}.
    """

    __slots__ = ("_accept", "_anchors", "_inputs", "_kept", "_silent", "_start")

    def __init__(self, node: Node) -> None:
        self._inputs: list[Chars | AnyChar | None] = []  # leads to the following state
        self._silent: list[list[int]] = []
        self._anchors: dict[int, Anchor] = {}  # the silent steps of a state hold only there
        self._kept: dict[tuple[_States, str, bool], _States] = {}
        self._start = self._new()
        self._accept = self._build(node, self._start)

    def search(self, text: str) -> bool:
        """Whether the expression matches anywhere in the text, as regexec() finds it."""
        last = len(text) - 1
        states = self._closure({self._start}, at_start=True, at_end=not text)
        for position, char in enumerate(text):
            if self._accept in states:
                return True
            at_end = position == last
            key = (states, char, at_end)
            following = self._kept.get(key)
            if following is None:
                following = self._step(states, char, at_end=at_end)
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[key] = following
            states = following
        return self._accept in states

    def _step(self, states: _States, char: str, *, at_end: bool) -> _States:
        found = {self._start}  # a match may begin at every character
        for state in states:
            wanted = self._inputs[state]
            if wanted is not None and (isinstance(wanted, AnyChar) or char in wanted):
                found.add(state + 1)
        return self._closure(found, at_start=False, at_end=at_end)

    def _closure(self, states: set[int], *, at_start: bool, at_end: bool) -> _States:
        pending = list(states)
        while pending:
            state = pending.pop()
            anchor = self._anchors.get(state)
            if anchor is not None and not (at_end if anchor.end else at_start):
                continue
            for target in self._silent[state]:
                if target not in states:
                    states.add(target)
                    pending.append(target)
        return frozenset(states)

    def _new(self) -> int:
        if len(self._inputs) >= MAX_STATES:
            raise EreError("it is too large, because of a count such as {200}; divide it")
        self._inputs.append(None)
        self._silent.append([])
        return len(self._inputs) - 1

    def _build(self, node: Node, start: int) -> int:
        """Add states for a node from `start`, and return the state behind it."""
        if isinstance(node, Series):
            for item in node.items:
                start = self._build(item, start)
            return start
        if isinstance(node, Choice):
            ends = [self._build(item, self._branch(start)) for item in node.items]
            return self._join(ends)
        if isinstance(node, Repeat):
            return self._repeat(node, start)
        begin = self._branch(start)
        end = self._new()  # begin + 1
        if isinstance(node, Anchor):
            self._anchors[begin] = node
            self._silent[begin].append(end)
        else:
            self._inputs[begin] = node
        return end

    def _repeat(self, node: Repeat, start: int) -> int:
        for _ in range(node.low):
            start = self._build(node.item, start)
        if node.high is None:
            loop = self._branch(start)
            end = self._build(node.item, loop)
            self._silent[end].append(loop)
            return self._join([loop, end])
        skips = [start]
        for _ in range(node.high - node.low):
            start = self._build(node.item, start)
            skips.append(start)
        return self._join(skips)

    def _branch(self, start: int) -> int:
        state = self._new()
        self._silent[start].append(state)
        return state

    def _join(self, ends: list[int]) -> int:
        state = self._new()
        for end in ends:
            self._silent[end].append(state)
        return state

"""Runs an extended regular expression over a text without backtracking.

Thompson's construction: the set of states that the text so far allows is carried along, so
the work is at most states times characters.  Sets that were met are kept, which makes most
texts a walk through a table.  Parsing is left to `ere`.

Finding where matches are takes two walks: backwards to learn at each character from which
states an end can still be reached, then forwards along those states only.  So the longest
match ends exactly where the walk does, and all matches together cost one more walk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkimcore.tables.ere import Anchor, AnyChar, Chars, Choice, EreError, Repeat, Series

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    __slots__ = ("_accept", "_anchors", "_inputs", "_kept", "_kept_back", "_silent", "_start")

    def __init__(self, node: Node) -> None:
        self._inputs: list[Chars | AnyChar | None] = []  # leads to the following state
        self._silent: list[list[int]] = []
        self._anchors: dict[int, Anchor] = {}  # the silent steps of a state hold only there
        self._kept: dict[tuple[_States, str, bool], _States] = {}
        self._kept_back: dict[tuple[_States, str, bool], _States] = {}
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

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield begin and end of each match that is not empty, from left to right.

        The leftmost match and of those the longest, as regexec() finds it, then the next
        one behind its end.
        """
        alive = self._alive(text)
        begin, length = 0, len(text)
        while begin < length:
            if self._start not in alive[begin]:
                begin += 1
                continue
            end = self._longest(text, begin, alive)
            if end > begin:
                yield begin, end
            begin = max(end, begin + 1)

    def _alive(self, text: str) -> list[_States]:
        """Return for each place the states from which the end can be reached there or later."""
        length = len(text)
        states = self._closure_back({self._accept}, at_start=not text, at_end=True)
        alive = [states] * (length + 1)
        for position in range(length - 1, -1, -1):
            key = (states, text[position], position == 0)
            previous = self._kept_back.get(key)
            if previous is None:
                found = {self._accept}  # a match may end at every character
                for state, wanted in enumerate(self._inputs):
                    if state + 1 in states and _takes(wanted, text[position]):
                        found.add(state)
                previous = self._closure_back(found, at_start=position == 0, at_end=False)
                if len(self._kept_back) >= _MAX_KEPT:
                    self._kept_back.clear()
                self._kept_back[key] = previous
            states = alive[position] = previous
        return alive

    def _longest(self, text: str, begin: int, alive: list[_States]) -> int:
        """Return where the longest match ends that begins at a place where one does."""
        length, end = len(text), begin
        states = self._closure({self._start}, at_start=begin == 0, at_end=begin == length)
        for position in range(begin, length):
            following = {
                state + 1
                for state in states
                if state + 1 in alive[position + 1] and _takes(self._inputs[state], text[position])
            }
            if not following:
                break
            states = self._closure(following, at_start=False, at_end=position + 1 == length)
            if self._accept in states:
                end = position + 1
        return end

    def _closure_back(self, states: set[int], *, at_start: bool, at_end: bool) -> _States:
        """Add the states that lead to some without a character."""
        changed = True
        while changed:
            changed = False
            for state in range(len(self._silent) - 1, -1, -1):
                if state in states or states.isdisjoint(self._silent[state]):
                    continue
                anchor = self._anchors.get(state)
                if anchor is None or (at_end if anchor.end else at_start):
                    states.add(state)
                    changed = True
        return frozenset(states)

    def _step(self, states: _States, char: str, *, at_end: bool) -> _States:
        found = {self._start}  # a match may begin at every character
        for state in states:
            if _takes(self._inputs[state], char):
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


def _takes(wanted: Chars | AnyChar | None, char: str) -> bool:
    return wanted is not None and (isinstance(wanted, AnyChar) or char in wanted)

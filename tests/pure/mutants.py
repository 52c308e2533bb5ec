"""Planted bugs: small patches of the core's source, each of which the state machine must catch.

A mutant replaces one exact snippet of `slots.py`, which must occur there exactly once; so a mutant that no
longer fits the code fails loudly instead of planting nothing. The patched source is run as a module of its own.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import ModuleType

from trio_pool._core import slots


@dataclass(frozen=True)
class Mutant:
    """One bug: `old` becomes `new`."""

    name: str
    old: str
    new: str

    def source(self) -> str:
        """The core with the bug in it."""
        text = inspect.getsource(slots)
        found = text.count(self.old)
        assert found == 1, f"the snippet of {self.name!r} occurs {found} times in slots.py"
        return text.replace(self.old, self.new)

    def module(self) -> ModuleType:
        """A module like `slots`, with the bug in it."""
        module = ModuleType(f"{slots.__name__}_mutant")
        module.__package__ = slots.__package__
        exec(compile(self.source(), f"<{self.name}>", "exec"), vars(module))  # the project's own source
        return module


MUTANTS = (
    # ---- wake-ups that get lost ----
    Mutant(
        "lost wake-up: an idle connection is not evicted for a waiter of another origin",
        "        if self._line:\n            self._settle()\n",
        "",
    ),
    Mutant(
        "lost wake-up: a slot that has gone wakes nobody",
        "        self._join_line(queue)\n        self._settle()\n        self._forget_if_empty(queue)",
        "        self._join_line(queue)\n        self._forget_if_empty(queue)",
    ),
    Mutant(
        "lost wake-up: an origin below its own limit again does not join the line",
        "        self.slots -= 1\n        self._join_line(queue)\n",
        "        self.slots -= 1\n",
    ),
    Mutant(
        "lost wake-up: nothing is ever evicted",
        "if self._idle and not self.closing:",
        "if False:",
    ),
    Mutant(
        "a cancelled waiter's coverage is not passed on",
        "  # the dial goes on, for whoever is the oldest\n        self._cover(queue)\n",
        "\n",
    ),
    Mutant(
        "a cancelled redial covers nobody",
        "        slot.queue.covering += 1\n        self._cover(slot.queue)\n",
        "        slot.queue.covering += 1\n",
    ),
    Mutant(
        "a failed dial fails its requester although that one has gone",
        "self._disown(waiter.dial)  # the dial goes on, for whoever is the oldest",
        "waiter.dial = None",
    ),
    Mutant(
        "a waiter whose dial has served somebody older owns none",
        "            self._rehouse(waiter)\n",
        "",
    ),
    Mutant(
        "a dial that is handed over is nobody's in the books",
        "        slot.demand, slot.inherited, waiter.dial = waiter, True, slot\n",
        "",
    ),
    Mutant(
        "nobody hears that a dial was handed over",
        "        self.decisions.append(Handed(slot, waiter))",
        "        pass",
    ),
    Mutant(
        "nobody hears that a dial is nobody's",
        "        self.decisions.append(Handed(slot, None))",
        "        pass",
    ),
    Mutant(
        "a dial that has ended is still to be taken over",
        "        slot.queue.ownerless.pop(slot, None)\n",
        "",
    ),
    Mutant(
        "who waits longest takes over every dial",
        "            if waiter.dial is None:\n                self._adopt(waiter)\n",
        "            if waiter.dial is None:\n                self._adopt(next(iter(queue.covered)))\n",
    ),
    Mutant(
        "a failed dial fails who took it over although another dial is nobody's",
        "if waiter is not None and slot.inherited and queue.ownerless:",
        "if False:",
    ),
    Mutant(
        "a failed dial does not fail its requester if another is nobody's",
        "if waiter is not None and slot.inherited and queue.ownerless:",
        "if waiter is not None and queue.ownerless:",
    ),
    Mutant(
        "a failed dial fails the oldest, whosever it was",
        '            self._refuse(waiter, "dial failed", error)\n',
        '            self._refuse(next(iter(queue.covered), waiter), "dial failed", error)\n',
    ),
    # ---- slots that leak ----
    Mutant(
        "leaked slot: a dial whose requester was cancelled is dropped",
        "            self._offer(slot, now)\n            self._rehouse(waiter)\n",
        "            if waiter is not None:\n                self._offer(slot, now)\n"
        "            self._rehouse(waiter)\n",
    ),
    Mutant(
        "leaked slot: a failed dial that failed a waiter",
        '            self._refuse(waiter, "dial failed", error)\n',
        '            self._refuse(waiter, "dial failed", error)\n            return\n',
    ),
    Mutant(
        "leaked slot: a redial whose deadline has passed",
        "        self._offer(slot, now)\n\n    def dial_failed(",
        "    def dial_failed(",
    ),
    # ---- limits ----
    Mutant(
        "over-dial: a dial covers nobody",
        "            queue.covering += 1\n            self._cover(queue)\n",
        "            queue.covering += 1\n",
    ),
    Mutant(
        "over-dial: a newcomer does not notice a dial that covers nobody",
        "        self._cover(queue)\n        self._join_line(queue)\n        self._settle()\n        return waiter",
        "        self._join_line(queue)\n        self._settle()\n        return waiter",
    ),
    Mutant(
        "closing connections do not count: a dial does not wait for the closing that makes its room",
        '                self._close_idle(next(iter(self._idle)), "evicted")\n',
        '                self._close_idle(next(iter(self._idle)), "evicted")\n'
        "                self._new_slot(queue, next(iter(queue.uncovered)))\n",
    ),
    Mutant(
        "closing connections do not count: they are taken for leased",
        "        slot.queue.closing += 1\n        self.closing += 1\n",
        "        slot.queue.closing += 1\n",
    ),
    Mutant(
        "the limit of one origin is ignored",
        "            if not queue.uncovered or queue.slots >= queue.most:\n",
        "            if not queue.uncovered:\n",
    ),
    Mutant(
        "prewarming exceeds the limit",
        "queue.slots < min(count, queue.most) and self.slots < self._max_slots:",
        "queue.slots < min(count, queue.most):",
    ),
    Mutant(
        "unbounded queue",
        "if self.waiting >= self._max_waiting and not self._has_room(queue):",
        "if False:",
    ),
    Mutant(
        "the queue's bound is off by one",
        "if self.waiting >= self._max_waiting and not self._has_room(queue):",
        "if self.waiting > self._max_waiting and not self._has_room(queue):",
    ),
    Mutant(
        "refused by a full line although a connection could be evicted",
        "(self.slots < self._max_slots or bool(self._idle))",
        "self.slots < self._max_slots",
    ),
    # ---- grants ----
    Mutant(
        "double grant: the waiter stays in line",
        "            self._leave(waiter)\n            self._grant(waiter, slot)\n",
        "            self._grant(waiter, slot)\n",
    ),
    Mutant(
        "double grant: a granted connection is pooled as well",
        "            self._leave(waiter)\n            self._grant(waiter, slot)\n",
        "            self._leave(waiter)\n            self._keep(slot)\n            self._grant(waiter, slot)\n",
    ),
    Mutant(
        "a leased connection is closed by maintenance",
        "            if slot.state is not State.IDLE:\n",
        "            if slot.state is State.LEASED and now >= slot.expires_at:\n"
        '                self._close(slot, "expired")\n'
        "            if slot.state is not State.IDLE:\n",
    ),
    Mutant("grant past the deadline", "                if waiter.deadline > now:\n", "                if True:\n"),
    Mutant(
        "grant past the deadline, after a redial",
        "if waiter.deadline > now and not self.is_shut:",
        "if not self.is_shut:",
    ),
    Mutant(
        "grant past the expiry",
        'return "expired" if now >= slot.expires_at else None',
        "return None",
    ),
    Mutant("the server's hint is ignored", "(keepalive if keepalive < hint else hint)", "keepalive"),
    Mutant("an expired connection is granted", "now < slot.expires_at and not", "not"),
    Mutant("grant past the lifetime", "    if now >= slot.dies_at:\n", "    if False:\n"),
    Mutant("the count of uses is ignored", "if slot.uses >= self._max_uses else", "if False else"),
    Mutant(
        "a dead idle connection is granted",
        "now < slot.expires_at and not self._is_dead(slot.connection)",
        "now < slot.expires_at",
    ),
    Mutant(
        "a dead connection is handed on",
        "elif slot.uses and self._is_dead(slot.connection):",
        "elif False:",
    ),
    Mutant("an unusable connection is kept", "reason = unusable or (", "reason = ("),
    # ---- order ----
    Mutant(
        "barging: last come, first served",
        "            while part:\n                waiter = next(iter(part))\n",
        "            while part:\n                waiter = next(reversed(part))\n",
    ),
    Mutant(
        "barging: who waits for a dial is overtaken",
        "for part in (queue.covered, queue.uncovered):",
        "for part in (queue.uncovered, queue.covered):",
    ),
    Mutant("the least recently used is reused", "queue.idle.popitem()[0]", "next(iter(queue.idle))"),
    Mutant(
        "the most recently used is evicted",
        "self._close_idle(next(iter(self._idle)), ",
        "self._close_idle(next(reversed(self._idle)), ",
    ),
    Mutant(
        "starvation: reuse never yields", "        if head is None or head is waiter.queue:\n", "        if True:\n"
    ),
    Mutant("starvation: overtaken once too often", ">= MAX_OVERTAKES", "> MAX_OVERTAKES"),
    Mutant(
        "the line is served in the order of joining",
        "elif (oldest := next(iter(queue.uncovered)).number) != number:",
        "elif (oldest := number) != number:",
    ),
    # ---- books ----
    Mutant("statistics drift: failed dials", "        self._dial_failures += 1\n", ""),
    Mutant("statistics drift: reuses", "        if slot.uses > 1:\n", "        if slot.uses:\n"),
    Mutant(
        "statistics drift: a covered waiter that goes was counted as waiting",
        "        if part is queue.uncovered:\n            self.waiting -= 1\n",
        "        self.waiting -= 1\n",
    ),
    Mutant(
        "empty origins are not forgotten",
        "        if queue.is_empty and not queue.in_line:\n            self._queues.pop(queue.origin, None)\n",
        "        pass\n",
    ),
    Mutant(
        "released twice",
        "        if slot.state is not _LEASED:\n            self._expect(slot, _LEASED)\n        keepalive",
        "        keepalive",
    ),
    Mutant(
        "nobody is asked to look at what expires",
        "            self.decisions.append(Wake(self._expiry.next))\n",
        "            pass\n",
    ),
    # ---- the end ----
    Mutant("a drained pool keeps what comes back", "            if self.open:\n", "            if True:\n"),
    Mutant(
        "a shut pool leaves somebody waiting",
        "for waiter in [*queue.covered, *queue.uncovered]:",
        "for waiter in [*queue.uncovered]:",
    ),
)

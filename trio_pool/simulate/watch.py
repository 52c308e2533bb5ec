"""The pool's invariants, checked while an experiment runs.

- After every task step, if one of the pool's counters has moved: the limits, the bound of the line, that nobody waits
  beside what could serve them, that no dial is without need, that overtaking is bounded, and that the network carries
  what the books say.
- Now and then, and at the end: each slot and each waiter is counted (`audit.py`), so slots are conserved, are in one
  place, are closed in time and not used beyond it; and who came first was served first.
- With each answer (`callers.py`): that it is its request's, that nobody waited for longer than they may, and that no
  error comes of nothing.
- The virtual servers tell (`Engine.accuse`) of two requests at once on one connection, and of one on a connection whose
  end had come.

What is wrong is kept and ends the run; trio would only switch off an instrument that raises. What these checks cannot
see, such as a grant to somebody who was cancelled in the same step, the tests of the core and the shell look for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from .._core.decisions import Queue
from .._core.slots import Slots
from ..pool import Pool
from .audit import Audit, Overtaking
from .world.network import VirtualNetwork
from .world.scheduling import break_off

CIRCLES = 2**14
"""Task steps after which time is looked at."""

STEPS = 20
"""What a task may need at one moment, when all of them have something to do in it."""


class InvariantBroken(AssertionError):
    """Something that must always hold did not.

    :param what: what was broken, as a sentence without its full stop.
    :param at: when, in virtual seconds from the experiment's start.
    :param seed: the experiment's.
    :param replay: the command that shows it again.
    """

    def __init__(self, what: str, at: float, seed: int, replay: str) -> None:
        super().__init__(what, at, seed, replay)  # all of it: so it comes whole from another process
        self.what = what
        self.at = at
        self.seed = seed
        self.replay = replay

    def __str__(self) -> str:
        return f"{self.what} (after {self.at:.6f} s of virtual time, with the seed {self.seed}). Replay: {self.replay}"


class Watch(trio.abc.Instrument):
    """Looks at one pool and its network after each task step, from `begin` on.

    :ivar scope: what runs inside it ends when something is broken.
    :ivar ended: is called when something is broken, after the scope is cancelled.
    :ivar steps: task steps so far.
    :ivar broken: what was broken first, and when; or None.
    :ivar error: what that was seen by, or None.
    """

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.ended: Callable[[], None] = lambda: None
        self.steps = 0
        self.broken: tuple[str, float] | None = None
        self.error: BaseException | None = None
        self._watched: tuple[Slots, VirtualNetwork] | None = None
        self._audit: Audit | None = None
        self._overtaking = Overtaking()
        self._before: tuple[int, ...] = ()
        self._then = -1.0  # when time was looked at
        self._still = 0  # steps in which it has not moved
        self._most = 0  # tasks that there were meanwhile

    def begin(self, pool: Pool, network: VirtualNetwork) -> None:
        """From now on."""
        self._watched = pool._slots, network
        self._audit = Audit(pool)

    def end(self) -> None:
        """No longer: the pool is being closed."""
        self._watched = None

    def fail(self, what: str, error: BaseException | None = None, at: float | None = None) -> None:
        """End the run.

        :param what: what is broken, the same with every run.
        :param error: what it was seen by, or None.
        :param at: when (None: now).
        """
        if self.broken is None:
            self.broken, self.error = (what, trio.current_time() if at is None else at), error
            self.scope.cancel()
            self.ended()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002  # trio's signature
        """Trio calls this. In one piece, since it is called for everything that happens."""
        self.steps += 1
        if not self.steps % CIRCLES:
            self._check_time()
        if self._watched is None:
            return
        slots, network = self._watched
        now = (
            slots.slots, slots.dialling, slots.waiting, len(slots._idle), slots._requests, slots.closing, network.open
        )  # fmt: skip
        if now != self._before:
            self._before = now
            self._look(partial(_broken_rule, slots, network))
            self._look(partial(self._overtaking.found, slots))

    def served(self, host: str, asked: float, granted: float, *, is_reused: bool) -> None:
        """See `Audit.served`."""
        if self._audit is not None:
            self._audit.served(host, asked, granted, is_reused=is_reused)

    def audit(self, *, is_last: bool = False) -> None:
        """Count everything.

        :param is_last: whether all requests have ended.
        """
        if self._audit is not None and self._watched is not None:
            found = self._audit.found(is_last=is_last)
            self._look(lambda: next(found, None))

    def _look(self, check: Callable[[], str | None]) -> None:
        try:
            what = check()
        except Exception as error:
            self.fail(f"the pool's books are in such a state that they cannot be read: {type(error).__name__}", error)
            return
        if what is not None:
            self.fail(what)

    def _check_time(self) -> None:
        now = trio.current_time()
        if now == self._then:
            self._still += CIRCLES
        else:
            self._then, self._still, self._most = now, 0, 0
        self._most = max(self._most, trio.lowlevel.current_statistics().tasks_living)
        if self._still <= STEPS * self._most:
            return
        if self.broken is None:
            self.fail(f"the pool turns in circles: no time passed in {self._still:,} task steps")
            self._still = 0
        else:
            break_off()  # it does so though it was cancelled


# ---- what must hold after every step ----


def _broken_rule(slots: Slots, network: VirtualNetwork) -> str | None:
    for sentence, is_broken in _OF_ALL:
        if is_broken(slots, network.open):
            return f"{sentence}: {_in_words(slots, network)}"
    for queue in slots._queues.values():
        for sentence, is_broken_for in _OF_EACH:
            if is_broken_for(slots, queue):
                return f"{sentence} ({queue.origin}): {_in_words(slots, network)}"
    return None


_OF_ALL: tuple[tuple[str, Callable[[Slots, int], bool]], ...] = (
    ("there are more slots than max_connections", lambda slots, _: slots.slots > slots._max_slots),
    ("more requests wait than max_waiting", lambda slots, _: slots.waiting > slots._max_waiting),
    ("a connection was to be closed and was not", lambda slots, _: slots.closing != 0),
    ("a count is negative", lambda slots, _: min(slots._leased, slots.dialling, slots.waiting) < 0),
    (
        "dials are lost from the books",
        lambda slots, _: slots._dials != slots.dialling + slots._opened + slots._dial_failures,
    ),
    ("the network carries less than is idle", lambda slots, ends: ends < len(slots._idle)),
    ("the network carries more than the pool has", lambda slots, ends: ends > slots.slots),
)  # the network carries less than is leased in the step between a timeout, which closes, and its holder
_OF_EACH: tuple[tuple[str, Callable[[Slots, Queue], bool]], ...] = (
    ("an origin has more slots than it may", lambda _, queue: queue.slots > queue.most),
    (
        "somebody waits beside an idle connection",
        lambda _, queue: bool(queue.idle) and bool(queue.uncovered or queue.covered),
    ),
    (
        "somebody waits although there is room",
        lambda slots, queue: bool(queue.uncovered) and queue.slots < queue.most and slots.slots < slots._max_slots,
    ),
    (
        "somebody waits although an idle connection could be evicted",
        lambda slots, queue: bool(queue.uncovered) and queue.slots < queue.most and bool(slots._idle),
    ),
    ("fewer dials are under way than cover somebody", lambda _, queue: len(queue.covered) > queue.covering),
    (
        "a dial covers nobody although somebody waits",
        lambda _, queue: bool(queue.uncovered) and len(queue.covered) < queue.covering,
    ),
)


def _in_words(slots: Slots, network: VirtualNetwork) -> str:
    counts = f"{slots._leased} leased, {len(slots._idle)} idle, {slots.dialling} dialling, {slots.waiting} waiting"
    return f"{counts}; {network.open} open on the network"

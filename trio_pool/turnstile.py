"""The shell around a group of upstreams: it carries out what `_core/balance.py` decides, and decides nothing.

Every visit to the core is synchronous and ends in `_carry_out`, as in `pool.py`. Who gets no permit at once waits in
`_wait`, with its undo beside the wait. One task beside the pool rings when the core has asked to be woken; it is
shielded, so that whoever cleans up under a shield of its own is served too, and ends when the pool closes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import trio

from . import events
from ._core import permits
from ._core.balance import Group
from ._core.outcomes import Kind, RetryRules
from ._core.permits import Granted, Member, Permit, Refused
from .events import Event
from .loans import Loan
from .pool import Pool
from .response import Response


class Turn:
    """One request's place in the line, and what became of it."""

    __slots__ = ("place", "result", "task")

    def __init__(self) -> None:
        self.place: permits.Place | None = None
        self.result: Permit | Refused | None = None
        self.task: trio.lowlevel.Task | None = None

    def settle(self, result: Permit | Refused) -> None:
        """Wake whoever waits with what it gets."""
        self.result = result
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)


class Turnstile:
    """Lets requests through to upstreams. Whoever got a permit gives it back exactly once, by `unsent` or `ended`.

    :param pool: whose closing ends everything here, and which tells the observers.
    :param members: the upstreams, each with a name.
    :param max_waiting: the line's bound.
    :param opened: is called when a member's breaker was opened, with when it may be probed.
    """

    def __init__(
        self,
        pool: Pool,
        members: Iterable[Member],
        *,
        max_waiting: float = math.inf,
        opened: Callable[[Member, float], None] | None = None,
    ) -> None:
        self.group = Group(members, chance=pool.network.random, max_waiting=max_waiting)
        self._pool = pool
        self._opened = opened
        self._is_over = False
        self._is_passing = False
        self._wake_at = math.inf
        self._nap = trio.CancelScope()
        self._turns: set[Turn] = set()

    # ---- asking ----

    async def permit(self, deadline: float, **wishes: Any) -> Permit | Refused | None:
        """A permit, after a wait perhaps; or the answer that there will be none in time. None: the pool is closed.

        :param deadline: by trio's clock.
        :param wishes: as for `Group.ask`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._is_over:
            return None
        turn, now = Turn(), trio.current_time()
        answer = self.group.ask(now, deadline=deadline, ticket=turn, **wishes)
        if isinstance(answer, permits.Place):
            turn.place = answer
        else:
            turn.result = answer
        self._carry_out()
        if turn.place is None:
            return turn.result
        return await self._stand(turn, now, deadline)

    def ask_now(self, **wishes: Any) -> Permit | None:
        """A permit at once, or none."""
        if self._is_over:
            return None
        turn, now = Turn(), trio.current_time()
        answer = self.group.ask(now, deadline=math.nextafter(now, math.inf), ticket=turn, **wishes)
        if isinstance(answer, permits.Place):
            turn.place = answer
        else:
            turn.result = answer
        self._carry_out()
        if turn.result is None:
            self._leave(turn)
        return turn.result if isinstance(turn.result, Permit) else None

    async def _stand(self, turn: Turn, since: float, deadline: float) -> Permit | Refused | None:
        """Wait for the turn to come, and tell of it."""
        try:
            if turn.result is None:
                await self._wait(turn, deadline)
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            if isinstance(turn.result, Permit):
                self.unsent(turn.result)
            turn.result = None
            raise
        finally:
            got = turn.result if isinstance(turn.result, Permit) else None
            seconds = trio.current_time() - since
            name = None if got is None else name_of(got.member)
            self.tell(events.WaitedForUpstream(seconds=seconds, upstream=name))
        if turn.result is None and not self._is_over and turn.place is not None:
            return Refused(turn.place, "late", math.inf)
        return turn.result

    async def _wait(self, turn: Turn, deadline: float) -> None:
        def give_up_the_place(_: Any) -> trio.lowlevel.Abort:
            self._turns.discard(turn)
            self._leave(turn)
            return trio.lowlevel.Abort.SUCCEEDED

        self._turns.add(turn)
        try:
            with trio.CancelScope(deadline=deadline):
                turn.task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(give_up_the_place)
        finally:
            self._turns.discard(turn)

    def _leave(self, turn: Turn) -> None:
        if turn.place is not None:
            self.group.leave(turn.place, trio.current_time())
            self._carry_out()

    # ---- giving back ----

    def unsent(self, permit: Permit) -> None:
        """The attempt was given up before a byte went out, and not because of the upstream."""
        self.group.unsent(permit, now=trio.current_time())
        self._carry_out()

    def ended(self, permit: Permit, kind: Kind, wait: float | None = None) -> None:
        """The attempt is over."""
        self.group.ended(permit, kind, now=trio.current_time(), wait=wait)
        self._carry_out()

    def used(self, permit: Permit, tokens: int | None) -> None:
        """The attempt is known to have used so many tokens."""
        if tokens is not None:
            self.group.used(permit, tokens, now=trio.current_time())
            self._carry_out()

    def answered(self, permit: Permit, headers: Any, wall: float) -> None:
        """The head of the answer has come."""
        self.group.answered(permit, headers, now=trio.current_time(), wall=wall)
        self._carry_out()

    def serving(self, permit: Permit, first_byte: float) -> None:
        """The answer is known to be one."""
        self.group.serving(permit, first_byte, now=trio.current_time())
        self._carry_out()

    def pause(self, kind: Kind, wait: float | None, sent: float) -> None:
        """A request that has no permit was told to wait by the only member, having been sent at that time."""
        self.group.told(self.group.members[0], kind, wait, sent=sent, now=trio.current_time())
        self._carry_out()

    def probe(self, member: Member) -> Permit | None:
        """A permit for an active probe, if it is due."""
        permit = None if self._is_over else self.group.probe(member, trio.current_time())
        self._carry_out()
        return permit

    def lend(self, permit: Permit, rules: RetryRules, response: Response) -> None:
        """The permit goes back when the response gives its connection back, and not before.

        :param rules: what the codes of an error in the middle of its body mean.
        """
        loan = Loan(self._returned, permit, rules, response)
        response._lease, response._complain = loan, loan.complain

    def _returned(self, permit: Permit, kind: Kind, wait: float | None) -> None:
        if not self._is_over:  # perhaps with its whole run
            self.ended(permit, kind, wait)

    def is_paused(self, permit: Permit) -> bool:
        """Whether the upstream has got a pause since the permit was granted."""
        return self.group.is_paused(permit, trio.current_time())

    # ---- carrying out ----

    def tell(self, event: Event) -> None:
        """Tell the observers."""
        if self._pool.is_observed:
            self._pool.tell(event)

    def _carry_out(self) -> None:
        decisions = self.group.decisions
        while decisions:
            decision = decisions.popleft()
            _CARRY_OUT[type(decision)](self, decision)

    def _do_grant(self, decision: Granted) -> None:
        decision.place.ticket.settle(decision.permit)

    def _do_refuse(self, decision: Refused) -> None:
        if decision.place is not None:
            decision.place.ticket.settle(decision)

    def _do_wake(self, decision: permits.WakeAt) -> None:
        self._wake_at = decision.at
        self._nap.deadline = min(decision.at, self._quiet_at())

    def _do_pause(self, decision: permits.Paused) -> None:
        seconds = decision.until - trio.current_time()
        self.tell(events.UpstreamPaused(upstream=name_of(decision.member), seconds=seconds))

    def _do_breaker(self, decision: permits.BreakerChanged) -> None:
        before, after = decision.before.value, decision.after.value
        name = name_of(decision.member)
        self.tell(events.BreakerChanged(upstream=name, before=before, after=after, until=decision.until))
        if self._opened is not None and after == "open":
            self._opened(decision.member, decision.until)

    def _do_limit(self, decision: permits.LimitChanged) -> None:
        name = name_of(decision.member)
        self.tell(events.LimitChanged(upstream=name, before=decision.before, after=decision.after))

    # ---- the task ----

    def start(self) -> None:
        """Run the task that rings when the core has asked for it, as long as the pool is open."""
        self._pool.keep(self._ring, self.end)

    async def run_through(self) -> None:
        """The same, until no pause is left and nobody waits."""
        self._is_passing = True
        await self._ring()

    def end(self) -> None:
        """The pool is closed: nobody who waits will get anything."""
        self._is_over = True
        self._nap.cancel()
        for turn in list(self._turns):
            if turn.result is None and turn.task is not None:
                self._leave(turn)
                trio.lowlevel.reschedule(turn.task)
        self._turns.clear()

    async def _ring(self) -> None:
        while not self._is_over and trio.current_time() < self._quiet_at():
            with trio.CancelScope(deadline=min(self._wake_at, self._quiet_at()), shield=True) as self._nap:
                await trio.sleep_forever()
            if not self._is_over and self._wake_at <= trio.current_time():
                self._wake_at = math.inf
                self.group.tick(trio.current_time())
                self._carry_out()

    def _quiet_at(self) -> float:
        """When to look whether there is anything more to do; the past where there is nothing."""
        if not self._is_passing:
            return math.inf
        waiting = trio.current_time() + 1.0 if self._turns else -math.inf
        return max(waiting, *(member.eases_until for member in self.group.members))


def name_of(member: Member) -> str:
    """What an upstream is called in events and errors."""
    return str(member.upstream)


_CARRY_OUT: dict[type, Callable[[Turnstile, Any], None]] = {
    Granted: Turnstile._do_grant,
    Refused: Turnstile._do_refuse,
    permits.WakeAt: Turnstile._do_wake,
    permits.Paused: Turnstile._do_pause,
    permits.BreakerChanged: Turnstile._do_breaker,
    permits.LimitChanged: Turnstile._do_limit,
}

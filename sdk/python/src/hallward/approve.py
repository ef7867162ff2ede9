"""Approve: what must not happen before somebody else said yes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Literal, Union, cast

from . import _trace
from ._codec import UNREADABLE, decode_object, unreadable
from ._commands import UNSET, wire
from ._durations import Duration, milliseconds, optional_milliseconds
from ._handlers import Handler
from ._link import Delivery
from ._names import checked, listed, new_id
from ._outcomes import AT_ONCE, Look, Outcomes
from ._scope import Listener, Scope, within
from ._skim import skim
from ._streams import Stream
from .errors import HallwardError
from .messages import (
    ApprovalState,
    AuditedApproval,
    AuditPage,
    Decision,
    OnTimeout,
    PendingApproval,
)

logger = logging.getLogger("hallward")

_MARGIN = 60_000
"""Milliseconds that a decision may be late before we say that it does not come."""


class Approve:
    """The approvals of a room: ``room.approve``.

    It fails closed: a time-out, a rejection, or any word but exactly ``approve`` means no.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._outcomes: Outcomes[Decision] = Outcomes(scope, "decision on")
        self._subscribed = False

    # Asking

    async def request(
        self,
        action: str,
        content: Any = None,
        *,
        id: str | None = None,
        approvers: list[str] | None = None,
        quorum: int | None = None,
        timeout: Duration = "15m",
        on_timeout: OnTimeout | None = None,
        escalate_to: list[str] | None = None,
        urgency: str | None = None,
        task: str | None = None,
        call: str | None = None,
        correlation_id: str | None = None,
    ) -> Decision:
        """Asks, and waits for the decision: ``.approved``, ``.content`` as approved, ``.by``.

        ``action``: what is to be done. ``content``: what exactly, any JSON up to 256 KiB.
        ``approvers``: agents, or ``role:NAME``; anybody but you if not said. ``timeout``: how long
        people have; then it is rejected, or what ``on_timeout`` says. ``task``, ``call``: what it
        is about, for whoever decides. ``id``: a name of your own; after a restart the same call
        waits for the same request, and asks nobody twice.
        """
        name = checked("approval", id) if id is not None else new_id()
        for field, names in (("approvers", approvers), ("escalate_to", escalate_to)):
            if names is not None:
                listed(field, names)
        body = wire(
            action=action,
            id=name,
            content=content,
            approvers=approvers,
            quorum=quorum,
            timeout_ms=milliseconds(timeout),
            on_timeout=on_timeout,
            escalate_to=escalate_to,
            urgency=urgency,
            task=task,
            call=call,
            correlation_id=correlation_id,
        )
        await self._scope.call("approve/request", {**body, **_trace.current()})
        wait = milliseconds(timeout) * (2 if on_timeout == "escalate" else 1) + _MARGIN
        return await within(
            self._decision(name, AT_ONCE if id is not None else None), wait, f"approval {name}"
        )

    async def decision(self, id: str, *, timeout: Duration = "15m") -> Decision:
        """Waits for the decision on a request that was made before."""
        return await within(self._decision(id, AT_ONCE), timeout, f"approval {id}")

    async def _decision(self, id: str, look: float | None) -> Decision:
        async with self._outcomes.follow(id, look=look) as stream:
            if not self._subscribed:
                topic = f"approve/decision/{self._scope.me}"
                await self._scope.subscribe(topic, self._received, mail=True)
                self._subscribed = True
            async for one in stream:
                decision = await self._look(id) if isinstance(one, Look) else one
                if decision is not None:
                    return decision
        raise AssertionError("the stream of a decision ends with it")

    async def _look(self, id: str) -> Decision | None:
        page = await self.audit(approval=id)
        return decision_of(page.approvals[0]) if page.approvals else None

    def _received(self, delivery: Delivery) -> None:
        try:
            decision = Decision.read(decode_object(delivery.payload))
        except UNREADABLE as error:
            delivery.ack()
            id = skim(delivery.payload).get("id")
            logger.error("%s: of %s: %s", delivery.topic, id, error)
            if id is None:
                self._outcomes.look()
            else:
                self._outcomes.fail(id, unreadable(f"the decision on {id}", error))
            return
        if not self._outcomes.put(decision.id, decision):
            self._outcomes.keep(decision.id, decision)
        delivery.ack()

    async def cancel(
        self, approval: str, reason: str | None = None, *, timeout: Duration | None = None
    ) -> None:
        """Takes a request of one's own back. Its decision says ``cancelled``."""
        body = wire(approval=checked("approval", approval), reason=reason, id=new_id())
        await self._scope.call("approve/cancel", body, timeout=timeout)

    # Deciding

    async def pending(self) -> Stream[Pending]:
        """What awaits a decision, that which stands first; and `Decided` when it does no longer."""
        stream = cast("Stream[Pending]", self._scope.stream("pending approvals"))

        def received(delivery: Delivery) -> None:
            delivery.ack()
            if delivery.payload:
                stream.put(PendingApproval.read(decode_object(delivery.payload)))
            else:
                stream.put(Decided(delivery.levels[-1]))

        route = await self._scope.subscribe("approve/pending/+", received, retained=True)
        stream.on_close(lambda: self._scope.link.unsubscribe(route))
        return stream

    def on_request(self, handler: Handler[Any]) -> Listener:
        """Has the handler called with every `PendingApproval`. It returns ``True`` or
        ``"approve"``, ``False`` or any other word, or ``None``: that is for somebody else.
        """

        async def decide(pending: PendingApproval) -> None:
            verdict = await self._scope.handlers.call(handler, pending)
            if isinstance(verdict, bool):
                verdict = "approve" if verdict else "reject"
            if verdict is not None:
                await self.decide(pending, str(verdict))

        async def run() -> None:
            async with await self.pending() as pending:
                async for one in pending:
                    if isinstance(one, PendingApproval) and one.requester != self._scope.me:
                        name = f"approval {one.id}"
                        self._scope.handle(name, decide, one, lambda: None)

        task = self._scope.handlers.spawn(run(), "approvals")
        return Listener(lambda: cast(None, task.cancel()))

    async def decide(
        self,
        approval: str | PendingApproval,
        decision: Literal["approve", "reject", "defer"] | str,
        *,
        reason: str | None = None,
        digest: str | None = None,
        edit: Any = UNSET,
        defer: Duration | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Decides. ``approve`` is the only word for yes; ``defer`` asks for more time.

        With a `PendingApproval` it is about exactly what that shows, by its digest: if the content
        is another by now, it raises ``Conflict``. ``edit`` approves this content instead. Raises
        ``Forbidden`` for who may not decide, ``NotFound`` for what is decided.
        """
        if isinstance(approval, PendingApproval):
            digest, approval = approval.digest if digest is None else digest, approval.id
        body = wire(
            decision=decision,
            reason=reason,
            digest=digest,
            defer_ms=optional_milliseconds(defer),
            id=new_id(),
        )
        if edit is not UNSET:
            body["edit"] = edit
        name = checked("approval", approval)
        await self._scope.call("approve/decide", body, rest=name, timeout=timeout)

    # Looking back

    async def audit(
        self,
        approval: str | None = None,
        *,
        state: ApprovalState | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: Duration | None = None,
    ) -> AuditPage:
        """A page of what was asked and decided, with each one's trail. Times are Unix
        milliseconds; there is another page as long as it has a ``cursor``.
        """
        body = wire(
            approval=approval, state=state, since=since, until=until, limit=limit, cursor=cursor
        )
        reply = await self._scope.call("approve/audit", body, timeout=timeout)
        return AuditPage.read(reply.data)

    async def audits(self, *, state: ApprovalState | None = None) -> AsyncIterator[AuditedApproval]:
        """All of it, page by page."""
        cursor: str | None = None
        while True:
            page = await self.audit(state=state, cursor=cursor)
            for approval in page.approvals:
                yield approval
            cursor = page.cursor
            if cursor is None:
                return


class Decided:
    """What awaited a decision does no longer. ``id``: which one."""

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:
        self.id = id

    def __repr__(self) -> str:
        return f"Decided({self.id!r})"


Pending = Union[PendingApproval, Decided]


def decision_of(approval: AuditedApproval) -> Decision | None:
    """The decision, as the audit shows it; ``None`` while it is pending."""
    if approval.state == "pending":
        return None
    if approval.content_omitted:
        raise HallwardError(f"the content of {approval.id} is not kept any more")
    approved = approval.state == "approved"
    last = approval.trail[-1] if approval.trail else None
    return Decision(
        id=approval.id,
        action=approval.action,
        digest=approval.digest,
        approved=approved,
        decision="approve" if approved else "reject",
        by=approval.by or [],
        reason=last.reason if last else None,
        content=approval.content if approved else None,
        edited=approval.edited,
        decided_at=approval.decided_at or approval.requested_at,
        timed_out=approval.state == "timedOut",
        cancelled=approval.state == "cancelled" or None,
    )

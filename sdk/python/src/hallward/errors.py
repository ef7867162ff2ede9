"""What can go wrong, as exceptions.

Everything that this package raises of its own is a `HallwardError`. What the gateway refused has
the reply's ``code`` and a class for it; how a task or a call ended has one as well; and what
happened on this side (`Timeout`, `Disconnected`, …) has no code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .messages import Entry, LockState, TaskResult


class HallwardError(Exception):
    """Anything that this package raises.

    ``code``: the reply's number, as HTTP has them; ``None`` for what happened on this side.
    ``reason``: words. ``path``: the field that is to blame. ``command``: which command was refused,
    such as ``handoff/dispatch``.
    """

    retryable = False
    """Whether the same call may succeed a little later."""

    def __init__(
        self,
        reason: str,
        *,
        code: int | None = None,
        path: str | None = None,
        command: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.path = path
        self.command = command

    def __str__(self) -> str:
        where = f" ({self.path})" if self.path else ""
        command = f"{self.command}: " if self.command else ""
        code = f" [{self.code}]" if self.code else ""
        return f"{command}{self.reason}{where}{code}"


class Refused(HallwardError):
    """The gateway refused a command, and nothing of it happened."""


class Malformed(Refused):
    """400: the gateway could not understand the command."""


class Forbidden(Refused):
    """403: not yours to do."""


class NotFound(Refused):
    """404: no such task, key, approval or call."""


class Expired(Refused):
    """408: its time was over already."""


class Conflict(Refused):
    """409: another version, attempt or state than you think. Look, and decide anew.

    ``current``: the entry as it stands, with a refused write to the blackboard. ``lock``: the lock
    that is in the way.
    """

    current: Entry | None = None
    lock: LockState | None = None


class TooLarge(Refused):
    """413: larger than a limit."""


class Invalid(Refused):
    """422: a value that is not allowed there, for instance one that does not fit a schema."""


class TooMany(Refused):
    """429: a limit on how many is reached. Calls try again by themselves within their deadline.

    ``retry_after``: seconds after which it is worth another try.
    """

    retryable = True
    retry_after: float = 1.0


class Unavailable(Refused):
    """503: nobody can do it now."""

    retryable = True


class TaskError(HallwardError):
    """A task ended without success. ``result``: its final result, with ``error`` and ``worker``."""

    def __init__(self, reason: str, result: TaskResult) -> None:
        super().__init__(reason)
        self.result = result


class TaskFailed(TaskError):
    """It is dead: its attempts are used up, or its worker said that no other helps."""


class TaskExpired(TaskError):
    """Its time to live was over."""


class TaskCancelled(TaskError):
    """Somebody cancelled it."""


class ToolError(HallwardError):
    """A call of a tool ended with an error.

    ``error_code``: what the tool said, or one of the gateway's: ``timeout``, ``cancelled``,
    ``provider-gone``, ``withdrawn``, ``tool-changed``, ``too-large``, ``not-approved``,
    ``unavailable``. ``data``: what came with it.
    """

    def __init__(self, reason: str, *, call: str, error_code: str | None, data: Any) -> None:
        super().__init__(reason)
        self.call = call
        self.error_code = error_code
        self.data = data

    def __str__(self) -> str:
        return f"{self.reason} [{self.error_code}]" if self.error_code else self.reason


class Timeout(HallwardError, TimeoutError):
    """The deadline of a call has passed. It ended nothing at the gateway.

    ``sent``: whether the gateway may have the command (then it may still take effect: the same
    ``id`` makes a repeat harmless). ``handle``: what to go on waiting with, where there is such a
    thing: the `hallward.TaskHandle` of a task.
    """

    retryable = True

    def __init__(self, reason: str, *, sent: bool = True, handle: Any = None) -> None:
        super().__init__(reason)
        self.sent = sent
        self.handle = handle


class Disconnected(HallwardError, ConnectionError):
    """The agent is closed, or could not connect."""


class SessionTaken(Disconnected):
    """Another program has connected under this agent's name. This one stops, for good."""


class Overflow(HallwardError):
    """A bounded queue is full: what fills it is faster than what empties it."""


class Gap(HallwardError):
    """Events ``from_seq`` to ``to_seq`` (both included) are not kept any more.

    The iterator that raised it goes on behind them when it is asked for its next event.
    """

    def __init__(self, from_seq: int, to_seq: int) -> None:
        super().__init__(f"events {from_seq} to {to_seq} are not kept any more")
        self.from_seq = from_seq
        self.to_seq = to_seq


class ProtocolError(HallwardError):
    """Something came that is not what the protocol says. Worth a report."""


class Retry(Exception):  # raised by handlers, and not an error to them
    """Raised by a handler: this attempt did not work, another may.

    ``result``: what the next attempt finds in ``task.last_progress``.
    """

    def __init__(self, reason: str = "try again", *, result: Any = None) -> None:
        super().__init__(reason)
        self.result = result


class Fatal(Exception):
    """Raised by a handler: no other attempt will help. The task is dead at once.

    ``code``: a short name of the error, for whoever dispatched the task.
    """

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.code = code


REFUSALS: dict[int, type[Refused]] = {
    400: Malformed,
    403: Forbidden,
    404: NotFound,
    408: Expired,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    429: TooMany,
    503: Unavailable,
}

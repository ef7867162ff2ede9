"""Hallward: let a team of agents work together over MQTT.

    async with hallward.connect("mqtt://localhost", agent="editor") as me:
        room = await me.join("newsroom")
        facts = await room.handoff.run("research", {"query": "tides"})

`connect` and `Worker` are where to begin; `hallward.sync` has the same without ``await``.
"""

from typing import TYPE_CHECKING, Any

from ._durations import Duration
from ._link import ConnectionStatus
from ._results import Result
from ._scope import Listener
from ._streams import Stream
from .agent import Agent, connect
from .approve import Approve, Decided
from .blackboard import Blackboard, Change, Lock, Stored, Transaction
from .errors import (
    Conflict,
    Disconnected,
    Expired,
    Fatal,
    Forbidden,
    Gap,
    HallwardError,
    Invalid,
    Malformed,
    NotFound,
    Overflow,
    ProtocolError,
    Refused,
    Retry,
    SessionTaken,
    TaskCancelled,
    TaskError,
    TaskExpired,
    TaskFailed,
    Timeout,
    TooLarge,
    ToolError,
    TooMany,
    Unavailable,
)
from .handoff import Backoff, Handoff, TaskHandle, TaskOptions
from .inbox import Inbox, InboxMessage
from .messages import (
    Decision,
    Entry,
    Event,
    Fence,
    GroupResult,
    PendingApproval,
    Presence,
    TaskView,
    ToolCard,
)
from .observe import Events, Observe, Observed
from .presence import PresenceOf, Seen
from .questions import Question
from .room import Room
from .task import Call, Task, TaskOver
from .tools import CardChange, Part, ToolQuestion, Tools
from .worker import Worker

if TYPE_CHECKING:
    from . import sync as sync

__all__ = [
    "Agent",
    "Approve",
    "Backoff",
    "Blackboard",
    "Call",
    "CardChange",
    "Change",
    "Conflict",
    "ConnectionStatus",
    "Decided",
    "Decision",
    "Disconnected",
    "Duration",
    "Entry",
    "Event",
    "Events",
    "Expired",
    "Fatal",
    "Fence",
    "Forbidden",
    "Gap",
    "GroupResult",
    "HallwardError",
    "Handoff",
    "Inbox",
    "InboxMessage",
    "Invalid",
    "Listener",
    "Lock",
    "Malformed",
    "NotFound",
    "Observe",
    "Observed",
    "Overflow",
    "Part",
    "PendingApproval",
    "Presence",
    "PresenceOf",
    "ProtocolError",
    "Question",
    "Refused",
    "Result",
    "Retry",
    "Room",
    "Seen",
    "SessionTaken",
    "Stored",
    "Stream",
    "Task",
    "TaskCancelled",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "TaskHandle",
    "TaskOptions",
    "TaskOver",
    "TaskView",
    "Timeout",
    "TooLarge",
    "TooMany",
    "ToolCard",
    "ToolError",
    "ToolQuestion",
    "Tools",
    "Transaction",
    "Unavailable",
    "Worker",
    "connect",
    "sync",
]


def __getattr__(name: str) -> Any:
    """`hallward.sync`, which only those load who use it."""
    if name == "sync":
        from importlib import import_module

        return import_module(".sync", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Questions that workers ask half-way, and the answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._durations import Duration
from .errors import ProtocolError

if TYPE_CHECKING:
    from ._scope import Scope


class Question:
    """What a worker wants to know before it goes on with a task.

    ``ask`` counts the questions of the task, from 1; ``schema`` is the JSON Schema that an answer
    must fit, if there is one; ``expires_at`` is in Unix milliseconds.
    """

    __slots__ = (
        "_scope",
        "answerers",
        "ask",
        "attempt",
        "expires_at",
        "question",
        "schema",
        "task",
        "task_type",
        "worker",
    )

    def __init__(self, scope: Scope, document: Mapping[str, Any]) -> None:
        self._scope = scope
        self.task: str = document["task"]
        self.task_type: str | None = document.get("type")
        self.attempt: int | None = document.get("attempt", document.get("attempts"))
        self.ask: int = document["ask"]
        self.question: Any = document.get("question")
        self.schema: dict[str, Any] | None = document.get("schema")
        self.answerers: list[str] = document.get("answerers") or []
        self.worker: str | None = document.get("worker")
        self.expires_at: int | None = document.get("expiresAt")

    @classmethod
    def of(cls, scope: Scope, document: Mapping[str, Any]) -> Question:
        """Reads one. Raises ``ProtocolError``."""
        try:
            return cls(scope, document)
        except KeyError as missing:
            raise ProtocolError(f"a question without {missing}") from None

    async def answer(self, value: Any, *, timeout: Duration | None = None) -> None:
        """Answers it. Raises ``Invalid`` with the ``path`` if the answer does not fit the schema,
        and ``Conflict`` if the task is not asking this any more.
        """
        await answer(self._scope, self.task, self.attempt, self.ask, value, timeout)

    def __repr__(self) -> str:
        return f"Question(task={self.task!r}, ask={self.ask}, question={self.question!r})"


async def answer(
    scope: Scope,
    task: str,
    attempt: int | None,
    ask: int | None,
    value: Any,
    timeout: Duration | None,
) -> None:
    """Sends ``handoff/answer``."""
    from ._names import new_id

    body: dict[str, Any] = {"task": task, "answer": value, "id": new_id()}
    if attempt is not None:
        body["attempt"] = attempt
    if ask is not None:
        body["ask"] = ask
    await scope.call("handoff/answer", body, timeout=timeout)

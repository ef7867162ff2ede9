"""Blackboard: state that a room shares, with versions, so that nobody overwrites unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from types import TracebackType
from typing import Any, NamedTuple, cast

from ._codec import UNREADABLE, decode_object, unreadable
from ._commands import wire
from ._durations import Duration, milliseconds, optional_milliseconds
from ._link import ConnectionStatus, Delivery
from ._names import checked, checked_key, new_id
from ._scope import Scope, within
from ._streams import LIMIT, Stream
from .errors import HallwardError, ProtocolError
from .messages import (
    Entry,
    Fence,
    History,
    KeyLine,
    KeyPage,
    LockState,
    Snapshot,
    Version,
    Written,
)

logger = logging.getLogger("hallward")


class Stored(NamedTuple):
    """Where a write stands: the key's new ``version``, and the room's ``revision``."""

    version: int
    revision: int


class Change(NamedTuple):
    """A key as it stands now; ``entry`` is ``None`` when it is gone."""

    key: str
    entry: Entry | None

    @property
    def value(self) -> Any:
        """The value; ``None`` when the key is gone."""
        return None if self.entry is None else self.entry.value


class Blackboard:
    """The keys of a room: ``room.blackboard``.

    A key is 1 to 8 names joined by ``/``; a value is any JSON up to 256 KiB.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._cache = _Cache(scope)

    # Reading

    async def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, from a copy that is kept here and follows every change. The first
        call fetches it; later ones ask nobody.
        """
        entry = await self.entry(key)
        return default if entry is None else entry.value

    async def entry(self, key: str) -> Entry | None:
        """As `get`, with version, writer and times."""
        await self._cache.ready()
        return self._cache.entry(checked_key(key))

    async def fetch(self, key: str, *, timeout: Duration | None = None) -> Entry | None:
        """Asks the gateway for a key as it stands now; ``None`` if there is none."""
        snapshot = await self.snapshot(checked_key(key), timeout=timeout)
        return next((entry for entry in snapshot.entries if entry.key == key), None)

    async def snapshot(
        self,
        prefix: str | None = None,
        *,
        revision: int | None = None,
        locks: bool = False,
        timeout: Duration | None = None,
    ) -> Snapshot:
        """All keys at or below a prefix, at one moment: now, or as of a past ``revision`` of the
        room. Raises ``TooLarge`` beyond 1 MiB, ``NotFound`` for what is not remembered.
        """
        body = wire(prefix=prefix, revision=revision, locks=locks or None)
        reply = await self._scope.call("blackboard/get", body, timeout=timeout)
        return Snapshot.read(reply.data)

    async def keys(self, prefix: str | None = None) -> AsyncIterator[KeyLine]:
        """Which keys there are, without their values, page by page."""
        cursor: str | None = None
        while True:
            page = await key_page(self._scope, prefix, cursor)
            for line in page.keys:
                yield line
            cursor = page.cursor
            if cursor is None:
                return

    async def history(
        self, key: str, *, limit: int | None = None, timeout: Duration | None = None
    ) -> list[Version]:
        """Past versions of a key, oldest first; the last ``limit`` of them. Raises ``NotFound``."""
        body = wire(key=checked_key(key), limit=limit)
        reply = await self._scope.call("blackboard/history", body, timeout=timeout)
        return History.read(reply.data).versions

    async def watch(self, prefix: str | None = None) -> Stream[Change]:
        """What is there at or below a prefix, and then every change of it."""
        await self._cache.ready()
        return self._cache.follow(prefix)

    # Writing

    async def set(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        merge: bool = False,
        ttl: Duration | None = None,
        fence: Fence | None = None,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> Stored:
        """Writes a key. Returns once that is on disk.

        ``if_version``: only if this is its version still; 0: only if there is none. Else it raises
        ``Conflict`` with ``current``. ``merge``: the value is a JSON Merge Patch (RFC 7396).
        ``ttl``: the key deletes itself after that. ``fence``: only while that lock is held.
        """
        body = wire(
            if_version=if_version,
            merge=merge or None,
            ttl_ms=optional_milliseconds(ttl),
            fence=None if fence is None else fence.write(),
            id=id or new_id(),
        )
        reply = await self._scope.call(
            "blackboard/set", {"value": value, **body}, rest=checked_key(key), timeout=timeout
        )
        return Stored(reply.version or 0, reply.revision or 0)

    async def delete(
        self,
        key: str,
        *,
        if_version: int | None = None,
        fence: Fence | None = None,
        timeout: Duration | None = None,
    ) -> None:
        """Deletes a key. Raises ``NotFound``, and ``Conflict`` as `set` does."""
        fields = None if fence is None else fence.write()
        body = wire(if_version=if_version, fence=fields, id=new_id())
        await self._scope.call("blackboard/delete", body, rest=checked_key(key), timeout=timeout)

    def txn(self, *, fence: Fence | None = None) -> Transaction:
        """Several writes, all or none: see `Transaction`."""
        return Transaction(self._scope, fence)

    def lock(self, name: str, *, ttl: Duration = "30s", wait: Duration | None = None) -> Lock:
        """The right to do what one only may do at a time, for `Lock`'s ``async with``.

        ``ttl``: how long it lasts if its holder falls silent. ``wait``: how long to wait for it.
        """
        return Lock(self._scope, name, ttl, wait)


class Transaction:
    """Writes that happen together or not at all, at most 128.

    ::

        async with room.blackboard.txn() as txn:
            txn.check("plan", if_version=3)
            txn.set("plan/current", 2)

    All conditions are about the room as it was before. `commit` raises ``Conflict`` with the
    ``path`` of the operation (``ops[1]``) and ``current``.
    """

    def __init__(self, scope: Scope, fence: Fence | None) -> None:
        self._scope = scope
        self._fence = fence
        self._ops: list[dict[str, Any]] = []

    def set(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        merge: bool = False,
        ttl: Duration | None = None,
    ) -> Transaction:
        """Writes a key."""
        condition = wire(
            if_version=if_version, merge=merge or None, ttl_ms=optional_milliseconds(ttl)
        )
        self._ops.append({"op": "set", "key": checked_key(key), "value": value, **condition})
        return self

    def delete(self, key: str, *, if_version: int | None = None) -> Transaction:
        """Deletes a key."""
        condition = wire(if_version=if_version)
        self._ops.append({"op": "delete", "key": checked_key(key), **condition})
        return self

    def check(self, key: str, *, if_version: int) -> Transaction:
        """Changes nothing; the key must have this version (0: there is none)."""
        self._ops.append({"op": "check", "key": checked_key(key), "ifVersion": if_version})
        return self

    async def commit(self, *, timeout: Duration | None = None) -> list[Written]:
        """Does it. Returns the keys that were written, with their versions."""
        body: dict[str, Any] = {"ops": self._ops, "id": new_id()}
        if self._fence is not None:
            body["fence"] = self._fence.write()
        reply = await self._scope.call("blackboard/txn", body, timeout=timeout)
        return reply.versions or []

    async def __aenter__(self) -> Transaction:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._ops:
            await self.commit()


class Lock:
    """A lease on a name, renewed while it is held.

    `acquire` raises ``Conflict`` with the ``lock`` that is in the way, or ``Expired`` when it has
    waited for ``wait``. Whoever holds it may lose it (its program slept, say), and is not asked.
    So write with `fence`: such a write takes effect only while the lock is held.
    """

    def __init__(self, scope: Scope, name: str, ttl: Duration, wait: Duration | None) -> None:
        self._scope = scope
        self._ttl = milliseconds(ttl)
        self._wait = wait
        self._state: LockState | None = None
        self._renewing: asyncio.Task[None] | None = None
        self.name = checked("lock", name)
        self.lost = asyncio.Event()
        """Set when it was lost while it was held."""

    @property
    def token(self) -> int:
        """The fencing token: larger than every one before."""
        if self._state is None:
            raise RuntimeError(f"the lock {self.name} is not held")
        return self._state.token

    @property
    def fence(self) -> Fence:
        """For the ``fence`` of a write."""
        return Fence(lock=self.name, token=self.token)

    async def acquire(self, *, timeout: Duration | None = None) -> Lock:
        """Takes it."""
        body = wire(ttl_ms=self._ttl, wait_ms=optional_milliseconds(self._wait), id=new_id())
        if timeout is None and self._wait is not None:
            timeout = milliseconds(self._wait) + round(self._scope.commands.timeout * 1_000)
        reply = await self._scope.call(
            "blackboard/lock", body, rest=self.name, timeout=timeout, again=()
        )
        self._state = reply.lock
        self._renewing = self._scope.handlers.spawn(self._renew(), f"lock {self.name}")
        return self

    async def release(self, *, timeout: Duration | None = None) -> None:
        """Gives it back. One that was lost is gone already."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._state is not None and not self.lost.is_set():
            body = wire(token=self._state.token, id=new_id())
            await self._scope.call("blackboard/unlock", body, rest=self.name, timeout=timeout)
        self._state = None

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._ttl / 3_000)
            body = wire(ttl_ms=self._ttl, token=self.token)
            try:
                await self._scope.call("blackboard/lock", body, rest=self.name)
            except HallwardError as error:
                if error.code is not None:
                    logger.error("the lock %s is lost: %s", self.name, error)
                    self.lost.set()
                    return
                logger.warning("the lock %s could not be renewed: %s", self.name, error)

    async def __aenter__(self) -> Lock:
        return await self.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()


class _Cache:
    """A copy of all keys, made from the retained states, and whoever watches it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.entries: dict[str, Entry] = {}
        self._unreadable: dict[str, ProtocolError] = {}
        self._loading: asyncio.Task[None] | None = None
        self._watchers: list[tuple[str | None, Stream[Change]]] = []
        self._changed = asyncio.Event()
        self._gone: set[str] | None = None
        """What was deleted while we catch up."""
        scope.link.on_status(self._connection_changed)

    async def ready(self) -> None:
        """Returns once all that was there at the call is in the copy."""
        if self._loading is None or (self._loading.done() and self._loading.exception()):
            self._loading = self._scope.handlers.spawn(self._load(), "blackboard")
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        await self._scope.subscribe("blackboard/state/#", self._received, retained=True)
        await self._catch_up()

    async def _catch_up(self) -> None:
        """States come in any order, and nothing says which is the last one. So ask which keys there
        are, and wait until they have come.
        """
        self._gone = set()
        first = await key_page(self._scope, None, None)
        versions = {line.key: line.version for line in first.keys}
        cursor = first.cursor
        while cursor is not None:
            page = await key_page(self._scope, None, cursor)
            versions.update((line.key, line.version) for line in page.keys)
            cursor = page.cursor
        for key, entry in list(self.entries.items()):
            if key not in versions and entry.revision <= first.revision:
                self._set(key, None)
        wait = timedelta(seconds=self._scope.commands.timeout)
        await within(self._until_there(versions), wait, "the keys of the blackboard")
        self._gone = None

    async def _until_there(self, versions: dict[str, int]) -> None:
        while any(not self._has(key, version) for key, version in versions.items()):
            self._changed.clear()
            await self._changed.wait()

    def _has(self, key: str, version: int) -> bool:
        if key in self._unreadable:
            return True
        entry = self.entries.get(key)
        if entry is None:
            return self._gone is not None and key in self._gone
        return entry.version >= version

    def _connection_changed(self, status: ConnectionStatus) -> None:
        """A new session begins with all states that are retained, but says nothing of keys that
        were deleted meanwhile.
        """
        if status.state == "connected" and not status.resumed and self._loading is not None:
            self._loading = self._scope.handlers.spawn(self._catch_up(), "blackboard")

    def _received(self, delivery: Delivery) -> None:
        delivery.ack()
        key = "/".join(self._scope.below(delivery)[2:])
        if not delivery.payload:
            if self._gone is not None:
                self._gone.add(key)
            self._set(key, None)
        else:
            try:
                self._set(key, Entry.read(decode_object(delivery.payload)))
            except UNREADABLE as error:
                logger.error("%s: %s", delivery.topic, error)
                self._unreadable[key] = unreadable(f"the key {key}", error)
                self._changed.set()

    def entry(self, key: str) -> Entry | None:
        """A key as it stands. Raises ``ProtocolError`` if it cannot be read."""
        if (error := self._unreadable.get(key)) is not None:
            raise error
        return self.entries.get(key)

    def _set(self, key: str, entry: Entry | None) -> None:
        before = self.entries.get(key)
        self._unreadable.pop(key, None)
        if entry is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = entry
        self._changed.set()
        if before != entry:
            for prefix, stream in self._watchers:
                if below(key, prefix):
                    stream.put(Change(key, entry))

    def follow(self, prefix: str | None) -> Stream[Change]:
        limit = len(self.entries) + LIMIT
        stream = cast("Stream[Change]", self._scope.stream("blackboard", limit=limit))
        for key, entry in sorted(self.entries.items()):
            if below(key, prefix):
                stream.put(Change(key, entry))
        watcher = (prefix, stream)
        self._watchers.append(watcher)
        stream.on_close(lambda: self._watchers.remove(watcher))
        return stream


def below(key: str, prefix: str | None) -> bool:
    """Whether a key is the prefix, or below it."""
    return prefix is None or key == prefix or key.startswith(prefix + "/")


async def key_page(scope: Scope, prefix: str | None, cursor: str | None) -> KeyPage:
    """One page of which keys there are."""
    body = wire(prefix=prefix, cursor=cursor, limit=200)
    return KeyPage.read((await scope.call("blackboard/list", body)).data)

#!/usr/bin/env python3
"""Kills an application at random moments, and sees that nothing that was for it is lost.

    python3 sdk/conformance/kills.py --driver 'python3 sdk/python/tests/driver.py' --kills 100

By hand, not in continuous integration: a hundred kills take some minutes. The application reads its
inbox, hears what came of its tasks, asks for decisions and works, all at once, and is killed with
SIGKILL again and again. Whatever it was sent must come to it until it has said that it is done with
it; what it was just saying that of when it was killed may come again or not. Exit code: 0 if
nothing is lost, 1 if something is, 64 if the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import sys
import time
from typing import Any

from runner.driver import Driver, DriverGone
from runner.gateway import Gateway

ROOM = "storm"
WITHIN = 60.0
KINDS = ("inbox", "result", "decision", "work")


class Ledger:
    """What is on its way to the application, by kind: what was sent, and what it is done with."""

    def __init__(self) -> None:
        self.sent: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self.done: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self.said: dict[str, set[str]] = {kind: set() for kind in KINDS}
        """What the application has begun to say that it is done with."""
        self.again = 0
        """How often something came that had been finished just before a kill."""

    def finish(self, kind: str, name: str) -> None:
        self.again += name in self.done[kind]
        self.done[kind].add(name)

    def open(self, kind: str) -> set[str]:
        return self.sent[kind] - self.done[kind] - self.said[kind]

    def wrong(self) -> list[str]:
        strange = {kind: self.done[kind] - self.sent[kind] for kind in KINDS}
        return [
            f"{kind}: {what} {sorted(names)[:5]}"
            for what, found in (("lost", {k: self.open(k) for k in KINDS}), ("unsent", strange))
            for kind, names in found.items()
            if names
        ]


class Storm:
    def __init__(self, gateway: Gateway, command: list[str], protocol: str, dice: random.Random):
        self.gateway, self.command, self.protocol, self.dice = gateway, command, protocol, dice
        self.ledger = Ledger()
        self.count = 0
        self.editor = self.start("editor")
        self.say(self.editor, op="worker", tasks={"check": "echo"})
        self.say(self.editor, op="approve.pending")
        self.say(self.editor, op="results")
        self.app: Driver | None = None
        self.decisions: dict[int, str] = {}
        """The requests for approval of the application that runs now."""
        self.acks: dict[int, tuple[str, str]] = {}

    def start(self, agent: str) -> Driver:
        driver = Driver(agent, self.command)
        url = f"mqtt://127.0.0.1:{self.gateway.port}"
        self.say(driver, op="connect", url=url, agent=agent, protocol=self.protocol)
        self.say(driver, op="join", room=ROOM)
        return driver

    def say(self, driver: Driver, **request: Any) -> dict[str, Any]:
        answer = driver.answer(driver.ask(request), WITHIN)
        if answer is None or "ok" not in answer:
            raise SystemExit(f"{driver.name}: {request} was answered with {answer}")
        return dict(answer["ok"])

    def arrive(self) -> Driver:
        """The application starts, and asks again for what it had not heard of."""
        app = self.app = self.start("app")
        self.decisions, self.acks = {}, {}
        app.ask({"op": "worker", "tasks": {"draft": "echo"}})
        app.ask({"op": "inbox.listen", "hold": True})
        app.ask({"op": "results", "hold": True})
        for name in sorted(self.ledger.open("decision")):
            self.ask_decision(app, name)
        return app

    def ask_decision(self, app: Driver, name: str) -> None:
        request = {"op": "approve.request", "id": name, "action": "print", "content": name}
        self.decisions[app.ask({**request, "timeoutMs": 300_000})] = name

    def feed(self, app: Driver) -> None:
        """Something more for the application: by others, which always succeeds, or by itself."""
        self.count += 1
        kind, name = self.dice.choice(KINDS), f"n{self.count}"
        sent = self.ledger.sent[kind]
        if kind == "inbox":
            self.say(self.editor, op="inbox.send", to="app", json=name)
        elif kind == "work":
            self.say(
                self.editor, op="dispatch", task={"id": name, "type": "draft", "payload": name}
            )
        elif kind == "decision":
            self.ask_decision(app, name)
        else:
            # Only what was acknowledged is promised.
            task = {"id": name, "type": "check", "payload": name}
            answer = app.answer(app.ask({"op": "dispatch", "task": task}), WITHIN)
            if answer is None or "ok" not in answer:
                raise SystemExit(f"app: a dispatch was answered with {answer}")
        sent.add(name)

    def look(self, app: Driver) -> None:
        """Takes what there is, and finishes what it takes."""
        for event in self.take(self.editor):
            if event["event"] == "pending":
                request = {"op": "approve.decide", "approval": event["id"], "decision": "approve"}
                self.editor.ask(request)
            elif event["event"] == "result" and event["status"] == "succeeded":
                self.ledger.finish("work", event["task"])
        for event in self.take(app):
            if event["event"] == "inbox":
                self.acknowledge(app, "inbox", event["json"], token=event["token"])
            elif event["event"] == "result":
                self.acknowledge(app, "results", event["task"], task=event["task"])
        for number, (kind, name) in list(self.acks.items()):
            if (answer := app.answer(number, 0)) is not None:
                del self.acks[number]
                if "ok" in answer:
                    self.ledger.finish(kind, name)
        for number, name in list(self.decisions.items()):
            if (answer := app.answer(number, 0)) is not None:
                del self.decisions[number]
                if not answer.get("ok", {}).get("approved"):
                    raise SystemExit(f"app: approval {name} was answered with {answer}")
                self.ledger.finish("decision", name)

    def acknowledge(self, app: Driver, what: str, name: str, **which: Any) -> None:
        kind = "inbox" if what == "inbox" else "result"
        self.acks[app.ask({"op": f"{what}.ack", **which})] = (kind, name)
        self.ledger.said[kind].add(name)

    def take(self, driver: Driver) -> list[dict[str, Any]]:
        taken = list(driver.events)
        del driver.events[: len(taken)]
        return taken

    def run(self, kills: int) -> None:
        for kill in range(kills):
            app = self.arrive()
            try:
                self.live(app, self.dice.uniform(0, 1.0))
            finally:
                app.kill()
                app.close()
            if (kill + 1) % 10 == 0:
                print(f"{kill + 1} kills: {self.figures()}", flush=True)
        self.settle()

    def live(self, app: Driver, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.feed(app)
            app.wait_for(lambda: app.events, min(left, self.dice.uniform(0, 0.02)))
            self.look(app)

    def settle(self) -> None:
        """Left alone, it comes to the end of all."""
        app = self.arrive()
        deadline = time.monotonic() + WITHIN
        while self.ledger.wrong() and time.monotonic() < deadline:
            self.editor.wait_for(lambda: self.editor.events or app.events, 0.05)
            self.look(app)
        app.close()

    def figures(self) -> str:
        sent = ", ".join(f"{len(self.ledger.sent[kind])} {kind}" for kind in KINDS)
        cut = sum(len(self.ledger.said[kind] - self.ledger.done[kind]) for kind in KINDS)
        return f"{sent}; killed while it said that {cut} are done"

    def close(self) -> None:
        for driver in (self.editor, self.app):
            if driver is not None:
                driver.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Kills an application at random moments.")
    parser.add_argument("--driver", required=True, help="the command that starts a driver")
    parser.add_argument("--gateway", default=os.environ.get("HALLWARD_BIN"), help="the program")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--protocol", choices=["5", "3.1.1"], default="5")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    if not options.gateway:
        print("--gateway (or HALLWARD_BIN) is needed", file=sys.stderr)
        return 64
    print(f"seed {options.seed}", flush=True)
    # A worker that is killed all the time loses its task often, which is no fault of the task's.
    settings = {
        "rooms.reconnect_grace": "2s",
        "handoff.max_attempts": 100,
        "handoff.backoff_max": "1s",
    }
    gateway = Gateway(options.gateway, settings, clock=False)
    gateway.start()
    dice = random.Random(options.seed)
    storm = Storm(gateway, shlex.split(options.driver), options.protocol, dice)
    try:
        storm.run(options.kills)
    except DriverGone as gone:
        print(f"a driver is gone: {gone}")
        return 1
    finally:
        storm.close()
        gateway.close()
    wrong = storm.ledger.wrong()
    print(
        "\n".join(wrong) or f"nothing is lost: {storm.figures()}; {storm.ledger.again} came again"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

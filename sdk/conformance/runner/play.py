"""One scenario, played once in one variant."""

from __future__ import annotations

import itertools
import random
from typing import Any

from .driver import Driver, DriverGone
from .gateway import Gateway, GatewayGone, faketime
from .matching import differs, filled, picked, short
from .proxy import Proxy
from .scenario import VARIANTS, Scenario
from .values import random_value

_UNTOLD = {"ok", "error", "save", "later", "within"}
_numbers = itertools.count(1)


GIVEN = {
    "soon": {"initialMs": 10, "factor": 1.0, "maxMs": 10},
    "large": "0123456789" * 120,
    "long_key": "/".join(letter * 60 for letter in "abcdefgh"),
}
"""Values that every scenario may use."""
PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    # Unknown, the status is 400; known, there is no such task.
    "input": (
        "handoff/update/probe",
        {"task": "none", "attempt": 1, "status": "input", "question": "?"},
    ),
    # Unknown, the field is ignored; known, it is wrong.
    "approval": (
        "tools/register/probe/probe",
        {"description": "probes", "inputSchema": {}, "approval": {"quorum": "none"}},
    ),
}
"""What shows whether a gateway has a feature."""


class Failed(Exception):
    """The SDK did not do what the scenario says."""


class Skipped(Exception):
    """It cannot be played here."""


class Play:
    """The gateway, the drivers and their wires of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        variant: dict[str, str],
        gateway: str,
        command: list[str],
    ) -> None:
        self._scenario = scenario
        self._variant = variant
        self._command = command
        self._room = f"room-{next(_numbers)}"
        self._variables: dict[str, Any] = {"room": self._room, **GIVEN}
        self._drivers: dict[str, Driver] = {}
        self._gone: list[Driver] = []
        self._proxies: dict[str, Proxy] = {}
        self._later: dict[str, tuple[str, int]] = {}
        self._random = random.Random(scenario.name)
        clock = any("step_clock" in step for step in scenario.steps)
        if clock and faketime() is None:
            raise Skipped("libfaketime is not installed")
        self._gateway = Gateway(gateway, scenario.settings, clock)

    def run(self) -> None:
        """Raises `Failed`, `Skipped`."""
        try:
            self._gateway.start()
            self._check_needs()
            self._steps(self._scenario.steps)
        except (DriverGone, GatewayGone) as gone:
            raise Failed(str(gone)) from gone
        except (KeyError, StopIteration) as error:
            raise Failed(f"the scenario names what is not there: {error!r}") from error

    def _check_needs(self) -> None:
        """Tells by its answer to something that is wrong whether the gateway knows a feature."""
        needs = self._scenario.needs
        if needs is None:
            return
        self._start("probe", "probe", VARIANTS["v5-json"])
        topic, document = PROBES[needs]
        probe = self._drivers["probe"]
        request = {"op": "publish", "topic": topic, "json": document}
        answer = probe.answer(probe.ask(request), self._scenario.within) or {}
        unknown = {"input": "Malformed", "approval": None}[needs]
        if answer.get("error", {}).get("kind") == unknown:
            raise Skipped(f"the gateway does not know {needs}")

    def close(self) -> None:
        for driver in [*self._drivers.values(), *self._gone]:
            driver.close()
        for proxy in self._proxies.values():
            proxy.close()
        self._gateway.close()

    def transcript(self) -> str:
        """What was said, and what the programs logged."""
        drivers = [*self._drivers.values(), *self._gone]
        lines = sorted(line for one in drivers for line in one.transcript)
        errors = [f"-- {one.name} logged:\n{text}" for one in drivers if (text := one.stderr())]
        return "\n".join([*lines, *errors, f"-- the gateway logged:\n{self._gateway.log[-2_000:]}"])

    # Steps

    def _steps(self, steps: list[dict[str, Any]]) -> None:
        for raw in steps:
            step = raw if "steps" in raw else filled(raw, self._variables)
            kind = next(iter(step))
            play = getattr(self, f"_step_{kind}", None)
            try:
                if play is not None:
                    play(step)
                else:
                    self._request(kind, step)
            except Failed as why:
                raise Failed(f"{why}\nat {short(step)}") from None

    def _within(self, step: dict[str, Any]) -> float:
        return float(step.get("within", self._scenario.within))

    def _driver(self, name: str) -> Driver:
        if name not in self._drivers:
            self._start(name, name, {})
        return self._drivers[name]

    def _start(self, name: str, agent: str, connect: dict[str, Any]) -> None:
        driver = self._drivers[name] = Driver(name, self._command)
        proxy = self._proxies[name] = self._proxies.get(name) or Proxy(self._gateway.port)
        url = f"mqtt://127.0.0.1:{proxy.port}"
        fields = {"url": url, "agent": agent, **self._variant, **connect}
        self._ok(driver, driver.ask({"op": "connect", **fields}), {})
        driver.events.clear()
        self._ok(driver, driver.ask({"op": "join", "room": self._room}), {})

    def _request(self, name: str, step: dict[str, Any]) -> None:
        driver = self._driver(name)
        number = driver.ask(step[name])
        if "later" in step:
            self._later[step["later"]] = (name, number)
        else:
            self._ok(driver, number, step)

    def _ok(self, driver: Driver, number: int, step: dict[str, Any]) -> None:
        """Waits for an answer, and looks whether it is what the step wants."""
        answer = driver.answer(number, self._within(step))
        if answer is None:
            raise Failed(f"{driver.name}: no answer in {self._within(step):g} s")
        if answer.get("error", {}).get("kind") == "Unsupported":
            raise Skipped(f"the driver does not know {answer['error'].get('reason')}")
        wanted = "error" if "error" in step else "ok"
        if wanted not in answer:
            raise Failed(f"{driver.name}: {short(answer)}, where an {wanted} was expected")
        if why := differs(step.get(wanted) or {}, answer[wanted]):
            raise Failed(f"{driver.name}: {why}: {short(answer)}")
        self._save(step, answer[wanted])

    def _save(self, step: dict[str, Any], document: Any) -> None:
        for name, path in step.get("save", {}).items():
            try:
                self._variables[name] = picked(document, path)
            except (KeyError, IndexError, TypeError):
                raise Failed(f"there is no {path} in {short(document)}") from None

    def _step_await(self, step: dict[str, Any]) -> None:
        name, number = self._later.pop(step["await"])
        self._ok(self._drivers[name], number, step)

    def _step_event(self, step: dict[str, Any]) -> None:
        driver, wanted = self._drivers[step["event"]], step["is"]

        def match(one: dict[str, Any]) -> bool:
            return differs(wanted, one) is None

        if step.get("next"):
            kind = wanted["event"]
            driver.wait_for(
                lambda: any(one["event"] == kind for one in driver.events),
                self._within(step),
            )
            first = next((one for one in driver.events if one["event"] == kind), None)
            if first is None or not match(first):
                raise Failed(f"{driver.name}: the next event is {short(first)}")
        elif not driver.wait_for(lambda: any(map(match, driver.events)), self._within(step)):
            there = [one for one in driver.events if one["event"] == wanted.get("event")]
            raise Failed(f"{driver.name}: no such event, but {short(there)}")
        found = next(one for one in driver.events if match(one))
        driver.events.remove(found)
        self._save(step, found)

    def _step_unseen(self, step: dict[str, Any]) -> None:
        name = step["unseen"]
        driver = self._drivers.get(name) or next(one for one in self._gone if one.name == name)
        for one in list(driver.events):
            if differs(step["is"], one) is None:
                raise Failed(f"{driver.name}: there should be no {short(one)}")

    def _step_start(self, step: dict[str, Any]) -> None:
        name = step["start"]
        if name in self._drivers:
            self._gone.append(self._drivers.pop(name))
        self._start(name, step.get("agent", name), step.get("connect", {}))

    def _step_kill(self, step: dict[str, Any]) -> None:
        if step["kill"] == "gateway":
            self._gateway.kill()
        else:
            driver = self._drivers.pop(step["kill"])
            self._gone.append(driver)
            driver.kill()

    def _step_restart(self, step: dict[str, Any]) -> None:
        self._gateway.kill()
        self._gateway.start()

    def _step_term(self, step: dict[str, Any]) -> None:
        self._drivers[step["term"]].term()

    def _step_exits(self, step: dict[str, Any]) -> None:
        driver = self._drivers.pop(step["exits"])
        self._gone.append(driver)
        code = driver.exited(self._within(step))
        if code != step.get("code", 0):
            raise Failed(f"{driver.name}: its exit code is {code}")

    def _step_cut(self, step: dict[str, Any]) -> None:
        self._proxies[step["cut"]].cut()

    def _step_mute(self, step: dict[str, Any]) -> None:
        self._proxies[step["mute"]].mute()

    def _step_step_clock(self, step: dict[str, Any]) -> None:
        self._gateway.step_clock(step["step_clock"])

    def _step_repeat(self, step: dict[str, Any]) -> None:
        for number in range(1, step["repeat"] + 1):
            self._variables["i"] = number
            self._steps(step["steps"])

    def _step_property(self, step: dict[str, Any]) -> None:
        for number in range(1, step["cases"] + 1):
            self._variables["i"] = number
            self._variables["value"] = random_value(self._random)
            self._steps(step["steps"])

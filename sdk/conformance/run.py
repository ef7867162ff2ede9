#!/usr/bin/env python3
"""Plays the conformance list against one SDK. See README.md.

Exit code: 0 if all passed, 1 if something failed, 64 if the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runner.goldens import check_goldens
from runner.play import Failed, Play, Skipped
from runner.scenario import VARIANTS, Scenario, load

HERE = Path(__file__).resolve().parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plays the conformance list against one SDK.")
    parser.add_argument("--driver", help="the command that starts a driver")
    parser.add_argument(
        "--gateway",
        default=os.environ.get("HALLWARD_BIN"),
        help="the program (or HALLWARD_BIN)",
    )
    parser.add_argument("--only", default="", help="scenarios whose name or file has one of these")
    parser.add_argument("--variants", default="", help="of v5-json v311-json v5-cbor v311-cbor")
    parser.add_argument("--full", action="store_true", help="every scenario in every variant")
    parser.add_argument("--jobs", type=int, default=3, help="scenarios at once (3)")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--verbose", action="store_true", help="show what is said")
    found = parser.parse_args()
    if not found.list and not (found.driver and found.gateway):
        parser.print_usage(sys.stderr)
        print("--driver and --gateway (or HALLWARD_BIN) are needed", file=sys.stderr)
        sys.exit(64)
    return found


def wanted(scenarios: list[Scenario], only: str) -> list[Scenario]:
    words = [word for word in only.split(",") if word]
    return [
        one
        for one in scenarios
        if not words or any(word in one.name or word in one.file for word in words)
    ]


class Tally:
    """What passed, what failed, and what was skipped and why."""

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose
        self.passed = self.failed = 0
        self.skipped: set[str] = set()
        self._lock = threading.Lock()

    def play(self, scenario: Scenario, variant: str, gateway: str, driver: list[str]) -> None:
        began = time.monotonic()
        play = Play(scenario, VARIANTS[variant], gateway, driver)
        try:
            play.run()
        except Skipped as why:
            with self._lock:
                self.skipped.add(f"{scenario.name}: {why}")
        except Failed as why:
            with self._lock:
                self.failed += 1
                print(f"FAILED  {scenario.name} ({variant})\n{indented(str(why))}")
                print(indented(play.transcript()))
        else:
            with self._lock:
                self.passed += 1
                print(f"passed  {scenario.name} ({variant}, {time.monotonic() - began:.1f} s)")
                if self.verbose:
                    print(indented(play.transcript()))
        finally:
            play.close()


def indented(text: str) -> str:
    return "\n".join("        " + line for line in text.splitlines())


def main() -> int:
    options = arguments()
    scenarios = wanted(load(HERE / "scenarios"), options.only)
    if options.list:
        for one in scenarios:
            print(f"{one.file}: {one.name} [{', '.join(one.variants)}]")
        return 0
    driver = shlex.split(options.driver)
    if shutil.which(options.gateway) is None:
        print(f"--gateway: {options.gateway} is no program", file=sys.stderr)
        return 64
    tally = Tally(options.verbose)
    chosen = [word for word in options.variants.split(",") if word]
    plays = [
        (one, variant)
        for one in scenarios
        for variant in (VARIANTS if options.full else one.variants)
        if not chosen or variant in chosen
    ]
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for one in [
            pool.submit(tally.play, scenario, variant, options.gateway, driver)
            for scenario, variant in plays
        ]:
            one.result()
    if not options.only or "goldens" in options.only:
        wrong = check_goldens(HERE.parent.parent / "schemas/examples", driver)
        tally.passed += not wrong
        tally.failed += bool(wrong)
        print("\n".join(["FAILED  goldens", *wrong]) if wrong else "passed  goldens")
    for why in sorted(tally.skipped):
        print(f"skipped {why}")
    print(f"{tally.passed} passed, {tally.failed} failed, {len(tally.skipped)} skipped")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())

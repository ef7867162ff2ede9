"""A person at a terminal: shows what awaits a decision, and asks. `python approver.py`"""

from __future__ import annotations

import json
import os
import sys

import hallward
import hallward.sync

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")


def main() -> None:
    with hallward.sync.connect(URL, agent="chief") as me:
        room = me.join("content-pipeline")
        for pending in room.approve.pending():
            if isinstance(pending, hallward.PendingApproval):
                print(f"{pending.requester} wants to {pending.action}:")
                print(json.dumps(pending.content, indent=2, ensure_ascii=False))
                decision = "approve" if input("approve? [y/n] ").strip() == "y" else "reject"
                room.approve.decide(pending, decision)
                print(decision)


if __name__ == "__main__":
    try:
        main()
    except hallward.HallwardError as failed:
        sys.exit(str(failed))
    except KeyboardInterrupt:
        sys.exit(130)

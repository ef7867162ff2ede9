//! Time as an operator meets it: somebody sets the clock of the machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Agent, Gateway, Setup};
use crate::tools::Tools;

/// A gateway whose wall clock the test sets. What cannot be set, libfaketime leaves alone.
struct Machine {
    place: tempfile::TempDir,
    library: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let place = tempfile::tempdir().expect("a temporary directory");
        let library = Tools::get().libfaketime();
        let machine = Machine { place, library };
        machine.set_clock("+0s");
        machine
    }

    /// To so much before or after the true time: `+1d`, `-2m`.
    fn set_clock(&self, offset: &str) {
        let next = self.place.path().join("next");
        fs::write(&next, offset).expect("a file can be written");
        fs::rename(next, self.clock()).expect("a file can be put in place");
    }

    fn clock(&self) -> PathBuf {
        self.place.path().join("clock")
    }

    fn start(&self, data: &Path) -> Gateway {
        let library = format!("LD_PRELOAD={}", self.library.display());
        let clock = format!("FAKETIME_TIMESTAMP_FILE={}", self.clock().display());
        let words = [
            "env",
            &library,
            &clock,
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_DONT_RESET=1",
        ];
        Setup::new().through(&words).on(data).start()
    }
}

fn now() -> u64 {
    hallward::clock::wall()
}

const DAY: u64 = 86_400_000;

#[test]
fn what_lasts_lasts_as_long_wherever_the_clock_is_set() {
    let machine = Machine::new();
    let data = machine.place.path().join("data");
    let gateway = machine.start(&data);
    let mut boss = Agent::join(&gateway, "lab", "boss");
    let mut wes = Agent::worker(&gateway, "lab", "wes", "draft");
    boss.listen("handoff/result/boss");
    boss.listen("observe/events/gateway/clock");
    let task = boss.dispatch(json!({"type": "draft", "leaseMs": 60_000}));
    let assignment = wes.assignment("draft");
    let approval = boss.request(json!({"action": "publish", "timeoutMs": 600_000}));
    boss.accepted(
        "blackboard/set/boss/plan",
        json!({"value": 1, "ttlMs": 3_600_000}),
    );

    machine.set_clock("+1d");
    let audit = boss.ask("approve/audit/boss", json!({"approval": approval}));
    let event: Value = boss.next("observe/events/gateway/clock");
    assert_eq!(event["what"], "clock.stepped", "{event}");
    let by = event["detail"]["byMs"].as_u64().expect("forward");
    assert!(by.abs_diff(DAY) < 1_000, "{event}");
    assert_eq!(
        gateway.metric("hallward_clock_steps_total{direction=\"forward\"}"),
        1
    );
    // Nothing is over, and what is shown is what the clock will show by then.
    let data_of = |reply: &hallward::wire::reply::Reply| -> Value {
        let data = reply.data.as_ref().expect("an answer");
        serde_json::from_str(data.text()).expect("JSON")
    };
    let page = data_of(&audit);
    assert_eq!(page["approvals"][0]["state"], "pending", "{page}");
    let expires_at = page["approvals"][0]["expiresAt"].as_u64().expect("a time");
    assert!(
        expires_at.abs_diff(now() + DAY + 600_000) < 60_000,
        "{page}"
    );
    let keys = data_of(&boss.ask("blackboard/get/boss", json!({})));
    assert_eq!(keys["entries"][0]["value"], 1, "{keys}");
    wes.succeed(&assignment, json!("done"));
    let result = boss.result();
    assert_eq!(result.task.as_str(), task);
    assert!(result.at.abs_diff(now() + DAY) < 60_000, "{result:?}");

    machine.set_clock("-400d");
    let short = boss.dispatch(json!({"type": "draft", "leaseMs": 1_000, "maxAttempts": 1}));
    let event: Value = boss.next("observe/events/gateway/clock");
    let by = event["detail"]["byMs"].as_i64().expect("back");
    assert!(by < -400 * 86_400_000, "{event}");
    let _ = wes.assignment("draft");
    let result = boss.result();
    assert_eq!(result.task.as_str(), short);
    assert_eq!(
        json!(result.status),
        "dead",
        "a silent worker loses it after a second"
    );
    assert!(result.at < now() - 399 * DAY, "{result:?}");
}

#[test]
fn a_restart_with_the_clock_set_takes_nothing_away() {
    let machine = Machine::new();
    let data = machine.place.path().join("data");
    let mut gateway = machine.start(&data);
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.accepted(
        "blackboard/set/boss/plan",
        json!({"value": 1, "ttlMs": 3_600_000}),
    );
    for offset in ["+9000d", "-9000d"] {
        gateway.kill();
        machine.set_clock(offset);
        gateway = machine.start(&data);
        let mut boss = Agent::join(&gateway, "lab", "boss");
        boss.listen("blackboard/state/plan");
        let entry = boss.state("plan").expect("an hour has not passed");
        assert_eq!(entry.value.text(), "1");
        assert!(
            gateway.stderr().contains("the wall clock was set"),
            "{offset}"
        );
    }
}

//! SIGHUP: the configuration is read again, as a whole or not at all.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::harness::{Agent, Client, Connect, DEADLINE, Gateway, Publish, Setup, Value, property};

/// A gateway and its configuration file.
struct Site {
    directory: TempDir,
    gateway: Gateway,
}

impl Site {
    fn start(toml: &str) -> Site {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("hallward.toml");
        std::fs::write(&file, toml).expect("written");
        let setup = Setup::new().on(&directory.path().join("data"));
        let gateway = setup.configured_by(&file).start();
        Site { directory, gateway }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("hallward.toml")
    }

    /// Has the gateway read another configuration; says whether it took it.
    fn reload(&self, toml: &str) -> bool {
        std::fs::write(self.file(), toml).expect("written");
        let count = |outcome: &str| {
            let name = format!("hallward_config_reloads_total{{outcome=\"{outcome}\"}}");
            self.gateway.metric(&name)
        };
        let before = (count("done"), count("failed"));
        self.gateway.signal("HUP");
        let deadline = Instant::now() + DEADLINE;
        loop {
            let after = (count("done"), count("failed"));
            if after != before {
                return after.0 > before.0;
            }
            assert!(Instant::now() < deadline, "the configuration is not read");
        }
    }

    /// Waits until a line of the log has all of these words.
    #[track_caller]
    fn logged(&self, words: &[&str]) {
        let deadline = Instant::now() + DEADLINE;
        let has_all = |line: &str| words.iter().all(|word| line.contains(word));
        while !self.gateway.stderr().lines().any(has_all) {
            assert!(Instant::now() < deadline, "not logged: {words:?}");
            self.gateway.get("/livez");
        }
    }

    /// Starts the gateway again with another configuration.
    fn restart(&mut self, toml: &str) {
        std::fs::write(self.file(), toml).expect("written");
        assert!(self.gateway.stop().success());
        self.gateway.restart();
    }

    fn waits_for_restart(&self) -> u64 {
        self.gateway.metric("hallward_config_restart_settings")
    }
}

#[test]
fn rooms_limits_and_the_log_level_change_while_it_runs() {
    let mut site = Site::start("[handoff]\nlease = \"10m\"\n");
    let mut ann = Agent::join(&site.gateway, "lab", "ann");
    ann.set("one", json!(1));
    ann.set("two", json!(1));
    let took = site.reload(
        "[handoff]\nlease = \"5m\"\n[handoff.types.draft]\nmax_attempts = 7\n\
         [rooms.room.lab]\nmax_keys = 1\n[log]\nlevel = \"debug\"\n[retained]\nmax_messages = 0\n",
    );
    assert!(took);
    ann.rejected(429, "blackboard/set/ann/three", json!({ "value": 1 }));
    ann.set("two", json!(2));
    let id = ann.dispatch(json!({ "type": "draft" }));
    let task = ann.accepted("handoff/get/ann", json!({ "task": id }));
    let task: Json = serde_json::from_str(task.data.expect("a view").text()).expect("JSON");
    assert_eq!(task["maxAttempts"], 7, "{task}");
    let kept = Publish::new("news", "x", 1).retained();
    let mut bob = Client::connect(site.gateway.mqtt, Connect::v5("bob"));
    assert_eq!(bob.publish(kept), 0x97);
    site.logged(&[
        "setting changed",
        "key=\"handoff.lease\"",
        "from=\"\\\"10m\\\"\"",
        "5m",
    ]);
    site.logged(&["setting changed", "key=\"rooms.room.lab.max_keys\""]);
    for _ in 0..2 {
        Client::connect(site.gateway.mqtt, Connect::v5("again")).disconnect();
    }
    site.logged(&["DEBUG connected", "again"]);
    assert!(site.reload(""), "as by default");
    ann.set("three", json!(1));
    assert_eq!(bob.publish(Publish::new("news", "x", 1).retained()), 0);
    assert!(site.gateway.stop().success(), "and it ends as ever");
}

#[test]
fn what_takes_a_restart_is_named_and_stays() {
    let site = Site::start("");
    let took = site.reload(
        "[http]\ntimeout = \"20s\"\n[rooms]\nroot = \"spaces\"\nmax_rooms = 1\n[data]\nlog_segments = 9\n",
    );
    assert!(took);
    let words = "takes a restart, and stays as it is until then";
    site.logged(&[words, "key=\"http.timeout\"", "10s", "20s"]);
    site.logged(&[words, "key=\"rooms.root\"", "spaces"]);
    site.logged(&[words, "key=\"data.log_segments\""]);
    site.logged(&["configuration reloaded", "changed=1", "take_a_restart=3"]);
    assert_eq!(site.waits_for_restart(), 3);
    let mut ann = Agent::join(&site.gateway, "lab", "ann");
    ann.set("one", json!(1));
    let mut eve = Client::connect(site.gateway.mqtt, Connect::v5("eve"));
    assert_eq!(
        eve.publish(Publish::new(
            "rooms/other/blackboard/set/eve/k",
            "{\"value\":1}",
            1
        )),
        0x97,
        "what can be reloaded is"
    );
    assert!(site.reload(""));
    assert_eq!(site.waits_for_restart(), 0);
}

#[test]
fn a_configuration_with_an_error_is_refused_whole() {
    let site = Site::start("[rooms]\nmax_rooms = 1\n");
    let mut ann = Agent::join(&site.gateway, "lab", "ann");
    let before = "[rooms]\nmax_rooms = 5\n";
    for (rest, words) in [
        (
            "[handoff]\nlease = \"soon\"\n",
            "hallward.toml:4: handoff.lease: expected a duration",
        ),
        (
            "[handoff.types.draft]\nlaese = 1\n",
            "hallward.toml:4: handoff.types.draft.laese: unknown key",
        ),
        (
            "[handoff]\nlease = \"2d\"\n",
            "hallward.toml:4: handoff.lease: must not be more than handoff.max_lease",
        ),
        ("lease = ", "hallward.toml:3: not TOML"),
        (
            "[[blackboard.schemas]]\nprefix = \"p\"\nschema = \"/nowhere/p.json\"\n",
            "/nowhere/p.json: cannot read the schema",
        ),
        (
            "[mqtt]\nlisten = \"\"\n[websocket]\npath = \"x\"\n",
            "websocket.path: must begin with /",
        ),
    ] {
        assert!(!site.reload(&format!("{before}{rest}")), "{rest}");
        site.logged(&[
            "configuration not reloaded, everything runs on as before",
            words,
        ]);
        let elsewhere = Publish::new("rooms/x/blackboard/set/ann/k", "{\"value\":1}", 1);
        assert_eq!(ann.publish(elsewhere), 0x97, "max_rooms is as before");
    }
    std::fs::remove_file(site.file()).expect("it was there");
    site.gateway.signal("HUP");
    site.logged(&["not reloaded", "cannot read the configuration file"]);
    ann.set("k", json!(1));
    assert!(site.reload(before));
    Agent::join(&site.gateway, "x", "bob").set("k", json!(1));
}

/// A slip in one file keeps no certificate, and no user, from being read.
#[test]
fn what_the_configuration_in_use_names_is_read_though_the_new_one_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let acl = directory.path().join("acl");
    std::fs::write(&acl, "topic read x\n").expect("written");
    let auth = format!(
        "[auth]\nenabled = true\nanonymous = \"ann\"\nacl_file = {acl:?}\nclient_ids = [\"*\"]\n"
    );
    let site = Site::start(&auth);
    let mut ann = Client::connect(site.gateway.mqtt, Connect::v5("ann"));
    assert_eq!(ann.subscribe(&[("y", 1)]), [0x87]);
    std::fs::write(&acl, "topic read y\n").expect("written");
    assert!(!site.reload(&format!("{auth}[mqtt]\nmax_inflight = 0\n")));
    assert_eq!(ann.subscribe(&[("y", 1)]), [1]);
    let other = directory.path().join("other");
    std::fs::write(&other, "topic read z\n").expect("written");
    let named = auth.replace("acl\"", "other\"");
    assert!(site.reload(&named), "another file can be named");
    assert_eq!(ann.subscribe(&[("z", 1), ("y", 1)]), [1, 0x87]);
}

#[test]
fn limits_of_connections_hold_at_once_but_for_what_clients_were_told() {
    let site = Site::start("[mqtt]\nmax_packet = \"2KiB\"\nmax_connections = 1\n");
    let mut ann = Client::connect(site.gateway.mqtt, Connect::v5("ann"));
    let large = || Publish::new("x", vec![b'x'; 1500], 1);
    assert_eq!(ann.publish(large()), 0);
    assert_eq!(
        ann.subscribe(&[("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r", 0)]),
        [0]
    );
    let took = site.reload(
        "[mqtt]\nmax_packet = \"1KiB\"\nmax_connections = 3\nmax_topic_levels = 16\nmax_subscriptions = 2\n",
    );
    assert!(took);
    assert_eq!(ann.publish(large()), 0, "it was told 2 KiB");
    let deep = "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/s";
    assert_eq!(ann.subscribe(&[(deep, 0)]), [0x8F]);
    assert_eq!(ann.subscribe(&[("one", 0), ("two", 0)]), [0, 0x97]);
    let mut bob = Client::connect(site.gateway.mqtt, Connect::v5("bob"));
    let told = bob.granted.find(property::MAXIMUM_PACKET_SIZE);
    assert_eq!(told, Some(&Value::Four(1024)));
    bob.publish(Publish::new("one", "x", 0));
    assert_eq!(ann.message().text(), "x");
    assert!(site.reload("[mqtt]\nmax_connections = 1\n"));
    ann.ping();
    bob.ping();
}

const BARRED: &str = "rooms that exist are not configured: they are closed (rooms.create), and what is in them is kept";

/// After a restart and while it runs; and it goes on as it was.
#[test]
fn a_room_that_is_not_configured_is_closed_and_keeps_what_is_in_it() {
    let mut site = Site::start("");
    let mut ann = Agent::join(&site.gateway, "lab", "ann");
    ann.set("plan", json!(1));
    let task = ann.dispatch(json!({ "type": "draft" }));
    ann.disconnect();
    let configured = "[rooms]\ncreate = \"configured\"\n[rooms.room.other]\n";
    site.restart(configured);
    site.logged(&["WARN", BARRED, "rooms=1", "names=\"lab\""]);
    let mut eve = Client::connect(site.gateway.mqtt, Connect::v5("eve"));
    let set = || Publish::new("rooms/lab/blackboard/set/eve/plan", "{\"value\":2}", 1);
    assert_eq!(eve.publish(set()), 0x83, "no such room");
    assert_eq!(eve.subscribe(&[("rooms/lab/reply/eve", 1)]), [0x80]);
    assert_eq!(eve.subscribe(&[("rooms/+/blackboard/state/#", 1)]), [1]);
    assert!(eve.message().text().contains("\"version\":1"));
    assert!(site.reload(&format!("{configured}[rooms.room.lab]\n")));
    let mut ann = Agent::join(&site.gateway, "lab", "ann");
    assert_eq!(ann.set("plan", json!(2)), 2);
    let mut wes = Agent::worker(&site.gateway, "lab", "wes", "draft");
    assert_eq!(wes.assignment("draft").task.as_str(), task);
    let before = site.gateway.stderr().matches(BARRED).count();
    assert!(site.reload(configured));
    let deadline = Instant::now() + DEADLINE;
    while site.gateway.stderr().matches(BARRED).count() == before {
        assert!(Instant::now() < deadline, "not said again");
        site.gateway.get("/livez");
    }
    assert_eq!(
        ann.tell("blackboard/set/ann/plan", &json!({ "value": 3 })),
        0x83
    );
    assert_eq!(wes.tell("presence/announce/wes", &json!({})), 0x83);
}

/// Its retained messages, too, which nobody need write anew.
#[test]
fn a_room_changes_its_encoding_and_its_members() {
    let site = Site::start("");
    let mut ann = Agent::join(&site.gateway, "lab", "ann");
    let mut wes = Agent::worker(&site.gateway, "lab", "wes", "draft");
    ann.set("plan", json!({ "title": "Tides" }));
    let took = site.reload("[rooms.room.lab]\nencoding = \"cbor\"\nmembers = [\"ann\", \"eve\"]\n");
    assert!(took);
    let mut eve = Client::connect(site.gateway.mqtt, Connect::v5("eve"));
    eve.subscribe(&[("rooms/lab/blackboard/state/plan", 1)]);
    assert!(crate::harness::is_cbor(&eve.message()));
    ann.dispatch(json!({ "type": "draft" }));
    wes.rejected(403, "blackboard/set/wes/x", json!({ "value": 1 }));
    assert!(site.reload("[rooms.room.lab]\nmembers = [\"ann\", \"eve\", \"late\", \"w*\"]\n"));
    wes.assignment("draft");
    ann.set("plan", json!({ "title": "Waves" }));
    assert!(!crate::harness::is_cbor(&eve.message()));
    let mut late = Client::connect(site.gateway.mqtt, Connect::v5("late"));
    late.subscribe(&[("rooms/lab/blackboard/state/plan", 1)]);
    assert!(!crate::harness::is_cbor(&late.message()));
}

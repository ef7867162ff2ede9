//! Running it: what an operator meets at start, at the end, and when the disk is full.

mod full_disk;

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::harness::{
    Ack, Agent, Client, Connect, DEADLINE, Gateway, Packet, Publish, Setup, Value, free_address,
    property,
};

/// Runs `serve` where it must refuse, and returns its one line.
#[track_caller]
fn refused(code: i32, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let (mqtt, http) = (free_address().to_string(), free_address().to_string());
    let mut all = vec!["serve", "--mqtt", &mqtt, "--http", &http];
    // What comes later would be a repetition to clap, so defaults give way.
    for pair in arguments.chunks(2) {
        match all.iter().position(|word| *word == pair[0]) {
            Some(at) => all[at + 1] = pair[1],
            None => all.extend(pair),
        }
    }
    let output = Gateway::run(&all, environment);
    // Other tests look for ports, too, and may have been quicker.
    let taken = |own: &String| {
        all.contains(&own.as_str()) && output.stderr.contains(&format!("{own}: Address already"))
    };
    if taken(&mqtt) || taken(&http) {
        return refused(code, arguments, environment);
    }
    assert_eq!(output.code, Some(code), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    let complaints: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("hallward: "))
        .collect();
    assert_eq!(complaints.len(), 1, "one line: {output:?}");
    complaints[0].to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

#[test]
fn a_second_instance_on_the_same_data_says_so_and_leaves() {
    let mut gateway = Gateway::start();
    let line = refused(75, &["--data", text(&gateway.data)], &[]);
    assert!(line.contains(text(&gateway.data)), "{line}");
    let mut ann = Agent::join(&gateway, "lab", "ann");
    assert_eq!(ann.set("plan", json!(1)), 1, "the first one goes on");
    assert!(gateway.stop().success());
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let data = tempfile::tempdir().expect("a temporary directory");
    for flag in ["--mqtt", "--http"] {
        let line = refused(75, &["--data", text(data.path()), flag, &address], &[]);
        assert!(line.contains(&address), "{line}");
    }
}

#[test]
fn a_data_directory_that_is_none_is_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("file");
    File::create(&file).expect("writable");
    let line = refused(64, &["--data", text(&file)], &[]);
    assert!(line.contains(text(&file)), "{line}");
    let below = file.join("data");
    let line = refused(64, &["--data", text(&below)], &[]);
    assert!(line.contains(text(&file)), "{line}");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    // Not even root may make a directory there.
    let line = refused(64, &["--data", "/sys/hallward"], &[]);
    assert!(line.contains("/sys/hallward"), "{line}");
}

#[test]
fn listening_beyond_loopback_is_refused_while_authentication_is_off() {
    let data = tempfile::tempdir().expect("a temporary directory");
    for flag in ["--mqtt", "--http"] {
        let line = refused(64, &["--data", text(data.path()), flag, "0.0.0.0:0"], &[]);
        assert!(
            line.contains("0.0.0.0:0") && line.contains("authentication"),
            "{line}"
        );
    }
}

#[test]
fn another_root_over_the_rooms_of_an_old_one_is_refused() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut gateway = Setup::new().on(data.path()).start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.set("plan", json!(1));
    ann.disconnect();
    assert!(gateway.stop().success());
    let line = refused(
        64,
        &[
            "--data",
            text(data.path()),
            "--mqtt",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ],
        &[("HALLWARD__ROOMS__ROOT", "spaces")],
    );
    assert!(
        line.contains("rooms.root is \"spaces\"")
            && line.contains("set rooms.root to \"rooms\" again"),
        "{line}"
    );
    gateway.restart();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    assert_eq!(ann.set("plan", json!(2)), 2, "it is all there");
    drop(gateway);
    let empty = tempfile::tempdir().expect("a temporary directory");
    Setup::new().on(empty.path()).start().kill();
    let named = Setup::new().on(empty.path()).with("rooms.root", "spaces");
    named.start();
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let environment = [("HALLWARD__ROOMS__RECONECT_GRACE", "1s")];
    let line = refused(64, &["--data", text(data.path())], &environment);
    assert!(line.contains("reconnect_grace"), "{line}");
    let file = data.path().join("hallward.toml");
    std::fs::write(&file, "[handof]\nlease = \"1s\"\n").expect("writable");
    let line = refused(
        64,
        &["--data", text(data.path()), "--config", text(&file)],
        &[],
    );
    assert!(
        line.contains("handoff") && line.contains(text(&file)),
        "{line}"
    );
}

#[test]
fn a_gateway_that_is_up_says_so_over_http() {
    let gateway = Gateway::start();
    assert_eq!(gateway.get("/livez").0, 200);
    assert_eq!(gateway.get("/readyz").0, 200);
    let (status, metrics) = gateway.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("# TYPE"), "{metrics}");
    assert_eq!(gateway.get("/nonsense").0, 404);
}

#[test]
fn a_gateway_in_memory_leaves_nothing_behind() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("ready.json");
    let own = place.path().join("tmp");
    std::fs::create_dir(&own).expect("made");
    let script = format!(
        "TMPDIR={} exec \"$0\" \"$@\" --ready-file {}",
        text(&own),
        text(&file)
    );
    let mut gateway = Setup::new()
        .on(std::path::Path::new(":memory:"))
        .through(&["sh", "-c", &script])
        .start();
    let found = std::fs::read(&file).expect("it is up");
    let found: serde_json::Value = serde_json::from_slice(&found).expect("JSON");
    let data = std::path::Path::new(found["data"].as_str().expect("a path"));
    assert!(data.starts_with(&own) && data.join("hallward.db").exists());
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.stderr());
    assert_eq!(std::fs::read_dir(&own).expect("readable").count(), 0);
}

#[test]
fn whoever_starts_a_gateway_finds_it_by_its_ready_file() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let file = place.path().join("ready.json");
    std::fs::write(&file, "of one that was killed").expect("writable");
    let script = format!("exec \"$0\" \"$@\" --ready-file {}", text(&file));
    let mut gateway = Setup::new().through(&["sh", "-c", &script]).start();
    let found = std::fs::read(&file).expect("it is up");
    let found: serde_json::Value = serde_json::from_slice(&found).expect("JSON");
    let expected = json!({
        "mqtt": gateway.mqtt.to_string(),
        "http": format!("http://{}", gateway.http),
        "data": gateway.data,
        "pid": gateway.pid(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(found, expected);
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.stderr());
    let left = std::fs::read_dir(place.path()).expect("readable").count();
    assert_eq!(left, 0);

    let nowhere = place.path().join("nowhere/ready.json");
    let data = place.path().join("data");
    let line = refused(
        1,
        &["--data", text(&data), "--ready-file", text(&nowhere)],
        &[],
    );
    assert!(line.contains(text(&nowhere)), "{line}");
    assert!(!data.exists(), "nothing has started");
}

#[test]
fn what_is_configured_is_told_to_clients_of_mqtt_5() {
    let gateway = Setup::new()
        .with("mqtt.receive_maximum", "7")
        .with("mqtt.max_packet", "64KiB")
        .start();
    let client = Client::connect(gateway.mqtt, Connect::v5("curious"));
    let granted = |id| client.granted.find(id).cloned();
    assert_eq!(granted(property::RECEIVE_MAXIMUM), Some(Value::Two(7)));
    assert_eq!(
        granted(property::MAXIMUM_PACKET_SIZE),
        Some(Value::Four(64 << 10))
    );
}

/// The name that `docs/operations.md` gives: jemalloc's own would be another program's.
#[test]
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn the_allocator_heeds_its_variable() {
    let name = "_RJEM_MALLOC_CONF";
    let output = Gateway::run(&["--version"], &[(name, "no_such_setting:1")]);
    assert!(output.stderr.contains("no_such_setting"), "{output:?}");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(page).expect("the page");
    assert!(page.contains(&format!("`{name}`")), "{name}");
}

#[test]
fn sigterm_and_sigint_drain() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start();
        let mut keeper = Client::connect(gateway.mqtt, Connect::v311("keeper").persistent());
        keeper.subscribe(&[("kept/#", 1)]);
        keeper.disconnect();
        let mut ann = Agent::join(&gateway, "lab", "ann");
        ann.set("plan", json!("kept"));
        assert_eq!(ann.publish(Publish::new("kept/one", "1", 1)), 0);
        gateway.signal(signal);
        assert_eq!(ann.expect_disconnect(), 0x8B, "{signal}");
        ann.expect_closed();
        let status = gateway.ended();
        assert_eq!(status.code(), Some(0), "{signal}: {}", gateway.stderr());
        gateway.restart();
        let mut ann = Agent::join(&gateway, "lab", "ann");
        ann.listen("blackboard/state/plan");
        assert_eq!(ann.state("plan").expect("kept").value.text(), r#""kept""#);
        let mut keeper = Client::connect(gateway.mqtt, Connect::v311("keeper").persistent());
        assert!(keeper.session_present);
        assert_eq!(keeper.message_on("kept/one").text(), "1");
    }
}

#[test]
fn a_second_sigterm_is_no_hurry() {
    let mut gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    gateway.signal("TERM");
    gateway.signal("TERM");
    assert_eq!(ann.expect_disconnect(), 0x8B);
    gateway.signal("TERM");
    let status = gateway.ended();
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
}

#[test]
fn what_is_sent_while_it_drains_is_kept_if_it_was_acknowledged() {
    let mut gateway = Gateway::start();
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("keeper").persistent());
    keeper.subscribe(&[("kept", 1)]);
    keeper.disconnect();
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    for n in 1..=500u16 {
        sender.send(&numbered("kept", n));
    }
    gateway.signal("TERM");
    sender.expect_closed();
    let mut acked = 0;
    while let Some(()) = sender.take_kept(puback) {
        acked += 1;
    }
    assert!(gateway.ended().success());
    gateway.restart();
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("keeper").persistent());
    for n in 1..=acked {
        assert_eq!(
            keeper.message().text(),
            n.to_string(),
            "{acked} were acknowledged"
        );
    }
}

fn numbered(topic: &str, n: u16) -> Packet {
    Packet::Publish(Publish {
        packet_id: Some(n),
        ..Publish::new(topic, n.to_string(), 1)
    })
}

fn puback(packet: &Packet) -> Option<()> {
    matches!(packet, Packet::PubAck(Ack { code: 0, .. })).then_some(())
}

#[test]
fn the_gateways_figures_are_under_sys_for_who_asks_for_them() {
    let gateway = Setup::new().with("mqtt.sys_interval", "50ms").start();
    let mut nosy = Client::connect(gateway.mqtt, Connect::v5("nosy"));
    nosy.subscribe(&[("#", 0), ("+/broker/version", 0)]);
    let mut watcher = Client::connect(gateway.mqtt, Connect::v311("watcher"));
    watcher.subscribe(&[("$SYS/broker/version", 0)]);
    let version = watcher.message();
    assert!(version.retain, "it was there before");
    assert_eq!(
        version.text(),
        concat!("hallward version ", env!("CARGO_PKG_VERSION"))
    );
    watcher.subscribe(&[("$SYS/broker/clients/connected", 1)]);
    let third = Client::connect(gateway.mqtt, Connect::v5("third"));
    while watcher.message_on("$SYS/broker/clients/connected").text() != "3" {}
    third.disconnect();
    while watcher.message_on("$SYS/broker/clients/connected").text() != "2" {}
    nosy.publish(Publish::new("marker", "x", 0));
    nosy.expect_silence_until(|publish| publish.topic == "marker");
}

#[test]
fn figures_cost_the_disk_nothing_and_can_be_turned_off() {
    let gateway = Setup::new().with("mqtt.sys_interval", "0s").start();
    let mut watcher = Client::connect(gateway.mqtt, Connect::v5("watcher"));
    watcher.subscribe(&[("$SYS/#", 0), ("marker", 0)]);
    watcher.publish(Publish::new("marker", "x", 0));
    watcher.expect_silence_until(|publish| publish.topic == "marker");

    let gateway = Setup::new().with("mqtt.sys_interval", "50ms").start();
    let commits = || gateway.metric("hallward_ledger_commits_total");
    let mut watcher = Client::connect(gateway.mqtt, Connect::v5("watcher"));
    watcher.subscribe(&[("$SYS/broker/uptime", 0)]);
    let before = commits();
    watcher.message_on("$SYS/broker/uptime");
    watcher.message_on("$SYS/broker/uptime");
    assert_eq!(commits(), before);
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[test]
fn memory_is_given_back_after_a_peak() {
    const COUNT: u16 = 8000;
    // As by itself, only sooner: the allocator of the release gives back what was free for a tenth
    // of a second.
    let mut gateway = Setup::new()
        .with("session.max_queued_bytes", "256MiB")
        .with("mqtt.receive_maximum", "65535")
        .through(&["env", "MALLOC_CONF=dirty_decay_ms:100"])
        .start();
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("keeper").persistent());
    keeper.subscribe(&[("kept", 1)]);
    keeper.disconnect();
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    let before = gateway.resident();
    for n in 1..=COUNT {
        sender.send(&Packet::Publish(Publish {
            packet_id: Some(n),
            ..Publish::new("kept", format!("{n} {}", "x".repeat(12_000)), 1)
        }));
    }
    (0..COUNT).for_each(|_| sender.expect("an ack", puback));
    let peak = gateway.resident();
    assert!(peak > before + (90 << 20), "{before} {peak}");
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("keeper").persistent());
    for n in 1..=COUNT {
        let text = keeper.message().text().to_owned();
        assert!(text.starts_with(&format!("{n} ")), "{n}: {}", &text[..8]);
    }
    let deadline = Instant::now() + DEADLINE;
    while gateway.resident() > before + (24 << 20) {
        keeper.ping();
        let now = gateway.resident();
        assert!(Instant::now() < deadline, "{before} {peak} {now}");
    }
    assert!(gateway.stop().success());
}

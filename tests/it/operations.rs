//! Running it: what an operator meets at start, at the end, and when the disk is full.

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

/// A file system of a few MiB, and the means to fill it.
struct SmallDisk {
    setup: Setup,
    mount: Option<PathBuf>,
    data: PathBuf,
}

const SMALL_DISK: &str = "size=24M";

impl SmallDisk {
    /// Mounts one, here or in a namespace of the gateway's own; `None` where neither is allowed.
    fn mount(data: &Path) -> Option<SmallDisk> {
        let runs = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let mount = ["-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", text(data)];
        if runs("mount", &mount) {
            return Some(SmallDisk {
                setup: small_log(data),
                mount: Some(data.to_owned()),
                data: data.to_owned(),
            });
        }
        let script = format!(
            "mount -t tmpfs -o {SMALL_DISK} tmpfs '{}' && exec \"$@\"",
            text(data)
        );
        let unshare = ["unshare", "-r", "-m", "sh", "-c", &script, "sh"];
        if !runs(unshare[0], &[&unshare[1..], &["true"]].concat()) {
            return None;
        }
        let setup = small_log(data).through(&unshare);
        Some(SmallDisk {
            setup,
            mount: None,
            data: data.to_owned(),
        })
    }

    /// Where a file is that takes the gateway's space.
    fn filler(&self, gateway: &Gateway) -> PathBuf {
        match self.mount {
            Some(_) => self.data.join("filler"),
            None => PathBuf::from(format!(
                "/proc/{}/root{}/filler",
                gateway.pid(),
                text(&self.data)
            )),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(mount) = &self.mount {
            // Nothing is left to do about a failure here.
            let _ = Command::new("umount").arg("-l").arg(mount).status();
        }
    }
}

/// A gateway whose commit log takes little of a small disk.
fn small_log(data: &Path) -> Setup {
    Setup::new().on(data).with("data.log_segment", "1MiB")
}

/// Takes all space that is left.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("there is some space");
    let chunk = [0; 4096];
    while file.write_all(&chunk).is_ok() {}
}

/// Asks `/readyz` until it answers with this status.
fn ready_becomes(gateway: &Gateway, wanted: u16) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (status, body) = gateway.get("/readyz");
        if status == wanted {
            return body;
        }
        assert!(Instant::now() < deadline, "/readyz says {status}: {body}");
    }
}

#[test]
fn a_full_disk_stalls_what_must_be_kept_and_nothing_else() {
    const COUNT: u16 = 40;
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(disk) = SmallDisk::mount(place.path()) else {
        println!("skipped: this machine lets nobody mount a small file system");
        return;
    };
    let gateway = disk.setup.clone().start();
    let mut keeper = Client::connect(gateway.mqtt, Connect::v311("keeper").persistent());
    keeper.subscribe(&[("kept", 1)]);
    let mut listener = Client::connect(gateway.mqtt, Connect::v5("listener"));
    listener.subscribe(&[("live", 0)]);
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    assert_eq!(sender.publish(Publish::new("kept", "first", 1)), 0);
    assert_eq!(keeper.message().text(), "first");

    let filler = disk.filler(&gateway);
    fill(&filler);
    // Together more than the commit log can still take in the space that it has already.
    for n in 1..=COUNT {
        sender.send(&Packet::Publish(Publish {
            packet_id: Some(1000 + n),
            ..Publish::new("kept", format!("{n} {}", "x".repeat(100_000)), 1)
        }));
    }
    let reason = ready_becomes(&gateway, 503);
    assert!(
        reason.contains("full") || reason.contains("space"),
        "{reason}"
    );
    sender.ping();
    let mut acked = 0;
    while let Some(()) = sender.take_kept(puback) {
        acked += 1;
    }
    assert!(acked < COUNT, "something must wait for the disk");
    for n in 0..100 {
        sender.publish(Publish::new("live", n.to_string(), 0));
        assert_eq!(
            listener.message().text(),
            n.to_string(),
            "live traffic goes on"
        );
    }

    std::fs::remove_file(&filler).expect("it is there");
    for n in 1..=COUNT {
        if n > acked {
            sender.expect("an ack that waited", puback);
        }
        // A small disk is full again soon unless what is acknowledged is gone.
        let message = keeper.message();
        assert!(
            message.text().starts_with(&format!("{n} ")),
            "{n}: {:?}",
            &message.text()[..8]
        );
    }
    ready_becomes(&gateway, 200);
}

/// What CONNECT is answered with.
fn connack(gateway: &Gateway, connect: Connect) -> u8 {
    let mut client = Client::open(gateway.mqtt, connect.version).expect("the gateway accepts");
    client.send(&Packet::Connect(connect));
    client.expect("CONNACK", |packet| match packet {
        Packet::ConnAck { code, .. } => Some(*code),
        _ => None,
    })
}

#[test]
fn a_full_disk_answers_whoever_comes_and_asks_meanwhile() {
    // The second time more waits for the disk than the desk takes.
    for max_pending in ["64MiB", "1MiB"] {
        answers_at_a_full_disk(max_pending);
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one story in the order in which it happens"
)]
fn answers_at_a_full_disk(max_pending: &str) {
    const LARGE: u16 = 40;
    let place = tempfile::tempdir().expect("a temporary directory");
    let Some(disk) = SmallDisk::mount(place.path()) else {
        println!("skipped: this machine lets nobody mount a small file system");
        return;
    };
    let gateway = disk
        .setup
        .clone()
        .with("desk.max_pending", max_pending)
        .start();
    let mut keeper = Client::connect(gateway.mqtt, Connect::v311("keeper").persistent());
    keeper.subscribe(&[("kept", 1)]);
    let mut fifth = Client::connect(gateway.mqtt, Connect::v5("fifth").persistent());
    let mut listener = Client::connect(gateway.mqtt, Connect::v5("listener"));
    let mut sender = Client::connect(gateway.mqtt, Connect::v5("sender"));
    for topic in ["wall/before", "wall/changed"] {
        assert_eq!(sender.publish(Publish::new(topic, "old", 1).retained()), 0);
    }
    let filler = disk.filler(&gateway);
    fill(&filler);
    let send = |sender: &mut Client, packet_id: u16, publish: Publish| {
        sender.send(&Packet::Publish(Publish {
            packet_id: Some(packet_id),
            ..publish
        }));
    };
    for n in 1..=LARGE {
        send(
            &mut sender,
            n + 1000,
            Publish::new("kept", vec![b'x'; 100_000], 1),
        );
    }
    ready_becomes(&gateway, 503);
    send(
        &mut sender,
        2000,
        Publish::new("wall/changed", "new", 1).retained(),
    );
    sender.ping();

    for again in 0..2 {
        for (n, connect) in [Connect::v5("new-5"), Connect::v311("new-4")]
            .into_iter()
            .enumerate()
        {
            let mut new = Client::connect(gateway.mqtt, connect);
            assert_eq!(new.subscribe(&[("live", 1), ("wall/#", 1)]), [1, 1]);
            let marker = format!("{again} {n}");
            listener.publish(Publish::new("live", marker.clone(), 0));
            let mut seen = vec![new.message()];
            while seen.last().is_some_and(|last| last.topic != "live") {
                seen.push(new.message());
            }
            assert_eq!(seen.pop().expect("the marker").text(), marker);
            assert_eq!(seen[0].topic, "wall/before");
            // What is on disk, and no more.
            assert!(seen.iter().all(|one| one.text() == "old"), "{seen:?}");
            assert_eq!(new.unsubscribe(&["live"]).len(), 1 - n, "{n}");
            new.disconnect();
        }
    }
    assert_eq!(connack(&gateway, Connect::v5("kept-5").persistent()), 0x97);
    assert_eq!(connack(&gateway, Connect::v311("kept-4").persistent()), 3);
    assert_eq!(connack(&gateway, Connect::v5("fifth").persistent()), 0x97);
    let will = Connect::v5("mortal").with_will("live", "gone", 0, false);
    assert_eq!(connack(&gateway, will), 0x97);
    assert_eq!(fifth.subscribe(&[("other", 1), ("more", 0)]), [0x97, 0x97]);
    assert_eq!(keeper.subscribe(&[("other", 1)]), [0x80]);
    assert_eq!(listener.subscribe(&[("live", 0), ("wall/#", 0)]), [0, 0]);
    assert_eq!(listener.message_on("wall/before").text(), "old");
    // Nobody was disturbed.
    for client in [&mut keeper, &mut fifth, &mut listener, &mut sender] {
        client.ping();
    }

    std::fs::remove_file(&filler).expect("it is there");
    // A small disk is full again soon unless what is acknowledged is gone.
    (0..LARGE).for_each(|_| assert_eq!(keeper.message().topic, "kept"));
    while listener.message_on("wall/changed").text() != "new" {}
    ready_becomes(&gateway, 200);
    assert_eq!(fifth.subscribe(&[("other", 1)]), [1]);
    let kept = Client::connect(gateway.mqtt, Connect::v5("kept-5").persistent());
    kept.disconnect();
    listener.publish(Publish::new("other", "for a kept session", 1));
    assert_eq!(fifth.message().text(), "for a kept session");
    let will = Connect::v5("mortal").with_will("live", "gone", 0, false);
    Client::connect(gateway.mqtt, will).vanish();
    assert_eq!(listener.message_on("live").text(), "gone");
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
    // As by itself, only sooner: the allocator of the release gives back what was free for a tenth of a second.
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

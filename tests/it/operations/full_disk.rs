//! A data directory on a disk that is full.

use super::*;

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

//! What the log says, and that nothing else depends on whether it can be written.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::harness::{Client, Connect, Gateway, Packet, Publish, Setup, Version};

/// Starts a gateway whose standard error is what these words of a shell make of it.
fn with_standard_error(words: &str) -> Gateway {
    let script = format!("{words}; exec \"$@\"");
    Setup::new()
        .with("log.level", "debug")
        .with("log.max_waiting", "4KiB")
        .through(&["sh", "-c", &script, "sh"])
        .start()
}

/// Comes and goes until the log has lost a line for this reason, and then some.
fn log_until_lost(gateway: &Gateway, reason: &str) {
    let metric = format!("hallward_log_lines_lost_total{{reason=\"{reason}\"}}");
    let visit = || {
        let mut client = Client::connect(gateway.mqtt, Connect::v5("visitor"));
        client.ping();
        client.disconnect();
    };
    // A pipe takes 64 KiB before it is full.
    let mut visits = 0;
    while gateway.metric(&metric) == 0 {
        (0..50).for_each(|_| visit());
        visits += 50;
        assert!(visits < 5000, "nothing lost: {metric}");
    }
    (0..50).for_each(|_| visit());
}

#[test]
fn a_log_that_cannot_be_written_costs_log_lines_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    let pipe = pipe.to_str().expect("UTF-8");
    for (words, reason) in [
        ("exec 2>/dev/full".to_owned(), "failed"),
        // Its only reader is gone before the gateway begins.
        (
            format!("mkfifo {pipe}; exec 3<>{pipe}; exec 2>{pipe}; exec 3<&-"),
            "failed",
        ),
        // The descriptor is a reader, too, and never reads.
        (format!("rm {pipe}; mkfifo {pipe}; exec 2<>{pipe}"), "full"),
    ] {
        let mut gateway = with_standard_error(&words);
        log_until_lost(&gateway, reason);
        assert!(gateway.stop().success(), "{words}");
    }
}

/// The lines that name this kind.
fn lines<'a>(log: &'a str, kind: &str) -> Vec<&'a str> {
    let word = format!("kind=\"{kind}\"");
    log.lines().filter(|line| line.contains(&word)).collect()
}

/// Sends bytes on a connection of this client and waits until it is closed.
fn offend(gateway: &Gateway, connect: Connect, bytes: &[u8]) {
    let mut client = Client::connect(gateway.mqtt, connect);
    client.send_raw(bytes);
    client.expect_closed();
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one story in the order in which it happens"
)]
fn why_a_device_dropped_off_is_in_the_log_by_name_and_once() {
    let mut gateway = Setup::new()
        .with("mqtt.max_subscriptions", "2")
        .with("retained.max_messages", "1")
        .with("mqtt.write_buffer", "4KiB")
        .with("mqtt.write_high_water", "4KiB")
        .start();
    for _ in 0..5 {
        // A header that tells of 2 MiB, SUBSCRIBE.
        offend(
            &gateway,
            Connect::v5("large"),
            &[0x82, 0x80, 0x80, 0x80, 0x01],
        );
        offend(&gateway, Connect::v311("rude"), &[0xF0, 0]);
    }
    let mut quiet = Connect::v5("quiet");
    quiet.keep_alive = 1;
    Client::connect(gateway.mqtt, quiet).expect_closed();
    let twins: Vec<Client> = (0..4)
        .map(|_| Client::connect(gateway.mqtt, Connect::v5("twin")))
        .collect();
    drop(twins);
    let mut greedy = Client::connect(gateway.mqtt, Connect::v5("greedy"));
    assert_eq!(
        greedy.subscribe(&[("a", 0), ("b", 0), ("c", 0)]),
        [0, 0, 0x97]
    );
    let mut keeper = Client::connect(gateway.mqtt, Connect::v5("keeper"));
    let codes =
        ["one", "two"].map(|topic| keeper.publish(Publish::new(topic, "kept", 1).retained()));
    assert_eq!(codes, [0, 0x97]);
    for hello in [
        &b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02xy"[..],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(gateway.mqtt).expect("it listens");
        stream.write_all(hello).expect("it reads");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let mut reserved = Client::open(gateway.mqtt, Version::V311).expect("it listens");
    reserved.send(&Packet::Connect(Connect::v311("gateway")));
    reserved.expect_closed();
    // Somebody who does not read.
    let mut slow = Client::connect(gateway.mqtt, Connect::v5("slow"));
    slow.subscribe(&[("flood", 0)]);
    let dropped = "hallward_mqtt_messages_dropped_total{reason=\"slow_reader\"}";
    while gateway.metric(dropped) == 0 {
        for _ in 0..20 {
            greedy.publish(Publish::new("flood", "x".repeat(100_000), 0));
        }
        greedy.ping();
    }
    greedy.disconnect();
    assert!(gateway.stop().success());
    let log = gateway.stderr();
    for (kind, who) in [
        ("packet_too_large", "client=\"large\""),
        ("protocol_error", "client=\"rude\""),
        ("keep_alive", "client=\"quiet\""),
        ("taken_over", "client=\"twin\""),
        ("two_devices", "client=\"twin\""),
        ("max_subscriptions", "client=\"greedy\""),
        ("retained_full", "client=\"keeper\""),
        ("version", "peer=127.0.0.1"),
        ("no_connect", "peer=127.0.0.1"),
        ("client_id_refused", "peer=127.0.0.1"),
        ("unread", "client=\"slow\""),
        ("disconnected", "client=\"greedy\""),
    ] {
        let own: Vec<&str> = lines(&log, kind)
            .into_iter()
            .filter(|line| line.contains(who))
            .collect();
        assert_eq!(own.len(), 1, "{kind}: {own:?}\n{log}");
    }
    for (kind, more) in [("packet_too_large", 4), ("protocol_error", 4)] {
        let sum = format!("lines={more}");
        let told = lines(&log, kind).iter().any(|line| line.contains(&sum));
        assert!(told, "{kind}: {log}");
    }
    let connects = log
        .lines()
        .filter(|line| line.contains("connected client=\"twin\""))
        .count();
    assert_eq!(connects, 1, "{log}");
}

#[test]
fn refused_commands_and_misspelt_filters_are_told() {
    let mut gateway = Setup::new().with("mqtt.strict_filters", "true").start();
    let mut ann = Client::connect(gateway.mqtt, Connect::v5("ann"));
    let mut old = Client::connect(gateway.mqtt, Connect::v311("old"));
    let misspelt = "rooms/lab/handof/work/writing";
    assert_eq!(
        ann.subscribe(&[(misspelt, 1), ("rooms/lab/#", 1)]),
        [0x8F, 1]
    );
    assert_eq!(old.subscribe(&[(misspelt, 1)]), [1]);
    for _ in 0..3 {
        let refused = Publish::new("rooms/lab/handoff/get/ann", r#"{"task":7}"#, 1);
        assert!(ann.publish(refused) >= 0x80);
    }
    assert!(gateway.stop().success());
    let log = gateway.stderr();
    let told = lines(&log, "command_refused");
    assert_eq!(told.len(), 2, "one, and how many more: {log}");
    for part in [
        "client=\"ann\"",
        "room=",
        "handoff/get",
        "code=400",
        "reason=",
    ] {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
    assert!(told[1].contains("lines=2"), "{}", told[1]);
    let vain = lines(&log, "vain_filter");
    assert_eq!(vain.len(), 2, "{log}");
    assert!(vain.iter().all(|line| line.contains(misspelt)), "{log}");
}

/// `hallward serve` with the log in JSON, on ports that the system gives.
struct InJson {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStderr>>,
    data: tempfile::TempDir,
}

impl InJson {
    fn serve(keys: &[(&str, &str)]) -> InJson {
        let data = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_hallward"))
            .args(["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--data")
            .arg(data.path())
            .env("HALLWARD__LOG__FORMAT", "json")
            .env("HALLWARD__LOG__LEVEL", "debug")
            .envs(keys.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        InJson { child, lines, data }
    }

    /// The next line, which must be an object with a level and a message.
    fn line(&mut self) -> Option<serde_json::Value> {
        let line = self.lines.next()?.expect("UTF-8");
        let object: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(object[key].is_string(), "no {key}: {line}");
        }
        Some(object)
    }

    /// Reads up to a line with this message.
    fn until(&mut self, message: &str) -> serde_json::Value {
        loop {
            let line = self.line();
            let line = line.unwrap_or_else(|| panic!("it ended without {message:?}"));
            if line["message"] == message {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("sh runs").success(), "{kill}");
    }

    /// Reads to the end; the messages that came, the exit code, and what stands on standard output.
    fn end(mut self) -> (BTreeSet<String>, Option<i32>, String) {
        let rest = std::iter::from_fn(|| self.line());
        let messages = rest.map(|line| line["message"].as_str().unwrap_or_default().to_owned());
        let messages = messages.collect();
        let mut stdout = String::new();
        let mut out = self.child.stdout.take().expect("piped");
        out.read_to_string(&mut stdout).expect("UTF-8");
        let status = self.child.wait().expect("it ends");
        (messages, status.code(), stdout)
    }
}

impl Drop for InJson {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after `wait`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_in_json_is_nothing_else_from_the_start_to_the_end_and_says_where_the_gateway_is() {
    let mut gateway = InJson::serve(&[("HALLWARD__WEBSOCKET__LISTEN", "127.0.0.1:0")]);
    let up = gateway.until("up");
    assert_eq!(up["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(up["data"], gateway.data.path().to_str().expect("UTF-8"));
    let address = |name: &str| -> SocketAddr {
        let shown = up[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {up}"));
        shown.parse().expect("an address")
    };
    for name in ["mqtt", "http", "ws"] {
        TcpStream::connect(address(name)).expect("it listens");
    }
    assert_eq!([&up["mqtts"], &up["wss"]], [&serde_json::Value::Null; 2]);
    let mut client = Client::connect(address("mqtt"), Connect::v5("quo\"ted"));
    client.send_raw(&[0xF0, 0]);
    client.expect_closed();
    gateway.signal("HUP");
    gateway.signal("TERM");
    let (messages, code, stdout) = gateway.end();
    for message in ["draining", "stopped", "connected"] {
        assert!(messages.contains(message), "{message}: {messages:?}");
    }
    assert_eq!((code, &*stdout), (Some(0), ""));
}

#[test]
fn why_a_gateway_does_not_start_is_json_too() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    for (keys, code, words) in [
        (&[("HALLWARD__LOG__LEVLE", "info")][..], 64, "log.level"),
        (
            &[("HALLWARD__ROOMS__MAX_ROOMS", "many")],
            64,
            "rooms.max_rooms",
        ),
        (
            &[("HALLWARD__DATA__LOG_SEGMENT", "1B")],
            64,
            "data.log_segment",
        ),
        (
            &[
                ("HALLWARD__TLS__LISTEN", "127.0.0.1:0"),
                ("HALLWARD__TLS__KEY", path),
                ("HALLWARD__TLS__CERTIFICATE", path),
            ],
            64,
            path,
        ),
    ] {
        let gateway = InJson::serve(keys);
        let (messages, ended, stdout) = gateway.end();
        assert_eq!((ended, &*stdout), (Some(code), ""), "{keys:?}");
        let told = messages.iter().any(|message| message.contains(words));
        assert!(told, "{words}: {messages:?}");
    }
}

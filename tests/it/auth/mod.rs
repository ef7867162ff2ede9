//! Who may connect, and what each may do: over real sockets, with files as operators write them.

mod command_line;
mod logging_in;
mod mosquitto;
mod ownership;
mod reload;
mod rights;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::harness::{Client, Connect, DEADLINE, Gateway, Packet, Setup};

/// What `mosquitto_passwd` 2.0.11 wrote: everybody's password is their name and `-secret`.
const PASSWORDS: &str = include_str!("fixtures/mosquitto-2.0.passwords");
/// The same with `-H sha512`, as mosquitto 1.6 wrote it.
const OLD_PASSWORDS: &str = include_str!("fixtures/mosquitto-1.6.passwords");

const USERS: &str = r#"
[users.ann]
roles = ["agent"]
rooms = ["lab"]

[users.bob]
roles = ["agent"]
rooms = ["lab", "dev-*"]

[users.wes]
roles = ["worker"]
rooms = ["lab"]

[users.eye]
roles = ["observer"]
rooms = ["*"]

[users.root]
roles = ["admin"]
"#;

/// Reason codes of MQTT 5 and return codes of 3.1.1.
const UNSPECIFIED: u8 = 0x80;
const BAD_CREDENTIALS: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;
const FILTER_INVALID: u8 = 0x8F;
const V311_BAD_CREDENTIALS: u8 = 4;
const V311_NOT_AUTHORIZED: u8 = 5;

/// The files that a gateway reads, and how it is to be started.
struct Site {
    directory: TempDir,
    setup: Setup,
}

impl Site {
    /// With everybody of the fixtures, and no ACL file.
    fn new() -> Site {
        Site::with_passwords(PASSWORDS)
    }

    fn with_passwords(passwords: &str) -> Site {
        let site = Site::bare()
            .file("password_file", "passwords", passwords)
            .file("users_file", "users.toml", USERS);
        Site {
            setup: site.setup.clone().on(&site.directory.path().join("data")),
            ..site
        }
    }

    /// With nothing but authentication.
    fn bare() -> Site {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let setup = Setup::new().with("auth.enabled", "true");
        Site { directory, setup }
    }

    fn with(mut self, key: &str, value: &str) -> Site {
        self.setup = self.setup.with(key, value);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writable");
    }

    /// Writes a file and names it in the configuration.
    fn file(self, key: &str, name: &str, text: &str) -> Site {
        self.write(name, text);
        let path = self.path(name);
        self.with(&format!("auth.{key}"), path.to_str().expect("UTF-8"))
    }

    fn acl(self, text: &str) -> Site {
        self.file("acl_file", "acl", text)
    }

    fn start(&self) -> Gateway {
        self.setup.clone().start()
    }
}

/// CONNECT of MQTT 5 with the user's password of the fixtures.
fn v5(user: &str, client_id: &str) -> Connect {
    Connect::v5(client_id).by(user, &format!("{user}-secret"))
}

/// The same for 3.1.1.
fn v311(user: &str, client_id: &str) -> Connect {
    Connect::v311(client_id).by(user, &format!("{user}-secret"))
}

fn connect(gateway: &Gateway, connect: Connect) -> Client {
    Client::connect(gateway.mqtt, connect)
}

/// The code of a CONNACK that refuses; the connection is closed after it.
#[track_caller]
fn refused(gateway: &Gateway, connect: Connect) -> u8 {
    let mut client = Client::open(gateway.mqtt, connect.version).expect("it accepts");
    client.send(&Packet::Connect(connect));
    let code = client.expect("CONNACK", |packet| match packet {
        Packet::ConnAck { code, .. } => Some(*code),
        _ => None,
    });
    assert_ne!(code, 0, "refused");
    client.expect_closed();
    code
}

/// A counter of `/metrics`; the whole line up to the number.
fn metric(gateway: &Gateway, line: &str) -> f64 {
    let (_, metrics) = gateway.get("/metrics");
    let value = metrics
        .lines()
        .find_map(|shown| shown.strip_prefix(line)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no metric {line}: {metrics}"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small count"
)]
fn refusals(gateway: &Gateway, kind: &str) -> u64 {
    let count = metric(
        gateway,
        &format!("hallward_auth_refusals_total{{kind=\"{kind}\"}}"),
    );
    count as u64
}

/// Sends SIGHUP and waits until the gateway has read its files: whether it took them.
fn reload(gateway: &Gateway) -> bool {
    let count = |outcome: &str| {
        metric(
            gateway,
            &format!("hallward_auth_reloads_total{{outcome=\"{outcome}\"}}"),
        )
    };
    let before = (count("done"), count("failed"));
    gateway.signal("HUP");
    let deadline = Instant::now() + DEADLINE;
    loop {
        let after = (count("done"), count("failed"));
        if after != before {
            return after.0 > before.0;
        }
        assert!(Instant::now() < deadline, "the files are not read anew");
    }
}

/// Waits until the log has these words.
fn logged(gateway: &Gateway, words: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !gateway.stderr().contains(words) {
        assert!(Instant::now() < deadline, "not logged: {words}");
        gateway.get("/livez");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

//! What carries MQTT: TLS, client certificates, WebSocket, and the limits at the door, with real
//! clients and with bytes of our own.

mod certs;
mod files;
mod limits;
mod mutual;
mod names;
pub(crate) mod pki;
mod reload;
mod tls;
mod tls_client;
mod websocket;

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::harness::{DEADLINE, Gateway, Setup, free_address};
use crate::tools::Tools;
use pki::Pki;

/// A gateway that listens in every way, with certificates of its own.
struct Listening {
    gateway: Gateway,
    pki: Pki,
    tls: SocketAddr,
    websocket: SocketAddr,
    secure_websocket: SocketAddr,
}

impl Listening {
    fn start() -> Listening {
        Listening::with(Setup::new(), Pki::new())
    }

    /// With the files of `pki` and whatever else was set.
    fn with(setup: Setup, pki: Pki) -> Listening {
        let (tls, websocket, secure_websocket) = (free_address(), free_address(), free_address());
        let gateway = setup
            .with("tls.listen", &tls.to_string())
            .with("tls.certificate", pki.path("server.crt"))
            .with("tls.key", pki.path("server.key"))
            .with("websocket.listen", &websocket.to_string())
            .with("websocket.tls_listen", &secure_websocket.to_string())
            .start();
        Listening {
            gateway,
            pki,
            tls,
            websocket,
            secure_websocket,
        }
    }

    /// Clients must show a certificate.
    fn asking() -> Listening {
        let pki = Pki::new();
        let setup = Setup::new()
            .with("tls.client_ca", pki.path("ca.crt"))
            .with("tls.client_certificate", "required");
        Listening::with(setup, pki)
    }

    /// Publishes over TLS with mosquitto_pub; says whether it worked, and what it said.
    fn mosquitto(&self, words: &[&str]) -> (bool, String) {
        let output = Tools::get()
            .mosquitto_pub()
            .args(["-h", "localhost", "-p", &self.tls.port().to_string()])
            .args(["--cafile", self.pki.path("ca.crt")])
            .args(["-i", "writer", "-q", "1", "-t", "hello", "-m", "world"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }

    /// Waits until a metric has a value.
    fn wait_for(&self, metric: &str, value: impl Display) {
        let line = format!("{metric} {value}");
        let begun = Instant::now();
        loop {
            let (_, metrics) = self.gateway.get("/metrics");
            if metrics.lines().any(|own| own == line) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "no {line} in:\n{metrics}");
            std::thread::yield_now();
        }
    }
}

/// A gateway that listens in every way, for tests of something else.
pub(crate) fn everywhere(setup: Setup) -> Gateway {
    Listening::with(setup, Pki::new()).gateway
}

/// Runs a foreign client until it ends, and expects it to be content.
#[track_caller]
fn passes(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{complained}");
    said
}

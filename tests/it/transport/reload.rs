//! SIGHUP: new files for new connections, and nobody is dropped.

use std::time::Instant;

use super::Listening;
use super::pki::Pki;
use super::tls_client::Hello;
use crate::harness::{DEADLINE, Gateway, Setup};

/// Sends SIGHUP and waits until the gateway has said how it went.
pub(super) fn reload(gateway: &Gateway) -> String {
    let before = gateway.stderr().len();
    gateway.signal("HUP");
    let begun = Instant::now();
    loop {
        let log = gateway.stderr();
        let line = log[before..]
            .lines()
            .find(|line| line.contains("part=\"tls\""));
        if let Some(line) = line {
            return line.to_owned();
        }
        assert!(begun.elapsed() < DEADLINE, "no word of a reload: {log}");
        std::thread::yield_now();
    }
}

#[test]
fn a_new_certificate_is_shown_to_new_clients_and_the_old_ones_stay() {
    let up = Listening::start();
    let mut early = Hello::trusting(&up.pki).connect(up.tls).expect("let in");
    up.pki.renew_server(2);
    let line = reload(&up.gateway);
    assert!(line.contains("reloaded"), "{line}");
    let late = Hello::trusting(&up.pki).connect(up.tls).expect("let in");
    assert_ne!(early.certificate(), late.certificate());
    early.ping();
    let secure = Hello::trusting(&up.pki);
    assert!(
        secure.connect(up.websocket).is_err(),
        "no TLS where there is none"
    );
}

#[test]
fn broken_files_leave_the_old_ones_in_use_and_say_why() {
    let up = Listening::start();
    let first = Hello::trusting(&up.pki).connect(up.tls).expect("let in");
    let (certificate, key) = (up.pki.read("server.crt"), up.pki.read("server.key"));
    up.pki.renew_server(2);
    // Half of the new pair, as if somebody was still copying.
    up.pki.put("server.key", &key);
    let line = reload(&up.gateway);
    assert!(
        line.contains("tls.key") && line.contains("not reloaded"),
        "{line}"
    );
    up.pki.put("server.crt", "");
    let line = reload(&up.gateway);
    assert!(
        line.contains(up.pki.path("server.crt")) && line.contains("empty"),
        "{line}"
    );
    let same = Hello::trusting(&up.pki).connect(up.tls).expect("let in");
    assert_eq!(first.certificate(), same.certificate());

    up.pki.put("server.crt", &certificate);
    assert!(reload(&up.gateway).contains("reloaded:"));
}

#[test]
fn a_client_revoked_meanwhile_is_refused_from_then_on() {
    let pki = Pki::new();
    pki.client("writer", 11);
    pki.revoke(&[]);
    let setup = Setup::new()
        .with("tls.client_ca", pki.path("ca.crt"))
        .with("tls.client_certificate", "required")
        .with("tls.crl", pki.path("revoked.crl"));
    let up = Listening::with(setup, pki);
    let hello = Hello::trusting(&up.pki).showing("writer");
    let mut inside = hello.connect(up.tls).expect("let in");
    up.pki.revoke(&[11]);
    reload(&up.gateway);
    assert!(hello.connect(up.tls).is_err(), "revoked");
    // Handshakes are checked, connections are left alone.
    inside.ping();
}

#[test]
fn without_anything_to_reload_a_hangup_is_harmless() {
    let gateway = Gateway::start();
    gateway.signal("HUP");
    let begun = Instant::now();
    while !gateway.stderr().contains("nothing to reload") {
        assert!(begun.elapsed() < DEADLINE, "{}", gateway.stderr());
        std::thread::yield_now();
    }
    assert_eq!(gateway.get("/readyz").0, 200);
}

//! Clients that must show a certificate.

use rustls::version::{TLS12, TLS13};

use super::Listening;
use super::pki::Pki;
use super::tls_client::Hello;
use crate::harness::Setup;

#[test]
fn mosquitto_comes_in_with_a_certificate_and_not_without() {
    let up = Listening::asking();
    up.pki.client("writer", 11);
    up.pki.foreign_client("stranger");
    let showing = |name: &str| {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        up.mosquitto(&[
            "--cert",
            up.pki.path(&certificate),
            "--key",
            up.pki.path(&key),
        ])
    };
    let (ok, said) = showing("writer");
    assert!(ok, "{said}");
    assert!(
        !showing("stranger").0,
        "another authority's certificate is no good"
    );
    assert!(!up.mosquitto(&[]).0, "no certificate is none");
    up.wait_for("hallward_mqtt_openings_failed_total{reason=\"tls\"}", 2);
}

#[test]
fn an_optional_certificate_must_be_good_if_it_is_shown() {
    let pki = Pki::new();
    pki.client("writer", 11);
    pki.foreign_client("stranger");
    let setup = Setup::new()
        .with("tls.client_ca", pki.path("ca.crt"))
        .with("tls.client_certificate", "optional");
    let up = Listening::with(setup, pki);
    let hello = Hello::trusting(&up.pki);
    hello.connect(up.tls).expect("none is fine");
    hello
        .showing("writer")
        .connect(up.tls)
        .expect("a good one is fine");
    assert!(hello.showing("stranger").connect(up.tls).is_err());
}

#[test]
fn a_server_certificate_is_none_for_clients() {
    let up = Listening::asking();
    // The gateway's own pair: signed by the right authority, for another purpose.
    assert!(
        Hello::trusting(&up.pki)
            .showing("server")
            .connect(up.tls)
            .is_err()
    );
}

#[test]
fn revoked_clients_are_refused() {
    let pki = Pki::new();
    pki.client("good", 11);
    pki.client("bad", 12);
    pki.revoke(&[12]);
    let setup = Setup::new()
        .with("tls.client_ca", pki.path("ca.crt"))
        .with("tls.client_certificate", "required")
        .with("tls.crl", pki.path("revoked.crl"));
    let up = Listening::with(setup, pki);
    for version in [&TLS12, &TLS13] {
        let hello = Hello::trusting(&up.pki).speaking(version);
        hello.showing("good").connect(up.tls).expect("not revoked");
        assert!(hello.showing("bad").connect(up.tls).is_err());
    }
}

//! Files and addresses that do not fit: one line that names the key, the file and what was
//! expected.

use std::net::TcpListener;

use super::pki::Pki;
use crate::harness::{Gateway, free_address};

/// Starts with the files of `pki` and whatever `change` sets, where it must refuse; returns its one
/// line.
#[track_caller]
fn refused(code: i32, pki: &Pki, change: &[(&str, &str)]) -> String {
    let (mqtt, http, tls) = (free_address(), free_address(), free_address());
    let [mqtt, http, tls] = [mqtt, http, tls].map(|address| address.to_string());
    let data = pki.path("data");
    let arguments = ["serve", "--mqtt", &mqtt, "--http", &http, "--data", data];
    let mut environment = vec![
        ("HALLWARD__TLS__LISTEN", tls.as_str()),
        ("HALLWARD__TLS__CERTIFICATE", pki.path("server.crt")),
        ("HALLWARD__TLS__KEY", pki.path("server.key")),
    ];
    environment.extend(change);
    let output = Gateway::run(&arguments, &environment);
    assert_eq!(output.code, Some(code), "{output:?}");
    let mut lines = output
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("hallward: "));
    let line = lines.next().expect("a line").to_owned();
    assert_eq!(lines.next(), None, "one line: {output:?}");
    line
}

#[track_caller]
fn says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "no {word:?} in: {line}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let pki = Pki::new();
    let path = pki.path("nowhere.crt");
    let line = refused(64, &pki, &[("HALLWARD__TLS__CERTIFICATE", path)]);
    says(&line, &["tls.certificate", path, "cannot read"]);
}

#[test]
fn listening_with_tls_needs_files() {
    let line = refused(64, &Pki::new(), &[("HALLWARD__TLS__KEY", "")]);
    says(&line, &["tls.key", "tls.listen", "hallward certs dev"]);
}

#[test]
fn files_swapped_or_of_another_pair_are_told_apart() {
    let pki = Pki::new();
    let swapped = [
        ("HALLWARD__TLS__CERTIFICATE", pki.path("server.key")),
        ("HALLWARD__TLS__KEY", pki.path("server.crt")),
    ];
    let line = refused(64, &pki, &swapped);
    says(
        &line,
        &["tls.certificate", "expected a certificate", "PRIVATE KEY"],
    );
    let line = refused(64, &pki, &swapped[1..]);
    says(
        &line,
        &["tls.key", "expected a private key", "found CERTIFICATE"],
    );
    pki.client("other", 11);
    let line = refused(64, &pki, &[("HALLWARD__TLS__KEY", pki.path("other.key"))]);
    says(
        &line,
        &[
            "tls.key",
            pki.path("other.key"),
            "does not belong",
            pki.path("server.crt"),
        ],
    );
}

#[test]
fn what_is_no_pem_is_told() {
    let pki = Pki::new();
    for (text, words) in [
        ("", "an empty file"),
        ("hello\n", "no PEM at all"),
        (
            "-----BEGIN PRIVATE KEY-----\nAA=A\n-----END PRIVATE KEY-----\n",
            "broken PEM",
        ),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "decrypt",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "cannot be used",
        ),
    ] {
        pki.put("odd.key", text);
        let line = refused(64, &pki, &[("HALLWARD__TLS__KEY", pki.path("odd.key"))]);
        says(&line, &["tls.key", pki.path("odd.key"), words]);
    }
    pki.put(
        "odd.crt",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let line = refused(
        64,
        &pki,
        &[("HALLWARD__TLS__CERTIFICATE", pki.path("odd.crt"))],
    );
    says(&line, &["tls.certificate", pki.path("odd.crt"), "X.509"]);
}

#[test]
fn an_authority_must_be_one() {
    let pki = Pki::new();
    let with = |path| {
        [
            ("HALLWARD__TLS__CLIENT_CERTIFICATE", "required"),
            ("HALLWARD__TLS__CLIENT_CA", path),
        ]
    };
    let line = refused(64, &pki, &with(pki.path("server.crt")));
    says(&line, &["tls.client_ca", "authorities", "CN=server"]);
    let line = refused(64, &pki, &with(""));
    says(&line, &["tls.client_ca", "tls.client_certificate"]);
    pki.put("empty.crt", "\n");
    let line = refused(64, &pki, &with(pki.path("empty.crt")));
    says(&line, &["tls.client_ca", "an empty file"]);
}

#[test]
fn a_revocation_list_must_be_one_and_have_a_use() {
    let pki = Pki::new();
    let line = refused(64, &pki, &[("HALLWARD__TLS__CRL", pki.path("ca.crt"))]);
    says(&line, &["tls.crl", "client_certificate"]);
    let line = refused(
        64,
        &pki,
        &[
            ("HALLWARD__TLS__CLIENT_CERTIFICATE", "required"),
            ("HALLWARD__TLS__CLIENT_CA", pki.path("ca.crt")),
            ("HALLWARD__TLS__CRL", pki.path("ca.crt")),
        ],
    );
    says(&line, &["tls.crl", "revocation list", "found CERTIFICATE"]);
}

#[test]
fn an_expired_certificate_is_a_warning() {
    let pki = Pki::new();
    pki.let_server_expire();
    let environment = [
        ("HALLWARD__TLS__LISTEN", "127.0.0.1:8883"),
        ("HALLWARD__TLS__CERTIFICATE", pki.path("server.crt")),
        ("HALLWARD__TLS__KEY", pki.path("server.key")),
    ];
    let output = Gateway::check(&environment);
    assert_eq!(output.code, Some(0), "{output:?}");
    says(
        &output.stdout,
        &["tls.listen  127.0.0.1:8883", "warning: ", "has expired"],
    );
}

#[test]
fn a_port_in_use_is_named_for_every_listener() {
    let pki = Pki::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    for key in [
        "HALLWARD__TLS__LISTEN",
        "HALLWARD__WEBSOCKET__LISTEN",
        "HALLWARD__WEBSOCKET__TLS_LISTEN",
    ] {
        let line = refused(75, &pki, &[(key, &address)]);
        says(&line, &[&address, "cannot listen"]);
    }
}

#[test]
fn listening_beyond_loopback_is_refused_for_every_listener() {
    let pki = Pki::new();
    for key in ["TLS__LISTEN", "WEBSOCKET__LISTEN", "WEBSOCKET__TLS_LISTEN"] {
        let line = refused(64, &pki, &[(&format!("HALLWARD__{key}"), "0.0.0.0:0")]);
        says(&line, &["0.0.0.0:0", "authentication"]);
    }
}

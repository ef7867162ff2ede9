//! TLS as clients meet it: which versions, with which clients.

use std::process::Command;

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::pki::Pki;
use super::tls_client::Hello;
use super::{Listening, passes};
use crate::harness::Setup;
use crate::tools::Tools;

#[test]
fn mosquitto_publishes_and_subscribes_over_tls() {
    let up = Listening::start();
    for version in ["mqttv311", "mqttv5"] {
        for tls in ["tlsv1.2", "tlsv1.3"] {
            let (ok, said) = up.mosquitto(&["-V", version, "--tls-version", tls, "-r"]);
            assert!(ok, "{version} over {tls}: {said}");
        }
    }
    let got = passes(
        Tools::get()
            .mosquitto_sub()
            .args([
                "-h",
                "localhost",
                "-p",
                &up.tls.port().to_string(),
                "-W",
                "30",
            ])
            .args(["--cafile", up.pki.path("ca.crt"), "-t", "hello", "-C", "1"]),
    );
    assert_eq!(got, "world\n");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_leaves() {
    let up = Listening::start();
    let other = Pki::new();
    let (ok, _) = up.mosquitto(&["--cafile", other.path("ca.crt")]);
    assert!(!ok);
    up.wait_for("hallward_mqtt_openings_failed_total{reason=\"tls\"}", 1);
}

#[test]
fn both_versions_are_spoken_unless_1_3_is_asked_for() {
    let up = Listening::start();
    let hello = Hello::trusting(&up.pki);
    let new = hello.connect(up.tls).expect("TLS 1.3");
    assert_eq!(new.version(), ProtocolVersion::TLSv1_3);
    let old = hello.speaking(&TLS12).connect(up.tls).expect("TLS 1.2");
    assert_eq!(old.version(), ProtocolVersion::TLSv1_2);

    let strict = Listening::with(Setup::new().with("tls.min_version", "1.3"), Pki::new());
    let hello = Hello::trusting(&strict.pki);
    assert!(hello.speaking(&TLS12).connect(strict.tls).is_err());
    hello.speaking(&TLS13).connect(strict.tls).expect("TLS 1.3");
}

#[test]
fn tls_1_1_is_refused() {
    Tools::get();
    let up = Listening::start();
    let s_client = |version: &str| {
        Command::new("openssl")
            .args(["s_client", "-connect", &up.tls.to_string(), version])
            // Without it openssl itself would not speak anything as old.
            .args([
                "-cipher",
                "DEFAULT@SECLEVEL=0",
                "-CAfile",
                up.pki.path("ca.crt"),
            ])
            .args(["-verify_return_error"])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl runs")
    };
    for spoken in ["-tls1_2", "-tls1_3"] {
        let output = s_client(spoken);
        assert!(output.status.success(), "{spoken}: {output:?}");
    }
    let output = s_client("-tls1_1");
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("alert"), "the gateway said no: {said}");
    up.wait_for("hallward_mqtt_openings_failed_total{reason=\"tls\"}", 1);
}

#[test]
fn paho_speaks_over_tls_and_secure_websocket() {
    let up = Listening::start();
    for (port, transport) in [
        (up.tls.port(), "tcp"),
        (up.secure_websocket.port(), "websockets"),
    ] {
        passes(
            Tools::get()
                .python()
                .args([
                    "-B",
                    concat!(
                        env!("CARGO_MANIFEST_DIR"),
                        "/tests/it/transport/round_trip.py"
                    ),
                ])
                .args([&port.to_string(), transport, up.pki.path("ca.crt")]),
        );
    }
}

#[test]
fn plain_mqtt_on_the_tls_port_is_closed_and_counted() {
    let up = Listening::start();
    let mut client =
        crate::harness::Client::open(up.tls, crate::harness::Version::V5).expect("it accepts");
    client.send_raw(super::tls_client::CONNECT);
    let mut closed = client.socket().expect("a socket");
    let mut rest = Vec::new();
    // An alert may come first.
    let _ = std::io::Read::read_to_end(&mut closed, &mut rest);
    assert!(rest.first().is_none_or(|&kind| kind == 21), "{rest:?}");
    up.wait_for("hallward_mqtt_openings_failed_total{reason=\"tls\"}", 1);
}

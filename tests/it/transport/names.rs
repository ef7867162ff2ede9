//! Several certificates on one port, chosen by what a client calls the gateway.

use super::Listening;
use super::pki::Pki;
use super::reload::reload;
use super::tls_client::Hello;
use crate::harness::{Gateway, Setup};

fn others(pki: &Pki, files: &[&str]) -> String {
    let pairs = files.iter().map(|file| {
        let (certificate, key) = (format!("{file}.crt"), format!("{file}.key"));
        serde_json::json!({ "certificate": pki.path(&certificate), "key": pki.path(&key) })
    });
    pairs.collect::<serde_json::Value>().to_string()
}

/// The gateway's own certificate is for localhost, 127.0.0.1; two others are for a name and for a
/// family of names.
fn listening() -> Listening {
    let pki = Pki::new();
    pki.server("partner", "mqtt.partner.example", 21);
    pki.server("lab", "*.lab.example", 22);
    let setup = Setup::new().with("tls.others", &others(&pki, &["partner", "lab"]));
    Listening::with(setup, pki)
}

#[test]
fn clients_are_shown_the_certificate_of_the_name_that_they_call() {
    let up = listening();
    let shown = |name| {
        // The client itself sees that the certificate is for that name.
        let client = Hello::trusting(&up.pki).calling(name).connect(up.tls);
        client.map(|client| client.certificate())
    };
    let partner = shown("mqtt.partner.example").expect("its own");
    let lab = shown("bench-7.lab.example").expect("any name of the lab");
    let own = shown("localhost").expect("the gateway's own");
    assert!(partner != lab && lab != own && own != partner);
    assert_eq!(shown("127.0.0.1").expect("no name is asked for"), own);
    shown("elsewhere.example").expect_err("the gateway's own is not for that name");
    let over_websocket = Hello::trusting(&up.pki).calling("a.lab.example");
    assert_eq!(over_websocket.certificate_at(up.secure_websocket), lab);
}

#[test]
fn all_certificates_are_read_again_or_none() {
    let up = listening();
    let shown = |name| {
        let client = Hello::trusting(&up.pki).calling(name).connect(up.tls);
        client.expect("let in").certificate()
    };
    let (own, lab) = (shown("localhost"), shown("a.lab.example"));
    let key = up.pki.read("lab.key");
    up.pki.renew_server(2);
    up.pki.server("lab", "*.lab.example", 23);
    let new_key = up.pki.read("lab.key");
    up.pki.put("lab.key", &key);
    let line = reload(&up.gateway);
    for word in ["not reloaded", "tls.others", up.pki.path("lab.key")] {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
    assert_eq!(shown("localhost"), own);
    assert_eq!(shown("a.lab.example"), lab);
    up.pki.put("lab.key", &new_key);
    let line = reload(&up.gateway);
    assert!(
        line.contains("CN=server") && line.contains("CN=lab"),
        "{line}"
    );
    assert_ne!(shown("localhost"), own);
    assert_ne!(shown("a.lab.example"), lab);
}

#[test]
fn a_certificate_without_a_name_and_half_a_pair_are_refused() {
    let pki = Pki::new();
    // A client's has no DNS name.
    pki.client("nameless", 11);
    let half = r#"[{"certificate": "a.crt"}]"#;
    for (given, words) in [
        (others(&pki, &["nameless"]), ["tls.others", "no DNS name"]),
        (half.to_owned(), ["tls.others", "missing field `key`"]),
    ] {
        let environment = [
            ("HALLWARD__TLS__LISTEN", "127.0.0.1:8883"),
            ("HALLWARD__TLS__CERTIFICATE", pki.path("server.crt")),
            ("HALLWARD__TLS__KEY", pki.path("server.key")),
            ("HALLWARD__TLS__OTHERS", &given),
        ];
        let output = Gateway::check(&environment);
        assert_eq!(output.code, Some(64), "{output:?}");
        let said = format!("{}{}", output.stdout, output.stderr);
        for word in words {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    }
}

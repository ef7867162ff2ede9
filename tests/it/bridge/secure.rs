//! TLS, with a certificate of ours and without; and somebody else under the bridge's client id.

use std::fs;

use serde_json::json;

use super::mosquitto::Mosquitto;
use super::{cloud, number, publish, publisher, until, until_connected};
use crate::harness::{Client, Connect, free_address};
use crate::transport::pki::Pki;

/// mosquitto, listening for TLS at this address, too; `more` are lines for that.
fn with_tls(pki: &Pki, address: std::net::SocketAddr, more: &str) -> Mosquitto {
    let port = address.port();
    let files = ["ca.crt", "server.crt", "server.key"].map(|name| pki.path(name));
    let [ca, certificate, key] = files;
    let mut mosquitto = Mosquitto::prepared(&format!(
        "allow_anonymous true\nlistener {port} 127.0.0.1\ncafile {ca}\ncertfile {certificate}\n\
         keyfile {key}\n{more}"
    ));
    mosquitto.launch();
    mosquitto
}

#[test]
fn a_bridge_speaks_tls_and_shows_its_certificate() {
    let pki = Pki::new();
    pki.client("bridge", 7);
    let address = free_address();
    let mosquitto = with_tls(&pki, address, "require_certificate true");
    for protocol in ["5", "3.1.1"] {
        let mut recorder = mosquitto.recorder();
        let more = json!({
            "protocol": protocol,
            "tls": true,
            "ca_file": pki.path("ca.crt"),
            "certificate": pki.path("bridge.crt"),
            "key": pki.path("bridge.key"),
        });
        let gateway = cloud(address, more).start();
        let mut client = publisher(&gateway);
        assert_eq!(publish(&mut client, "secret"), 0);
        assert_eq!(recorder.message_on("site/a").text(), "secret");
        until_connected(&gateway, true);
    }
}

#[test]
fn files_are_read_at_each_connect_and_a_broker_that_nobody_vouches_for_gets_nothing() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let address = free_address();
    let mosquitto = with_tls(&pki, address, "");
    let mut recorder = mosquitto.recorder();
    let ca = pki.path("bridge-ca.crt").to_owned();
    fs::copy(stranger.path("ca.crt"), &ca).expect("writable");
    let gateway = cloud(address, json!({ "tls": true, "ca_file": ca })).start();
    let mut client = publisher(&gateway);
    assert_eq!(publish(&mut client, "secret"), 0);
    until("refusals", || {
        number(&gateway, "reconnects_total", "unreachable") > 1
    });
    assert_eq!(number(&gateway, "sent_total", ""), 0);
    // An empty file, and one that is gone, are no reason to stop trying.
    fs::write(&ca, "").expect("writable");
    let before = number(&gateway, "reconnects_total", "unreachable");
    until("more", || {
        number(&gateway, "reconnects_total", "unreachable") > before + 1
    });
    fs::remove_file(&ca).expect("there");
    let before = number(&gateway, "reconnects_total", "unreachable");
    until("more", || {
        number(&gateway, "reconnects_total", "unreachable") > before + 1
    });
    fs::copy(pki.path("ca.crt"), &ca).expect("writable");
    assert_eq!(recorder.message_on("site/a").text(), "secret");
}

#[test]
fn somebody_else_under_its_client_id_loses_nothing() {
    let mosquitto = Mosquitto::start();
    let mut recorder = mosquitto.recorder();
    let gateway = cloud(mosquitto.address, json!({})).start();
    until_connected(&gateway, true);
    let thief = Client::connect(mosquitto.address, Connect::v5("hallward-cloud"));
    // mosquitto's DISCONNECT ends with its reason, and rumqttc 0.25 waits for what MQTT 5 lets it
    // leave out: what is seen is that it closes.
    until("a cut", || {
        number(&gateway, "reconnects_total", "closed") == 1
    });
    let mut client = publisher(&gateway);
    assert_eq!(publish(&mut client, "still there"), 0);
    assert_eq!(recorder.message_on("site/a").text(), "still there");
    thief.vanish();
}

//! Bridges to other brokers: a real mosquitto, a broker that does as it is told, and a network that
//! cuts and swallows.

mod broker;
mod config;
mod delivery;
mod mosquitto;
mod proxy;
mod refusals;
mod secure;

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Client, Connect, DEADLINE, Gateway, Publish, Setup};

/// A bridge named `cloud` that sends `out/#` to an address as `site/#`, with waits that tests can
/// bear; `more` goes over it.
fn cloud(address: SocketAddr, more: Value) -> Setup {
    let mut bridge = json!({
        "name": "cloud",
        "addresses": [address.to_string()],
        "backoff_initial": "10ms",
        "backoff_max": "50ms",
        "backoff_refused": "50ms",
        "rule": [{ "filter": "out/#", "template": "site/{#}" }],
    });
    let keys = bridge.as_object_mut().expect("an object");
    keys.extend(more.as_object().expect("an object").clone());
    Setup::new().with("bridge", &json!([bridge]).to_string())
}

/// A client of the gateway.
fn publisher(gateway: &Gateway) -> Client {
    Client::connect(gateway.mqtt, Connect::v5("publisher"))
}

/// Publishes `text` to `out/a`; how it was acknowledged.
fn publish(client: &mut Client, text: &str) -> u8 {
    client.publish(Publish::new("out/a", text, 1))
}

/// Waits until the gateway says that the bridge has a connection, or has none.
fn until_connected(gateway: &Gateway, is_connected: bool) {
    let mut reader = Client::connect(gateway.mqtt, Connect::v5("reader"));
    reader.subscribe(&[("$SYS/broker/connection/cloud/state", 0)]);
    let wanted = if is_connected { "1" } else { "0" };
    while reader.message().text() != wanted {}
}

/// A number of the bridge; with a reason where it has one.
fn number(gateway: &Gateway, name: &str, reason: &str) -> u64 {
    let labels = match reason {
        "" => "{bridge=\"cloud\"}".to_owned(),
        reason => format!("{{bridge=\"cloud\",reason=\"{reason}\"}}"),
    };
    gateway.metric(&format!("hallward_bridge_{name}{labels}"))
}

/// Waits for something that is shown and sends no event.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::yield_now();
    }
}

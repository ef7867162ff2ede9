//! Somebody who has nothing to do with it and must not notice anything.

use crate::harness::{Client, Connect, Gateway, Publish};

/// A client that hears itself, by the live plane and by the desk.
pub(super) struct Bystander {
    client: Client,
    round: u32,
}

impl Bystander {
    pub(super) fn at(gateway: &Gateway) -> Bystander {
        let mut client = Client::connect(gateway.mqtt, Connect::v5("bystander").persistent());
        client.subscribe(&[("bystander/kept", 2), ("bystander/live", 0)]);
        Bystander { client, round: 0 }
    }

    /// Publishes at every QoS and receives it, each once.
    pub(super) fn is_served(&mut self) {
        for (topic, qos) in [
            ("bystander/live", 0),
            ("bystander/kept", 1),
            ("bystander/kept", 2),
        ] {
            self.round += 1;
            let text = format!("round {}", self.round);
            assert_eq!(
                self.client
                    .publish(Publish::new(topic, text.as_bytes(), qos)),
                0
            );
            assert_eq!(self.client.message().text(), text);
        }
        self.client.ping();
    }
}

//! A small device: MQTT 3.1.1, QoS 0 alone, and a buffer that loses whatever packet is larger, as
//! small libraries do.

use serde_json::Value;

use super::Gateway;
use super::client::Client;
use super::codec::encode;
use super::packet::{Connect, Packet, Publish, Version};

/// What a device sends and receives, header included.
const BUFFER: usize = 256;

/// One device in room `lab`.
#[derive(Debug)]
pub(crate) struct Small {
    id: String,
    client: Client,
    /// Topics of packets that were larger than its buffer.
    pub(crate) lost: Vec<String>,
}

impl Small {
    pub(crate) fn connect(gateway: &Gateway, id: &str) -> Small {
        Small {
            id: id.to_owned(),
            client: Client::connect(gateway.mqtt, Connect::v311(id)),
            lost: Vec::new(),
        }
    }

    /// Subscribes below the room at QoS 0.
    pub(crate) fn listen(&mut self, rest: &str) {
        let topic = format!("rooms/lab/{rest}");
        assert_eq!(self.client.subscribe(&[(&topic, 0)]), [0], "{topic}");
    }

    /// Publishes below the room at QoS 0; `{me}` is its own name.
    pub(crate) fn tell(&mut self, rest: &str, payload: &str) {
        let topic = format!("rooms/lab/{}", rest.replace("{me}", &self.id));
        let publish = Packet::Publish(Publish::new(&topic, payload, 0));
        let bytes = encode(&publish, Version::V311).len();
        assert!(bytes <= BUFFER, "{bytes} bytes are more than it can send");
        self.client.send(&publish);
    }

    /// The next message that its buffer holds: the topic below the room, and what it carries.
    pub(crate) fn next(&mut self) -> (String, Value) {
        loop {
            let publish = self.client.message();
            assert_eq!((publish.qos, publish.packet_id), (0, None));
            let topic = publish.topic.clone();
            let text = publish.text().to_owned();
            if encode(&Packet::Publish(publish), Version::V311).len() > BUFFER {
                self.lost.push(topic);
                continue;
            }
            let rest = topic.strip_prefix("rooms/lab/").expect("of the room");
            return (rest.to_owned(), serde_json::from_str(&text).expect("JSON"));
        }
    }

    /// The next message must be on this topic.
    pub(crate) fn next_on(&mut self, rest: &str) -> Value {
        let (topic, value) = self.next();
        assert_eq!(topic, rest, "{value}");
        value
    }

    /// The reply that comes next.
    pub(crate) fn reply(&mut self) -> Value {
        let topic = format!("reply/{}", self.id);
        self.next_on(&topic)
    }

    /// Sees that nothing has come, and nothing was lost.
    pub(crate) fn expect_nothing(&mut self) {
        self.tell("handoff/get/{me}", r#"{"task":"none"}"#);
        assert_eq!(self.reply()["code"], 404);
        assert!(self.lost.is_empty(), "{:?}", self.lost);
    }

    /// Breaks the connection without a word.
    pub(crate) fn vanish(self) {
        self.client.vanish();
    }
}

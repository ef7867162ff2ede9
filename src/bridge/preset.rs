//! What providers of brokers take, as data with a date.
//!
//! Figures of a preset are where a bridge begins; what the broker says in CONNACK may lower them.
//! They were read in the providers' documentation, not measured: no test here can reach a cloud.

/// What one kind of broker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgePreset {
    /// Its name in the configuration.
    pub name: &'static str,
    /// When the figures were read.
    pub as_of: &'static str,
    /// The longest topic, in bytes.
    pub max_topic: usize,
    /// The most slashes in a topic.
    pub max_slashes: usize,
    /// The largest payload, in bytes.
    pub max_payload: usize,
    /// The largest packet, in bytes.
    pub max_packet: usize,
    /// Messages that may be unacknowledged.
    pub window: usize,
    /// Their bytes; a larger message goes alone.
    pub window_bytes: usize,
    /// Messages a second; 0: as many as it takes.
    pub rate: u32,
    /// Whether retained messages stay retained where a rule does not say.
    pub retain: bool,
    /// The longest keep-alive, in seconds.
    pub max_keep_alive: u16,
    /// The longest client id, in bytes.
    pub max_client_id: usize,
}

/// A broker that follows the standard and says in CONNACK what it takes.
const GENERIC: BridgePreset = BridgePreset {
    name: "generic",
    as_of: "2026-11",
    max_topic: 65_535,
    max_slashes: 65_535,
    max_payload: 268_435_455,
    max_packet: 268_435_455,
    window: 65_535,
    window_bytes: usize::MAX,
    rate: 0,
    retain: true,
    max_keep_alive: u16::MAX,
    max_client_id: 65_535,
};

/// All of them.
pub const PRESETS: &[BridgePreset] = &[
    GENERIC,
    // mosquitto.conf(5): max_inflight_messages, 20 where it is not set; CONNACK says another.
    BridgePreset {
        name: "mosquitto",
        window: 20,
        ..GENERIC
    },
    // docs/limits.md: mqtt.receive_maximum, mqtt.max_packet, mqtt.max_topic_levels.
    BridgePreset {
        name: "hallward",
        max_slashes: 127,
        max_packet: 1 << 20,
        window: 1024,
        ..GENERIC
    },
    // AWS IoT Core: message broker and protocol limits. Seven slashes; 128 KiB of payload; 100
    // publishes a second and 100 in flight for a connection.
    BridgePreset {
        name: "aws",
        max_topic: 256,
        max_slashes: 7,
        max_payload: 131_072,
        max_packet: 149_504,
        window: 100,
        rate: 100,
        max_keep_alive: 1_200,
        max_client_id: 128,
        ..GENERIC
    },
    // Azure Event Grid MQTT: quotas. Eight segments; 512 KiB a packet; 64 KB in flight in all; the
    // lower of two published rates.
    BridgePreset {
        name: "azure",
        max_topic: 256,
        max_slashes: 7,
        max_packet: 524_288,
        window: 1_000,
        window_bytes: 65_536,
        rate: 100,
        retain: false,
        max_keep_alive: 1_160,
        max_client_id: 128,
        ..GENERIC
    },
    // EMQX: mqtt.max_inflight 32, mqtt.max_packet_size 1 MB, mqtt.max_topic_levels 128.
    BridgePreset {
        name: "emqx",
        max_slashes: 127,
        max_packet: 1 << 20,
        window: 32,
        ..GENERIC
    },
    // HiveMQ: receive maximum 10 where it is not set; CONNACK says another.
    BridgePreset {
        name: "hivemq",
        window: 10,
        ..GENERIC
    },
];

impl BridgePreset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<&'static BridgePreset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_names_of_their_own_and_a_date() {
        let names: std::collections::BTreeSet<&str> = PRESETS.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), PRESETS.len());
        assert!(PRESETS.iter().all(|preset| preset.as_of.len() == 7));
        assert_eq!(BridgePreset::named("aws").map(|p| p.max_slashes), Some(7));
        assert_eq!(BridgePreset::named("acme"), None);
    }
}

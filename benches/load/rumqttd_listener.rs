//! rumqttd with its own listener, as a peer: the broker whose router Hallward embeds. Called by
//! `main` in the process that `brokers` starts for it.

use std::net::SocketAddr;

use anyhow::{Context, Result};

/// What Cargo.toml asks for; the library does not tell.
pub(crate) const VERSION: &str = "0.20";

/// Serves MQTT 3.1.1 until the process is ended.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let text = format!(
        "id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = \"v4-1\"
listen = \"{address}\"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
"
    );
    let source = config::File::from_str(&text, config::FileFormat::Toml);
    let settings = config::Config::builder().add_source(source).build()?;
    let settings: rumqttd::Config = settings.try_deserialize()?;
    rumqttd::Broker::new(settings)
        .start()
        .context("rumqttd ended")
}

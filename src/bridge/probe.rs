//! Tries a bridge: one connection to each of its addresses, and what is granted there. Nothing is
//! published, and no queue is touched.

use std::time::Duration;

use super::check::host_and_port;
use super::config::BridgeConfig;
use super::credentials::BridgeCredentials;
use super::link::{BridgeLinkOptions, BrokerLink, LinkEvent};
use super::preset::BridgePreset;
use super::sender::ConnectGrant;

/// What came of trying one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The address.
    pub address: String,
    /// What CONNACK grants, or why there was none.
    pub outcome: Result<ConnectGrant, String>,
}

/// Tries all addresses of a bridge, one after the other, under this client id.
pub async fn probe(config: &BridgeConfig, client_id: &str) -> Vec<Probed> {
    let config = BridgeConfig {
        client_id: client_id.to_owned(),
        ..config.clone()
    };
    let mut probed = Vec::new();
    for address in &config.addresses {
        probed.push(Probed {
            address: address.clone(),
            outcome: try_address(&config, address).await,
        });
    }
    probed
}

async fn try_address(config: &BridgeConfig, address: &str) -> Result<ConnectGrant, String> {
    let for_thread = config.clone();
    let read = tokio::task::spawn_blocking(move || BridgeCredentials::read(&for_thread)).await;
    let credentials = read.map_err(|error| error.to_string())??;
    let place = host_and_port(address).ok_or("is no address")?;
    let preset = BridgePreset::named(&config.preset).ok_or("unknown preset")?;
    let options = BridgeLinkOptions::new(config, place, 1, preset.max_packet, credentials);
    let mut link = BrokerLink::open(config.protocol, &options);
    let patience: Duration = config.connect_timeout.0;
    let event = tokio::time::timeout(patience, link.next()).await;
    match event {
        Ok(LinkEvent::Connected(grant)) => {
            link.leave().await;
            Ok(grant)
        }
        Ok(LinkEvent::Ended(cause, words)) => Err(format!("{}: {words}", cause.name())),
        Ok(other) => Err(format!("CONNACK expected, but came {other:?}")),
        Err(_) => Err(format!("no CONNACK within {}", config.connect_timeout)),
    }
}

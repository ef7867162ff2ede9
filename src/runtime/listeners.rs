//! Binds the listeners for MQTT clients and gives each its transport, with one set of certificates
//! for those that encrypt.

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::Config;
use crate::mqtt::transport::Transport;
use crate::mqtt::transport::tls::{LoadedCertificates, TlsServer};
use crate::mqtt::{Current, Listener};

use super::{GatewayError, Reload, settings};

/// Where MQTT clients can connect, with the ports that were really given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MqttPlaces {
    /// Over TCP.
    pub tcp: Option<SocketAddr>,
    /// Over TLS.
    pub tls: Option<SocketAddr>,
    /// In WebSocket frames, `ws://`.
    pub websocket: Option<SocketAddr>,
    /// In WebSocket frames over TLS, `wss://`.
    pub secure_websocket: Option<SocketAddr>,
}

/// Reads the files that listeners need, and opens no port.
///
/// # Errors
/// What is wrong with the first file that is.
pub fn check_files(config: &Config) -> Result<Vec<String>, GatewayError> {
    match load(config)? {
        Some((_, LoadedCertificates { warnings, .. })) => Ok(warnings),
        None => Ok(Vec::new()),
    }
}

fn load(config: &Config) -> Result<Option<(TlsServer, LoadedCertificates)>, GatewayError> {
    if config.encrypts().is_none() {
        return Ok(None);
    }
    let loaded = TlsServer::load(&config.tls);
    loaded
        .map(Some)
        .map_err(|error| GatewayError::Configuration(error.to_string()))
}

/// The certificates, if a listener encrypts; reloaded with everything else.
pub(super) async fn certificates(
    config: &Config,
    reload: &Reload,
) -> Result<Option<Arc<TlsServer>>, GatewayError> {
    let for_thread = config.clone();
    let loaded = super::blocking(move || load(&for_thread)).await??;
    let Some((tls, loaded)) = loaded else {
        return Ok(None);
    };
    info!("TLS: {}", announce(&loaded));
    let tls = Arc::new(tls);
    let reloaded = Arc::clone(&tls);
    reload.register("tls", move |config| {
        let prepared = reloaded.read(&config.tls);
        let prepared = prepared.map_err(|error| error.to_string())?;
        let tls = Arc::clone(&reloaded);
        Ok(Box::new(move || Some(announce(&tls.adopt(prepared)))))
    });
    Ok(Some(tls))
}

/// Logs what may not please, and says what was loaded.
fn announce(loaded: &LoadedCertificates) -> String {
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    loaded.certificates.clone()
}

/// Binds all that are configured.
pub(super) async fn bind(
    config: &Config,
    tls: Option<&Arc<TlsServer>>,
    reload: &Reload,
) -> Result<(Vec<Listener>, MqttPlaces), GatewayError> {
    let mut places = MqttPlaces::default();
    let mut listeners = Vec::new();
    let rules = Arc::new(Current::new(settings::upgrade(config)));
    let reloaded = Arc::clone(&rules);
    reload.register_setting("websocket", move |config| {
        reloaded.set(settings::upgrade(config));
        None
    });
    let transport = |encrypts: bool, frames: bool| Transport {
        tls: tls.filter(|_| encrypts).cloned(),
        websocket: frames.then(|| Arc::clone(&rules)),
    };
    let (mqtt, websocket) = (&config.mqtt, &config.websocket);
    let wanted = [
        (
            "MQTT",
            "--mqtt",
            mqtt.listen,
            transport(false, false),
            &mut places.tcp,
        ),
        (
            "MQTT over TLS",
            "tls.listen",
            config.tls.listen,
            transport(true, false),
            &mut places.tls,
        ),
        (
            "WebSocket",
            "websocket.listen",
            websocket.listen,
            transport(false, true),
            &mut places.websocket,
        ),
        (
            "WebSocket over TLS",
            "websocket.tls_listen",
            websocket.tls_listen,
            transport(true, true),
            &mut places.secure_websocket,
        ),
    ];
    for (what, told_by, address, transport, place) in wanted {
        if let Some(address) = address.0 {
            let socket = super::listen(what, told_by, address).await?;
            *place = Some(super::local_address(&socket)?);
            listeners.push(Listener { socket, transport });
        }
    }
    Ok((listeners, places))
}

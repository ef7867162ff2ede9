//! The runtime: builds every part from the configuration, connects them, and takes them down again in order.
//!
//! The only module that knows all the others. `cli` starts it and tells it when to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Config;
use crate::http::{self, Limits, Metrics};

/// Why the gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something configured cannot be had; trying again will not help.
    #[error("{0}")]
    Configuration(String),
    /// Something is in use by others; it may be free later.
    #[error("{0}")]
    Busy(String),
    /// It ran, and could not go on.
    #[error("{0}")]
    Failed(String),
}

/// Where a gateway can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// For MQTT clients.
    pub mqtt: SocketAddr,
    /// For health checks and metrics.
    pub http: SocketAddr,
    /// The ledger's directory.
    pub data: PathBuf,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    places: Places,
    config: Config,
    http: TcpListener,
}

impl Gateway {
    /// Opens the data directory, recovers, and listens.
    ///
    /// # Errors
    /// If the directory cannot be used or an address cannot be had.
    pub async fn start(config: Config) -> Result<Gateway, Error> {
        let http = TcpListener::bind(config.http.listen)
            .await
            .map_err(|error| {
                let address = config.http.listen;
                Error::Busy(format!("cannot listen for HTTP on {address}: {error}"))
            })?;
        let places = Places {
            mqtt: config.mqtt.listen,
            http: http
                .local_addr()
                .map_err(|error| Error::Failed(error.to_string()))?,
            data: config.data.dir.clone(),
        };
        Ok(Gateway {
            places,
            config,
            http,
        })
    }

    /// Where it can be found, with the ports that it really has.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Runs until `stop` resolves, then drains.
    ///
    /// # Errors
    /// If it could not go on.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let limits = Limits {
            max_connections: self.config.http.max_connections,
            timeout: self.config.http.timeout,
        };
        let health = Arc::new(|| Err("nothing but HTTP is built in yet".to_owned()));
        http::serve(self.http, limits, health, Arc::new(Metrics::new()), stop)
            .await
            .map_err(|error| Error::Failed(error.to_string()))
    }
}

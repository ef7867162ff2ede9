//! The sections of the configuration that belong to no other part.

mod log;
mod mqtt;
mod tls;

pub use log::{Log, LogFormat, LogLevel};
pub use mqtt::{Mqtt, Poison};
pub use tls::{CertificatePair, ClientCertificate, Identity, MinVersion, Tls, WebSocket};

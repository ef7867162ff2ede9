//! The sections of the configuration that belong to no other part.

mod log;
mod tls;

pub use log::{Log, LogFormat, LogLevel};
pub use tls::{CertificatePair, ClientCertificate, Identity, MinVersion, Tls, WebSocket};

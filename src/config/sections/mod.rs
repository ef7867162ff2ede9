//! The sections of the configuration: each setting is one row, see [`setting`](crate::setting).

mod auth;
mod clock;
mod data;
mod desk;
mod http;
mod live;
mod log;
mod mqtt;
mod tls;

pub use auth::Auth;
pub use clock::Clock;
pub use data::Data;
pub use desk::{Desk, Memory, Retained, Session, WhenFull};
pub use http::Http;
pub use live::Live;
pub use log::{Log, LogFormat, LogLevel};
pub use mqtt::{Mqtt, Poison};
pub use tls::{CertificatePair, ClientCertificate, Identity, MinVersion, Tls, WebSocket};

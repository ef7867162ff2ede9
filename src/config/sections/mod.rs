//! The sections of the configuration: each setting is one row, see [`setting`](crate::setting).

mod approve;
mod auth;
mod blackboard;
mod clock;
mod commands;
mod data;
mod desk;
mod handoff;
mod http;
mod live;
mod log;
mod mailbox;
mod mqtt;
mod observe;
mod rooms;
mod tls;
mod tools;

pub use approve::Approve;
pub use auth::Auth;
pub use blackboard::{Blackboard, KeySchema};
pub use clock::Clock;
pub use commands::Commands;
pub use data::Data;
pub use desk::{Desk, Memory, Retained, Session, WhenFull};
pub use handoff::Handoff;
pub use http::Http;
pub use live::Live;
pub use log::{Log, LogFormat, LogLevel};
pub use mailbox::Mailbox;
pub use mqtt::{Mqtt, Poison};
pub use observe::{Keep, Observe};
pub use rooms::{Create, Room, Rooms};
pub(super) use rooms::{check_members, stands_for};
pub use tls::{CertificatePair, ClientCertificate, Identity, MinVersion, Tls, WebSocket};
pub use tools::Tools;

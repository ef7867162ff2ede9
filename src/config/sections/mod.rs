//! The sections of the configuration, one struct each, and their defaults.
//!
//! `config/hallward.toml` shows the same keys with the same defaults (a test compares them), `limits` says how far each
//! may go. Types only: reading and checking happen next door.

mod auth;
mod doors;
mod observe;
mod plane;
mod room;
mod rooms;
mod tls;

use std::time::Duration;

pub use auth::Auth;
pub use doors::{Data, Http, Log, LogFormat, LogLevel, Mqtt, Poison};
pub use observe::{Keep, Observe};
pub use plane::{Clock, Desk, Live, Mailbox, Memory, Retained, Session, WhenFull};
pub use room::{Bytes, Create, Room, Span};
pub(super) use room::{check_members, stands_for};
pub use rooms::{Approve, Blackboard, Commands, Handoff, KeySchema, Rooms, Tools};
pub use tls::{CertificatePair, ClientCertificate, Identity, MinVersion, Tls, WebSocket};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

//! The SDK: an agent that takes part in rooms, without a word of MQTT.
//!
//! ```no_run
//! use hallward::agent::{Agent, Error, Gate, Task};
//! use serde_json::json;
//!
//! # async fn f() -> Result<(), Error> {
//! let me = Agent::connect("mqtt://localhost", "editor").await?;
//! let room = me.join("newsroom").await?;
//! room.blackboard().set("plan", &json!({"lead": "Tides"})).await?;
//! let draft = room.handoff().run(Task::new("draft").payload(&"Tides")).await?;
//! let gate = Gate::new("publish").content(draft.value()).approver("role:chief");
//! if room.approve().request(gate).await?.approved {
//!     room.handoff().run(Task::new("publish").payload(draft.value())).await?;
//! }
//! me.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Agent`] is a connection, [`Room`] where everything is found, [`RoomWorker`] the other side of
//! handing off. The messages are those of [`wire`](crate::wire). `docs/rust.md` goes from the first
//! call to a worker in production.
//!
//! Inside: `link` is the connection, `core` the calls and their replies, `room` what a room's
//! patterns share, and each pattern has a file of its own. Nothing of the gateway is imported.

mod approve;
mod blackboard;
mod command;
mod connect;
mod core;
mod error;
mod feed;
mod follow;
mod handle;
mod handoff;
mod inbox;
mod link;
mod lock;
mod mirror;
mod observe;
mod pause;
mod presence;
mod results;
mod room;
mod shutdown;
mod task;
#[cfg(feature = "agent-test")]
pub mod test;
mod tools;
mod waiting;
mod watch;
mod worker;

pub use approve::{Gate, PendingUpdate, RoomApprovals, Ruling};
pub use blackboard::{RoomBlackboard, TxnReceipt, WriteOptions, WriteReceipt};
pub use connect::{Agent, AgentBuilder};
pub use error::{Error, Refusal};
pub use feed::Feed;
pub use follow::{Followed, Since};
pub use handle::{TaskHandle, TaskQuestion, TaskUpdate};
pub use handoff::RoomHandoff;
pub use inbox::{InboxMessage, RoomInbox};
pub use link::{ConnectionStatus, Protocol};
pub use lock::HeldBoardLock;
pub use mirror::BlackboardMirror;
pub use observe::{Observed, RoomEvents};
pub use presence::{PresenceUpdate, RoomPresence};
pub use results::Mailed;
pub use room::Room;
pub use shutdown::shutdown_signal;
pub use task::Task;
pub use tools::{CallHandle, CallOptions, CallUpdate, CardUpdate, RoomTools};
pub use watch::KeyUpdate;
pub use worker::{Ask, Fault, Invocation, RoomWorker, TaskOptions, ToolOptions, Work, WorkerRun};

//! A room that the agent is in: where its patterns are found.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::approve::RoomApprovals;
use super::blackboard::RoomBlackboard;
use super::command::{CommandBody, Effort, Persistence};
use super::core::{AgentCore, decode, shared_rooms};
use super::error::Error;
use super::handoff::RoomHandoff;
use super::inbox::RoomInbox;
use super::link::{Letter, Level, Posting, RouteId};
use super::observe::RoomEvents;
use super::presence::RoomPresence;
use super::results::Results;
use super::tools::{CallResults, RoomTools};
use super::waiting::Expectations;
use super::worker::RoomWorker;
use crate::wire::approve::Decision;
use crate::wire::name::{Agent as AgentId, ApprovalId, Room as RoomName};
use crate::wire::reply::{Reply, ReplyStatus};
use crate::wire::topic::Topic;

type Noticed = Arc<dyn Fn(&Reply) + Send + Sync>;

/// A room that the agent has joined. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Room {
    pub(super) shared: Arc<RoomShared>,
    pub(super) deadline: Duration,
}

/// What all clones of a room have together.
pub(super) struct RoomShared {
    pub(super) core: Arc<AgentCore>,
    pub(super) name: RoomName,
    pub(super) results: Results,
    pub(super) decisions: Expectations<ApprovalId, Decision>,
    pub(super) calls: CallResults,
    /// Subscriptions that stay for as long as the room.
    standing: Mutex<Vec<RouteId>>,
    listens: Listens,
    notices: Mutex<HashMap<u64, Noticed>>,
}

/// What was subscribed to when it was first needed.
#[derive(Debug, Default)]
struct Listens {
    results: OnceCell<()>,
    decisions: OnceCell<()>,
    calls: OnceCell<()>,
}

impl std::fmt::Debug for RoomShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room")
            .field("name", &self.name)
            .field("agent", &self.core.name)
            .finish_non_exhaustive()
    }
}

impl Drop for RoomShared {
    fn drop(&mut self) {
        let standing = self.standing.get_mut();
        for route in standing.unwrap_or_else(PoisonError::into_inner) {
            self.core.link.unsubscribe(route);
        }
    }
}

impl Room {
    /// Joins a room, or finds the one that was joined.
    pub(super) async fn join(core: &Arc<AgentCore>, name: RoomName) -> Result<Room, Error> {
        let joined = shared_rooms(core)
            .get(&name)
            .and_then(std::sync::Weak::upgrade);
        let deadline = core.deadline;
        if let Some(shared) = joined {
            return Ok(Room { shared, deadline });
        }
        let shared = Arc::new(RoomShared {
            core: core.clone(),
            name: name.clone(),
            results: Results::default(),
            decisions: Expectations::default(),
            calls: CallResults::default(),
            standing: Mutex::default(),
            listens: Listens::default(),
            notices: Mutex::default(),
        });
        let room = Room { shared, deadline };
        let me = core.name.clone();
        room.stand(
            Topic::Reply { me, rest: None },
            Level::Fleeting,
            RoomShared::replied,
        )
        .await?;
        shared_rooms(core).insert(name, Arc::downgrade(&room.shared));
        Ok(room)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.shared.name.as_str()
    }

    /// The same room, with another deadline for its calls.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Room {
        Room {
            deadline,
            ..self.clone()
        }
    }

    /// Publishes something on a topic below the room, at QoS 1: what this SDK has no words for.
    ///
    /// # Errors
    /// As [`Agent::publish`](super::Agent::publish).
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        let posting = Posting {
            topic: format!("{}/{}/{topic}", self.core().root, self.shared.name),
            payload: payload.into(),
            ..Posting::default()
        };
        self.core().publish(posting, self.deadline).await
    }

    /// Tasks: handed to whoever can do them, and their results.
    pub fn handoff(&self) -> RoomHandoff {
        RoomHandoff::new(self.clone())
    }

    /// Messages from agent to agent.
    pub fn inbox(&self) -> RoomInbox {
        RoomInbox::new(self.clone())
    }

    /// State that the room shares.
    pub fn blackboard(&self) -> RoomBlackboard {
        RoomBlackboard::new(self.clone())
    }

    /// What waits for somebody's yes.
    pub fn approve(&self) -> RoomApprovals {
        RoomApprovals::new(self.clone())
    }

    /// What happens, and what happened.
    pub fn observe(&self) -> RoomEvents {
        RoomEvents::new(self.clone())
    }

    /// Tools of others.
    pub fn tools(&self) -> RoomTools {
        RoomTools::new(self.clone())
    }

    /// Who is here.
    pub fn presence(&self) -> RoomPresence {
        RoomPresence::new(self.clone())
    }

    /// A worker of this room, which does nothing yet.
    pub fn worker(&self) -> RoomWorker {
        RoomWorker::new(self.clone())
    }

    pub(super) fn core(&self) -> &Arc<AgentCore> {
        &self.shared.core
    }

    pub(super) fn me(&self) -> AgentId {
        self.shared.core.name.clone()
    }

    /// How hard a call is tried where nobody says otherwise.
    pub(super) fn effort(&self) -> Effort {
        Effort {
            deadline: self.deadline,
            persistence: Persistence::Busy,
        }
    }

    /// Publishes something that is not answered but by its PUBACK.
    pub(super) async fn say(
        &self,
        topic: Topic,
        payload: Bytes,
        expiry: Option<Duration>,
    ) -> Result<(), Error> {
        let posting = Posting {
            topic: self.core().topic(&self.shared.name, topic),
            payload,
            expiry: expiry.map(|after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX)),
            ..Posting::default()
        };
        self.core().publish(posting, self.deadline).await
    }

    pub(super) async fn call<B: CommandBody>(&self, topic: Topic, body: B) -> Result<Reply, Error> {
        self.call_with(topic, body, self.effort()).await
    }

    pub(super) async fn call_with<B: CommandBody>(
        &self,
        topic: Topic,
        body: B,
        effort: Effort,
    ) -> Result<Reply, Error> {
        self.core()
            .call(&self.shared.name, topic, body, effort)
            .await
    }

    /// Subscribes to a filter below the room.
    pub(super) async fn subscribe(
        &self,
        filter: &str,
        level: Level,
        sink: impl Fn(Letter) + Send + Sync + 'static,
    ) -> Result<RouteId, Error> {
        let core = self.core();
        let what = format!("{}/{}/{filter}", core.root, self.shared.name);
        let subscribing = core.link.subscribe(what.clone(), level, sink);
        match tokio::time::timeout(self.deadline, subscribing).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout {
                what: format!("subscribe {what}"),
                after: self.deadline,
                sent: true,
            }),
        }
    }

    /// Subscribes for as long as the room is held; what comes is dropped when it is not.
    async fn stand(
        &self,
        topic: Topic,
        level: Level,
        sink: fn(&RoomShared, Letter),
    ) -> Result<(), Error> {
        let whole = self.core().topic(&self.shared.name, topic);
        let prefix = format!("{}/{}/", self.core().root, self.shared.name);
        let filter = whole.strip_prefix(&prefix).unwrap_or(&whole);
        let shared = Arc::downgrade(&self.shared);
        let sink = move |letter: Letter| {
            if let Some(shared) = shared.upgrade() {
                sink(&shared, letter);
            }
        };
        let route = self.subscribe(filter, level, sink).await?;
        self.shared.standing().push(route);
        Ok(())
    }

    /// Has the results of tasks come.
    pub(super) async fn listen_for_results(&self) -> Result<(), Error> {
        let dispatcher = self.me();
        let listen = || {
            let topic = Topic::HandoffResult { dispatcher };
            self.stand(topic, Level::Certain, |shared, letter| {
                shared.results.arrived(letter)
            })
        };
        self.shared
            .listens
            .results
            .get_or_try_init(listen)
            .await
            .map(drop)
    }

    /// Has the decisions on approvals come.
    pub(super) async fn listen_for_decisions(&self) -> Result<(), Error> {
        let requester = self.me();
        let listen = || {
            let topic = Topic::ApproveDecision { requester };
            self.stand(topic, Level::Certain, |shared, mut letter| {
                match decode::<Decision>(&letter.payload) {
                    Ok(decision) => shared.decisions.arrived(decision.id.clone(), decision),
                    Err(error) => tracing::error!(topic = %letter.topic, %error, "passed over"),
                }
                letter.ack();
            })
        };
        self.shared
            .listens
            .decisions
            .get_or_try_init(listen)
            .await
            .map(drop)
    }

    /// Has the results of calls of tools come.
    pub(super) async fn listen_for_calls(&self) -> Result<(), Error> {
        let caller = self.me();
        let listen = || {
            let topic = Topic::ToolsResult { caller };
            self.stand(topic, Level::Certain, |shared, letter| {
                shared.calls.arrived(letter)
            })
        };
        self.shared
            .listens
            .calls
            .get_or_try_init(listen)
            .await
            .map(drop)
    }

    /// Has refusals told that no call waits for: that a task in hand is over.
    pub(super) fn on_notice(&self, told: impl Fn(&Reply) + Send + Sync + 'static) -> NoticeGuard {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.shared.notices().insert(number, Arc::new(told));
        NoticeGuard {
            room: self.clone(),
            number,
        }
    }
}

/// Ends it when dropped.
#[derive(Debug)]
pub(super) struct NoticeGuard {
    room: Room,
    number: u64,
}

impl Drop for NoticeGuard {
    fn drop(&mut self) {
        self.room.shared.notices().remove(&self.number);
    }
}

impl RoomShared {
    fn standing(&self) -> MutexGuard<'_, Vec<RouteId>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notices(&self) -> MutexGuard<'_, HashMap<u64, Noticed>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replied(&self, letter: Letter) {
        let reply = match decode::<Reply>(&letter.payload) {
            Ok(reply) => reply,
            Err(error) => {
                tracing::error!(topic = %letter.topic, %error, "passed over");
                return;
            }
        };
        let Some(unasked) = self.core.pending.arrived(reply) else {
            return;
        };
        if unasked.status != ReplyStatus::Rejected {
            return;
        }
        #[expect(
            clippy::iter_over_hash_type,
            reason = "all are told, in whatever order"
        )]
        for told in self.notices().values() {
            told(&unasked);
        }
        if unasked.task.is_none() && unasked.correlation_id.is_none() {
            let reason = unasked.reason.unwrap_or_default();
            tracing::warn!(command = unasked.command, reason, "refused");
        }
    }
}

//! What the authenticator has to say about one client: at CONNECT, for each publish and filter,
//! before each delivery, and again whenever its rules change. Without a authenticator there is none
//! of this, and no cost.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::auth::{AuthRefusal, Authenticator, ClientIdentity, Credentials, Operation, Rights};
use crate::clock::wall;
use crate::desk::port::{Authorizer, Authorizers, Route, Sorted};
use crate::live::Plane;
use crate::log_limiter::{About, shown};
use crate::mqtt::accept::handshake::Connect;
use crate::mqtt::codec::reason::Reason;
use crate::mqtt::peer::Peer;
use crate::wire::Millis;
use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::ClientSession;

/// Topics that a session remembers the answer for; full, it is emptied.
const MAX_DECIDED: usize = 64;
/// Longer topics are decided each time, in bytes.
const MAX_DECIDED_BYTES: usize = 256;
/// How late a token may be found to have expired, where somebody set the wall clock forward.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A client's rights, as its session holds them.
#[derive(Debug)]
pub(in crate::mqtt) struct ClientAccess {
    authenticator: Arc<Authenticator>,
    rights: Rights,
    changes: watch::Receiver<()>,
    decided: DecisionCache,
    /// The rules that came have no place for the client; its session is about to hear of it.
    lost: bool,
    authorizer: Arc<ClientAuthorizer>,
}

impl Drop for ClientAccess {
    fn drop(&mut self) {
        self.authorizer.forget();
    }
}

/// Why a session may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum AccessChange {
    /// The rules were read anew.
    Rules,
    /// The client's token is over.
    Expired,
}

/// Lets a client in under its id, or not.
///
/// # Errors
/// What CONNACK says; counted and logged.
pub(in crate::mqtt) async fn enter(
    authenticator: &Arc<Authenticator>,
    peer: &Peer,
    connect: &mut Connect,
) -> Result<ClientAccess, Reason> {
    let (user, password) = (connect.user.take(), connect.password.take());
    let credentials = Credentials {
        user: user.as_deref(),
        password: password.as_ref().map(|secret| &*secret.0),
        certificate: peer.certificate_identity.as_ref(),
    };
    // Before the rules are asked: what changes from here on is heard of.
    let changes = authenticator.changes();
    let admitted = match authenticator.login(credentials).await {
        Ok(identity) => {
            admit(authenticator, &identity, connect).map_err(|kind| (about(&identity), kind))
        }
        Err(kind) => Err((About::Stranger, kind)),
    };
    match admitted {
        Ok(rights) => Ok(ClientAccess {
            authenticator: Arc::clone(authenticator),
            authorizer: Arc::new(ClientAuthorizer {
                authenticator: Arc::clone(authenticator),
                identity: Arc::clone(rights.identity()),
                client_id: Arc::clone(rights.client_id()),
                current: Mutex::default(),
            }),
            rights,
            changes,
            decided: DecisionCache::default(),
            lost: false,
        }),
        Err((about, kind)) => {
            let from = peer.shown();
            let user = shown(&user.unwrap_or_default());
            let what = format!("CONNECT from {from}, user {user}");
            authenticator.refused(about, kind, &connect.client.id, &what);
            Err(match kind {
                AuthRefusal::Credentials => Reason::BadCredentials,
                _ => Reason::NotAuthorized,
            })
        }
    }
}

/// Whoever is let in without a proof stays a stranger.
fn about(identity: &ClientIdentity) -> About {
    if identity.is_anonymous() {
        About::Stranger
    } else {
        About::Client
    }
}

/// The client id and the will, judged by who brings them.
fn admit(
    authenticator: &Authenticator,
    identity: &Arc<ClientIdentity>,
    connect: &mut Connect,
) -> Result<Rights, AuthRefusal> {
    let rules = authenticator.rules();
    if connect.assigned_id {
        let id = rules.assign_id(identity, &connect.client.id);
        connect.assign(id.ok_or(AuthRefusal::ClientId)?.into());
    }
    let rights = rules.rights(identity, &connect.client.id)?;
    match &connect.will {
        Some(will) if !rights.may_publish(will.publication.message.topic()) => {
            Err(AuthRefusal::Will)
        }
        _ => Ok(rights),
    }
}

impl ClientAccess {
    /// Whose the client is.
    pub(in crate::mqtt) fn owner(&self) -> Arc<str> {
        Arc::clone(&self.rights.identity().user)
    }

    /// For the desk to ask.
    pub(in crate::mqtt) fn authorizer(&self) -> Arc<dyn Authorizer> {
        self.authorizer.clone()
    }

    /// Whether the client has proved who it is.
    pub(super) fn about(&self) -> About {
        about(self.rights.identity())
    }

    /// Counts a refusal and logs it, once a minute.
    pub(in crate::mqtt) fn refused(&self, kind: AuthRefusal, what: &dyn std::fmt::Display) {
        let client = self.rights.client_id();
        self.authenticator.refused(self.about(), kind, client, what);
    }

    /// Whether a message on this topic may be delivered.
    pub(super) fn may_receive(&mut self, topic: &str) -> bool {
        self.follow();
        !self.lost && self.decided.of(&self.rights, Operation::Receive, topic)
    }

    /// Rules that changed count at once, even before the session turns to the news of it.
    fn follow(&mut self) {
        let changed = self.changes.has_changed().unwrap_or(false);
        if !changed || self.rights.are_of(&self.authenticator.rules()) {
            return;
        }
        self.decided = DecisionCache::default();
        match self.authenticator.renew(&self.rights) {
            Ok(rights) => self.rights = rights,
            Err(_) => self.lost = true,
        }
    }

    /// Counts a delivery that was refused. It is not worth a line: who subscribes to a wildcard
    /// asks for it.
    pub(super) fn not_delivered(&self) {
        self.authenticator.stats().count_delivery();
    }

    /// Whether a subscription to this filter may stand; a refusal is counted.
    pub(super) fn may_subscribe(&self, filter: &str) -> bool {
        let verdict = self.rights.of_filter(filter);
        if !verdict.allows() {
            self.refused(
                AuthRefusal::Subscribe,
                &format_args!("SUBSCRIBE to {}: {verdict}", shown(filter)),
            );
        }
        verdict.allows()
    }

    /// The same without a word about it.
    pub(super) fn still_may_subscribe(&self, filter: &str) -> bool {
        self.rights.of_filter(filter).allows()
    }

    /// What becomes of a publish that the grammar has sorted.
    pub(super) fn judge(&mut self, root: &str, topic: &str, sorted: Sorted) -> Sorted {
        match sorted {
            Sorted::Plain | Sorted::Told(_) | Sorted::Desk(_) => {
                self.follow();
                if !self.lost && self.decided.of(&self.rights, Operation::Publish, topic) {
                    return sorted;
                }
                let verdict = self.rights.of_topic(Operation::Publish, topic);
                let what = format!("PUBLISH on {}: {verdict}", shown(topic));
                self.refused(AuthRefusal::Publish, &what);
                self.forbidden(root, topic)
            }
            Sorted::Refused(Route::Refused {
                from: Some(from),
                room: Some(room),
                rejection,
            }) => {
                let reply = RoomTopic::new(
                    room.clone(),
                    Topic::Reply {
                        me: from.clone(),
                        rest: None,
                    },
                );
                if self.rights.may_receive(&reply.format(root)) {
                    Sorted::Refused(Route::Refused {
                        from: Some(from),
                        room: Some(room),
                        rejection,
                    })
                } else {
                    Sorted::Forbidden
                }
            }
            other => other,
        }
    }

    /// Refused, with a reply where the writer may read it.
    fn forbidden(&mut self, root: &str, topic: &str) -> Sorted {
        let parsed = RoomTopic::parse(root, topic).and_then(Result::ok);
        let from = Agent::new(self.rights.client_id()).ok();
        let (Some(parsed), Some(from)) = (parsed, from) else {
            return Sorted::Forbidden;
        };
        let reason = format!("{:?} may not write to {topic}", self.rights.identity().user);
        self.judge(
            root,
            topic,
            Sorted::Refused(Route::Refused {
                from: Some(from),
                room: Some(parsed.room),
                rejection: Rejection::new(Code::Forbidden, reason),
            }),
        )
    }

    /// Waits until the session must be looked at again. Cancel-safe.
    pub(in crate::mqtt) async fn change(access: Option<&mut ClientAccess>) -> AccessChange {
        let Some(access) = access else {
            return pending().await;
        };
        let expires_at = access.rights.identity().expires_at();
        let expired = async {
            match expires_at {
                Some(at) => wall_shows(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = access.changes.changed() => match changed {
                Ok(()) => AccessChange::Rules,
                // The authenticator lives as long as the door.
                Err(_) => pending().await,
            },
            () = expired => AccessChange::Expired,
        }
    }

    /// Takes the rules that are in force now.
    ///
    /// # Errors
    /// If the client is nobody any more; counted and logged.
    pub(super) fn renew(&mut self) -> Result<(), Reason> {
        self.decided = DecisionCache::default();
        self.authorizer.forget();
        match self.authenticator.renew(&self.rights) {
            Ok(rights) => {
                (self.rights, self.lost) = (rights, false);
                Ok(())
            }
            Err(kind) => {
                let user = &self.rights.identity().user;
                self.refused(kind, &format_args!("user {user:?} is not what it was"));
                Err(Reason::NotAuthorized)
            }
        }
    }

    /// The token is over.
    pub(super) fn expire(&self) -> Reason {
        self.refused(AuthRefusal::Expired, &"the token is over");
        Reason::MaximumConnectTime
    }
}

impl<P: Plane> ClientSession<P> {
    /// The rules, or the client's standing, have changed.
    pub(in crate::mqtt) fn on_change(&mut self, change: AccessChange) {
        let Some(access) = &mut self.access else {
            return;
        };
        let renewed = match change {
            AccessChange::Expired => Err(access.expire()),
            AccessChange::Rules => access.renew(),
        };
        match renewed {
            Ok(()) => {
                self.outbound
                    .retain(|topic| access.may_receive(topic), &mut self.io);
                self.review_offers();
            }
            Err(reason) => self.refuse(reason),
        }
    }
}

/// The desk's view of a client's rights, by the rules as they are when it asks. It keeps the
/// answer's rules no longer than the session does, so that old rules go when nobody needs them.
#[derive(Debug)]
struct ClientAuthorizer {
    authenticator: Arc<Authenticator>,
    identity: Arc<ClientIdentity>,
    client_id: Arc<str>,
    current: Mutex<Option<Rights>>,
}

impl ClientAuthorizer {
    fn ask(&self, question: impl Fn(&Rights) -> bool) -> bool {
        let rules = self.authenticator.rules();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.as_ref().is_some_and(|rights| rights.are_of(&rules)) {
            *current = rules.rights(&self.identity, &self.client_id).ok();
        }
        current.as_ref().is_some_and(question)
    }

    fn forget(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Authorizer for ClientAuthorizer {
    fn may_publish(&self, topic: &str) -> bool {
        self.ask(|rights| rights.may_publish(topic))
    }

    fn may_receive(&self, topic: &str) -> bool {
        self.ask(|rights| rights.may_receive(topic))
    }
}

/// Authorizers for wills whose clients are gone, by the names that they had.
#[derive(Debug)]
pub struct AbsentClients(pub Arc<Authenticator>);

impl Authorizers for AbsentClients {
    fn of(&self, owner: &str, client_id: &Arc<str>) -> Arc<dyn Authorizer> {
        Arc::new(ClientAuthorizer {
            identity: self.0.rules().suppose(owner),
            authenticator: Arc::clone(&self.0),
            client_id: Arc::clone(client_id),
            current: Mutex::default(),
        })
    }
}

/// Topics that were decided lately: most clients write and read a few, over and over.
#[derive(Debug, Default)]
struct DecisionCache(HashMap<Box<str>, (Option<bool>, Option<bool>)>);

impl DecisionCache {
    fn of(&mut self, rights: &Rights, access: Operation, topic: &str) -> bool {
        let decide = || rights.of_topic(access, topic).allows();
        let place = |(publish, receive)| match access {
            Operation::Publish => publish,
            Operation::Receive => receive,
        };
        if let Some(known) = self.0.get(topic).copied().and_then(place) {
            return known;
        }
        let allowed = decide();
        if topic.len() > MAX_DECIDED_BYTES {
            return allowed;
        }
        if self.0.len() >= MAX_DECIDED {
            self.0.clear();
        }
        let entry = self.0.entry(topic.into()).or_default();
        match access {
            Operation::Publish => entry.0 = Some(allowed),
            Operation::Receive => entry.1 = Some(allowed),
        }
        allowed
    }
}

/// Waits until the wall clock shows this, wherever it is set meanwhile: what a token says is a
/// time, not a span.
async fn wall_shows(at: Millis) {
    loop {
        let left = at.saturating_sub(wall());
        if left == 0 {
            return;
        }
        sleep(Duration::from_millis(left).min(LOOK_AGAIN)).await;
    }
}

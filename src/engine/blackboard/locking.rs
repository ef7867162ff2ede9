//! Locking: the commands `blackboard/lock` and `blackboard/unlock`, and the replies of those who
//! had to wait.
//!
//! A lock command is always answered, at once or, where it waits, when it holds the lock or has
//! given up: never both.

use std::collections::VecDeque;

use crate::wire::blackboard::LockName;
use crate::wire::blackboard::{Lock as Asked, LockState, Unlock};
use crate::wire::reply::{Code, Rejection, Reply};

use super::records::KeyChange;
use crate::engine::event::RoomEvent;
use crate::engine::outcomes::OutcomeKey;
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome, between, send};
use crate::engine::settings::Settings;
use crate::engine::tx::RoomTx;

use super::Blackboard;
use super::lock::{HeldLock, Waiter};

/// The command's name, in replies and as part of the key under which its outcome is remembered.
const LOCK: &str = "blackboard/lock";

/// What a lock command asks for, checked.
struct Terms {
    ttl_ms: u64,
    /// How long it would wait, if it would.
    wait_ms: Option<u64>,
    /// The token that it believes to hold.
    token: Option<u64>,
}

impl Terms {
    fn of(settings: &Settings, asked: &Asked) -> Result<Terms, Rejection> {
        let ttl_ms = asked.ttl_ms.unwrap_or(settings.blackboard.lock_ttl.ms());
        between("ttlMs", ttl_ms, 1, settings.blackboard.max_lock_ttl.ms())?;
        let wait_ms = asked.wait_ms;
        if let Some(wait_ms) = wait_ms {
            between("waitMs", wait_ms, 1, settings.blackboard.max_lock_wait.ms())?;
        }
        Ok(Terms {
            ttl_ms,
            wait_ms: wait_ms.or(asked.wait.then_some(settings.blackboard.lock_wait.ms())),
            token: asked.token,
        })
    }
}

/// What becomes of a lock command.
enum Verdict {
    Take,
    Renew,
    Queue,
    /// It waits already.
    Waits,
}

impl Blackboard {
    pub(in crate::engine) fn lock(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
        name: &LockName,
    ) -> Outcome {
        let asked: Asked = call.read_or_default(&tx.cx.settings)?;
        let terms = Terms::of(&tx.cx.settings, &asked)?;
        if let Some(first) = tx.first_outcome(call)? {
            return Ok(first);
        }
        match self.judge(tx, call, name, &terms)? {
            Verdict::Waits => return Ok(Accepted::later()),
            Verdict::Queue => {
                self.queue(tx, call, name, &terms);
                return Ok(Accepted::later());
            }
            Verdict::Take => {
                self.grant_lock(tx, name, call.from(), terms.ttl_ms, VecDeque::new());
            }
            Verdict::Renew => self.renew_lock(tx, name, terms.ttl_ms),
        }
        let state = self.locks.get(name);
        let accepted = Accepted::locked(state.map(|lock| lock.state(name)));
        tx.remember_call(call, &accepted);
        Ok(accepted)
    }

    fn judge(
        &self,
        tx: &RoomTx<'_>,
        call: &Call<'_>,
        name: &LockName,
        terms: &Terms,
    ) -> Result<Verdict, Rejection> {
        let locks = &self.locks;
        let Some(lock) = locks.get(name) else {
            let limit = tx.cx.settings.blackboard.max_locks_per_room;
            if let Some(token) = terms.token {
                let reason =
                    format!("nobody holds the lock {name}, under token {token} or another");
                return Err(Rejection::new(Code::Conflict, reason).at("token"));
            }
            if locks.len() >= limit {
                let reason = format!("{limit} locks of the room are held already");
                return Err(Rejection::new(Code::TooMany, reason));
            }
            return Ok(Verdict::Take);
        };
        if lock.holder.agent == *call.from() {
            check_token(lock, name, terms.token)?;
            return Ok(Verdict::Renew);
        }
        let refused = |code: Code, reason: String| {
            Err(Rejection::new(code, reason).with_lock(Some(lock.state(name))))
        };
        if let Some(at) = lock.waits(call.from()) {
            if call.id.is_some() && lock.waiters[at].id == call.id {
                call.expect_repeat(lock.waiters[at].fingerprint)?;
                return Ok(Verdict::Waits);
            }
            return refused(
                Code::Conflict,
                format!("you wait for the lock {name} already"),
            );
        }
        if terms.wait_ms.is_none() || terms.token.is_some() {
            let holder = &lock.holder.agent;
            return refused(Code::Conflict, format!("{holder} holds the lock {name}"));
        }
        let limit = tx.cx.settings.blackboard.max_lock_waiters;
        if lock.waiters.len() >= limit {
            return refused(
                Code::TooMany,
                format!("{limit} agents wait for the lock {name}"),
            );
        }
        Ok(Verdict::Queue)
    }

    fn queue(&mut self, tx: &mut RoomTx<'_>, call: &Call<'_>, name: &LockName, terms: &Terms) {
        let waiter = Waiter {
            agent: call.from().clone(),
            ttl_ms: terms.ttl_ms,
            until: tx.cx.after(terms.wait_ms.unwrap_or_default()),
            id: call.id.clone(),
            fingerprint: call.fingerprint,
            correlation_id: call.correlation_id.clone(),
            reply_rest: call.command.mirrors.reply_rest.clone(),
        };
        self.arm_wait(tx, name, &waiter);
        let locks = &mut self.locks;
        locks.note(&waiter.agent, name);
        if let Some(lock) = locks.get_mut(name) {
            lock.waiters.push_back(waiter);
        }
        self.change(tx, KeyChange::Lock(name.clone()));
        let happened = RoomEvent::new("blackboard.waiting", name.as_str(), call.from());
        tx.record_event(&happened);
    }

    pub(in crate::engine) fn unlock(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
        name: &LockName,
    ) -> Outcome {
        let asked: Unlock = call.read_or_default(&tx.cx.settings)?;
        tx.once(call, |tx| {
            let Some(lock) = self.locks.get(name) else {
                let reason = format!("nobody holds the lock {name}");
                return Err(Rejection::new(Code::NotFound, reason));
            };
            if lock.holder.agent == *call.from() {
                check_token(lock, name, asked.token)?;
                self.free_lock(tx, name, call.from(), "released");
            } else if asked.token.is_none() && lock.waits(call.from()).is_some() {
                self.stop_waiting(tx, name, call.from(), "it is no longer wanted");
            } else {
                let holder = &lock.holder.agent;
                let rejection =
                    Rejection::new(Code::Conflict, format!("{holder} holds the lock {name}"));
                return Err(rejection.with_lock(Some(lock.state(name))));
            }
            Ok(Accepted::new(Code::Done))
        })
    }

    /// Answers a lock command that has waited, and remembers the outcome if it carried an id.
    pub(super) fn answer_waiter(
        &mut self,
        tx: &mut RoomTx<'_>,
        waiter: Waiter,
        outcome: Result<LockState, Rejection>,
    ) {
        let reply = match outcome {
            Ok(state) => {
                if let Some(id) = waiter.id.clone() {
                    let key = OutcomeKey {
                        agent: waiter.agent.clone(),
                        command: LOCK.to_owned(),
                        id,
                    };
                    let accepted = Accepted::locked(Some(state.clone()));
                    tx.remember(key, waiter.fingerprint, &accepted);
                }
                Reply {
                    lock: Some(state),
                    ..Reply::accepted(LOCK, Code::Done)
                }
            }
            Err(rejection) => {
                tx.cx.stats.refusals.count(rejection.code);
                Reply::rejected(LOCK, rejection)
            }
        };
        let reply = Reply {
            id: waiter.id,
            correlation_id: waiter.correlation_id,
            ..reply
        };
        let room = tx.room.name.clone();
        send(tx.cx, waiter.agent, room, waiter.reply_rest, reply);
    }
}

fn check_token(lock: &HeldLock, name: &LockName, token: Option<u64>) -> Result<(), Rejection> {
    let held = lock.holder.token;
    match token {
        Some(token) if token != held => {
            let reason = format!("you hold the lock {name} under token {held}, not {token}");
            let rejection = Rejection::new(Code::Conflict, reason).at("token");
            Err(rejection.with_lock(Some(lock.state(name))))
        }
        _ => Ok(()),
    }
}

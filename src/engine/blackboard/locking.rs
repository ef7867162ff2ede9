//! Locking: the commands `blackboard/lock` and `blackboard/unlock`, and the replies of those who had to wait.
//!
//! A lock command is always answered, at once or, where it waits, when it holds the lock or has given up: never both.

use std::collections::VecDeque;

use crate::wire::blackboard::{Lock as Asked, LockState, Unlock};
use crate::wire::name::LockName;
use crate::wire::reply::{Code, Rejection, Reply};

use crate::engine::context::Context;
use crate::engine::event::Happened;
use crate::engine::outcomes::OutcomeKey;
use crate::engine::record::Change;
use crate::engine::replies::{Accepted, Call, Outcome, between, send};
use crate::engine::room::RoomState;
use crate::engine::settings::Settings;

use super::lock::{Lock, Waiter};

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
        let ttl_ms = asked.ttl_ms.unwrap_or(settings.lock_ttl_ms);
        between("ttlMs", ttl_ms, 1, settings.max_lock_ttl_ms)?;
        let wait_ms = asked.wait_ms;
        if let Some(wait_ms) = wait_ms {
            between("waitMs", wait_ms, 1, settings.max_lock_wait_ms)?;
        }
        Ok(Terms {
            ttl_ms,
            wait_ms: wait_ms.or(asked.wait.then_some(settings.lock_wait_ms)),
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

impl RoomState {
    pub(in crate::engine) fn lock(
        &mut self,
        cx: &mut Context,
        call: &mut Call<'_>,
        name: &LockName,
    ) -> Outcome {
        let asked: Asked = call.read_or_default(&cx.settings)?;
        let terms = Terms::of(&cx.settings, &asked)?;
        if let Some(first) = self.first_outcome(call)? {
            return Ok(first);
        }
        match self.judge(cx, call, name, &terms)? {
            Verdict::Waits => return Ok(Accepted::later()),
            Verdict::Queue => {
                self.queue(cx, call, name, &terms);
                return Ok(Accepted::later());
            }
            Verdict::Take => {
                self.grant_lock(cx, name, call.from(), terms.ttl_ms, VecDeque::new());
            }
            Verdict::Renew => self.renew_lock(cx, name, terms.ttl_ms),
        }
        let state = self.blackboard.locks.get(name);
        let accepted = Accepted::locked(state.map(|lock| lock.state(name)));
        self.remember_call(cx, call, &accepted);
        Ok(accepted)
    }

    fn judge(
        &self,
        cx: &Context,
        call: &Call<'_>,
        name: &LockName,
        terms: &Terms,
    ) -> Result<Verdict, Rejection> {
        let locks = &self.blackboard.locks;
        let Some(lock) = locks.get(name) else {
            let limit = cx.settings.max_locks_per_room;
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
        let limit = cx.settings.max_lock_waiters;
        if lock.waiters.len() >= limit {
            return refused(
                Code::TooMany,
                format!("{limit} agents wait for the lock {name}"),
            );
        }
        Ok(Verdict::Queue)
    }

    fn queue(&mut self, cx: &mut Context, call: &Call<'_>, name: &LockName, terms: &Terms) {
        let waiter = Waiter {
            agent: call.from().clone(),
            ttl_ms: terms.ttl_ms,
            until: cx.after(terms.wait_ms.unwrap_or_default()),
            id: call.id.clone(),
            fingerprint: call.fingerprint,
            correlation_id: call.correlation_id.clone(),
            reply_rest: call.command.mirrors.reply_rest.clone(),
        };
        self.arm_wait(cx, name, &waiter);
        let locks = &mut self.blackboard.locks;
        locks.note(&waiter.agent, name);
        if let Some(lock) = locks.get_mut(name) {
            lock.waiters.push_back(waiter);
        }
        self.change(cx, Change::Lock(name.clone()));
        let happened = Happened::new("blackboard.waiting", name.as_str(), call.from());
        self.tell(cx, &happened);
    }

    pub(in crate::engine) fn unlock(
        &mut self,
        cx: &mut Context,
        call: &mut Call<'_>,
        name: &LockName,
    ) -> Outcome {
        let asked: Unlock = call.read_or_default(&cx.settings)?;
        self.once(cx, call, |room, cx| {
            let Some(lock) = room.blackboard.locks.get(name) else {
                let reason = format!("nobody holds the lock {name}");
                return Err(Rejection::new(Code::NotFound, reason));
            };
            if lock.holder.agent == *call.from() {
                check_token(lock, name, asked.token)?;
                room.free_lock(cx, name, call.from(), "released");
            } else if asked.token.is_none() && lock.waits(call.from()).is_some() {
                room.stop_waiting(cx, name, call.from(), "it is no longer wanted");
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
        cx: &mut Context,
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
                    self.remember(cx, key, waiter.fingerprint, &accepted);
                }
                Reply {
                    lock: Some(state),
                    ..Reply::accepted(LOCK, Code::Done)
                }
            }
            Err(rejection) => {
                cx.stats.refusals.count(rejection.code);
                Reply::rejected(LOCK, rejection)
            }
        };
        let reply = Reply {
            id: waiter.id,
            correlation_id: waiter.correlation_id,
            ..reply
        };
        let room = self.name.clone();
        send(cx, waiter.agent, room, waiter.reply_rest, reply);
    }
}

fn check_token(lock: &Lock, name: &LockName, token: Option<u64>) -> Result<(), Rejection> {
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

//! Locks: leases on names, each with a fencing token.
//!
//! A token is a number that is never given out twice in a room, so a write that carries one is
//! known to come from whoever holds the lock now: a holder that was too slow is refused, whatever
//! it believes. A lock that nobody holds leaves no trace. Those who wait get it in the order in
//! which they asked. The commands are in `locking`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::blackboard::LockName;
use crate::wire::blackboard::{Fence, LockState};
use crate::wire::name::{Agent, CommandId, Key};
use crate::wire::reply::{Code, Rejection};

use super::records::KeyChange;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::recorded::Recorded;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Blackboard;
use super::states::HELD;

/// A lock that somebody holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct HeldLock {
    pub(super) holder: Lease,
    /// Who waited longest comes first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) waiters: VecDeque<Waiter>,
}

/// A holder's right, until it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) agent: Agent,
    pub(super) token: u64,
    pub(super) expires_at: Millis,
}

/// An agent that waits, with what the reply to its command needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Waiter {
    pub(super) agent: Agent,
    /// How long its lease will be.
    pub(super) ttl_ms: u64,
    /// When it gives up.
    pub(super) until: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<CommandId>,
    /// Of the command, where it has an id; earlier versions did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<NonZeroU64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reply_rest: Option<Key>,
}

/// The locks of a room that are held.
#[derive(Debug, Default)]
pub(in crate::engine) struct Locks {
    by_name: BTreeMap<LockName, HeldLock>,
    /// What an agent holds or waits for.
    of_agent: BTreeMap<Agent, BTreeSet<LockName>>,
    /// The last token that was given out.
    pub(in crate::engine) last_token: u64,
}

impl Locks {
    pub(in crate::engine) fn get(&self, name: &LockName) -> Option<&HeldLock> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &LockName) -> Option<&mut HeldLock> {
        self.by_name.get_mut(name)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn states(&self) -> impl Iterator<Item = LockState> {
        self.by_name.iter().map(|(name, lock)| lock.state(name))
    }

    pub(super) fn note(&mut self, agent: &Agent, name: &LockName) {
        let names = self.of_agent.entry(agent.clone()).or_default();
        names.insert(name.clone());
    }

    pub(super) fn unnote(&mut self, agent: &Agent, name: &LockName) {
        if let Some(names) = self.of_agent.get_mut(agent) {
            names.remove(name);
            if names.is_empty() {
                self.of_agent.remove(agent);
            }
        }
    }
}

impl HeldLock {
    pub(super) fn state(&self, name: &LockName) -> LockState {
        LockState {
            name: name.clone(),
            holder: self.holder.agent.clone(),
            token: self.holder.token,
            expires_at: self.holder.expires_at,
            waiting: self.waiters.len() as u64,
        }
    }

    pub(super) fn waits(&self, agent: &Agent) -> Option<usize> {
        self.waiters
            .iter()
            .position(|waiter| waiter.agent == *agent)
    }
}

impl Blackboard {
    /// Refuses a write whose lock is no longer, or not yet, held under that token.
    pub(super) fn check_fence(&self, fence: Option<&Fence>) -> Result<(), Rejection> {
        let Some(Fence { lock: name, token }) = fence else {
            return Ok(());
        };
        let found = self.locks.get(name);
        let reason = match found {
            Some(lock) if lock.holder.token == *token => return Ok(()),
            Some(lock) => {
                let now = lock.holder.token;
                format!("the lock {name} is held under token {now}, not {token}")
            }
            None => format!("nobody holds the lock {name}, under token {token} or another"),
        };
        let rejection = Rejection::new(Code::Conflict, reason).at("fence");
        Err(rejection.with_lock(found.map(|lock| lock.state(name))))
    }

    /// Gives a lock that is free, or being passed on, to an agent.
    pub(super) fn grant_lock(
        &mut self,
        tx: &mut RoomTx<'_>,
        name: &LockName,
        agent: &Agent,
        ttl_ms: u64,
        waiters: VecDeque<Waiter>,
    ) -> LockState {
        let locks = &mut self.locks;
        locks.last_token += 1;
        let holder = Lease {
            agent: agent.clone(),
            token: locks.last_token,
            expires_at: tx.cx.after(ttl_ms),
        };
        locks.note(agent, name);
        let detail = Detail {
            token: Some(holder.token),
            until: Some(holder.expires_at),
            ..Detail::default()
        };
        let lock = HeldLock { holder, waiters };
        let state = lock.state(name);
        tx.cx.timers.arm(
            state.expires_at,
            Timer::LockLease,
            Blackboard::lease_of(tx, name),
        );
        self.locks.by_name.insert(name.clone(), lock);
        tx.cx.stats.locks += 1;
        self.change(tx, KeyChange::Lock(name.clone()));
        let happened = RoomEvent {
            to: Some(HELD),
            detail,
            ..RoomEvent::new("blackboard.locked", name.as_str(), agent)
        };
        tx.record_event(&happened);
        state
    }

    /// Moves the end of a lease.
    pub(super) fn renew_lock(&mut self, tx: &mut RoomTx<'_>, name: &LockName, ttl_ms: u64) {
        let expires_at = tx.cx.after(ttl_ms);
        let subject = Blackboard::lease_of(tx, name);
        if let Some(lock) = self.locks.get_mut(name) {
            let before = std::mem::replace(&mut lock.holder.expires_at, expires_at);
            tx.cx
                .timers
                .disarm(before, Timer::LockLease, subject.clone());
            tx.cx.timers.arm(expires_at, Timer::LockLease, subject);
            self.change(tx, KeyChange::Lock(name.clone()));
        }
    }

    /// Ends a lease: the lock goes to whoever waited longest, or nobody holds it any more.
    pub(super) fn free_lock(
        &mut self,
        tx: &mut RoomTx<'_>,
        name: &LockName,
        by: &Agent,
        why: &'static str,
    ) {
        let Some(lock) = self.locks.by_name.remove(name) else {
            return;
        };
        let HeldLock {
            holder,
            mut waiters,
        } = lock;
        tx.cx.stats.locks -= 1;
        self.locks.unnote(&holder.agent, name);
        let lease = Blackboard::lease_of(tx, name);
        tx.cx
            .timers
            .disarm(holder.expires_at, Timer::LockLease, lease);
        self.change(tx, KeyChange::Lock(name.clone()));
        let detail = Detail {
            token: Some(holder.token),
            reason: Some(why),
            ..Detail::default()
        };
        let happened = RoomEvent {
            from: Some(HELD),
            detail,
            ..RoomEvent::new("blackboard.unlocked", name.as_str(), by)
        };
        tx.record_event(&happened);
        if let Some(next) = waiters.pop_front() {
            self.disarm_wait(tx, name, &next);
            let state = self.grant_lock(tx, name, &next.agent, next.ttl_ms, waiters);
            self.answer_waiter(tx, next, Ok(state));
        }
    }

    /// Takes an agent out of those who wait for a lock.
    pub(super) fn stop_waiting(
        &mut self,
        tx: &mut RoomTx<'_>,
        name: &LockName,
        agent: &Agent,
        why: &'static str,
    ) {
        let Some(lock) = self.locks.get_mut(name) else {
            return;
        };
        let at = lock.waits(agent);
        let Some(waiter) = at.and_then(|at| lock.waiters.remove(at)) else {
            return;
        };
        let state = lock.state(name);
        self.locks.unnote(agent, name);
        self.disarm_wait(tx, name, &waiter);
        self.change(tx, KeyChange::Lock(name.clone()));
        let detail = Detail {
            reason: Some(why),
            ..Detail::default()
        };
        let happened = RoomEvent::new("blackboard.gaveUp", name.as_str(), agent);
        tx.record_event(&RoomEvent { detail, ..happened });
        let reason = format!("the lock {name} did not become free: {why}");
        let rejection = Rejection::new(Code::Expired, reason).with_lock(Some(state));
        self.answer_waiter(tx, waiter, Err(rejection));
    }

    /// An agent is gone: it holds nothing and waits for nothing any more.
    pub(in crate::engine) fn release_locks(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        let names = self.locks.of_agent.get(agent);
        for name in names.cloned().unwrap_or_default() {
            let lock = self.locks.get(&name);
            if lock.is_some_and(|lock| lock.holder.agent == *agent) {
                let gateway = tx.cx.gateway.clone();
                self.free_lock(tx, &name, &gateway, "gone");
            } else {
                self.stop_waiting(tx, &name, agent, "gone");
            }
        }
    }

    /// Takes the first lock a step nearer to its end: who waits for it gives up one by one, then
    /// nobody holds it any more. Returns whether there was one.
    pub(in crate::engine) fn end_first_lock(
        &mut self,
        tx: &mut RoomTx<'_>,
        why: &'static str,
    ) -> bool {
        let Some((name, lock)) = self.locks.by_name.first_key_value() else {
            return false;
        };
        let name = name.clone();
        let waiter = lock.waiters.front().map(|waiter| waiter.agent.clone());
        if let Some(waiter) = waiter {
            self.stop_waiting(tx, &name, &waiter, why);
        } else {
            let gateway = tx.cx.gateway.clone();
            self.free_lock(tx, &name, &gateway, why);
        }
        true
    }

    pub(in crate::engine) fn lock_expired(&mut self, tx: &mut RoomTx<'_>, name: &LockName) {
        let gateway = tx.cx.gateway.clone();
        self.free_lock(tx, name, &gateway, "expired");
    }

    pub(in crate::engine) fn wait_over(
        &mut self,
        tx: &mut RoomTx<'_>,
        name: &LockName,
        who: &Agent,
    ) {
        self.stop_waiting(tx, name, who, "waitMs is over");
    }

    /// Recovery.
    pub(in crate::engine) fn rebuild_lock(
        &mut self,
        tx: &mut RoomTx<'_>,
        name: LockName,
        lock: HeldLock,
    ) {
        let lease = Blackboard::lease_of(tx, &name);
        let locks = &mut self.locks;
        locks.note(&lock.holder.agent, &name);
        tx.cx
            .timers
            .arm(lock.holder.expires_at, Timer::LockLease, lease);
        for waiter in &lock.waiters {
            locks.note(&waiter.agent, &name);
            let subject =
                TimerSubject::Waiter(tx.room.name.clone(), name.clone(), waiter.agent.clone());
            tx.cx.timers.arm(waiter.until, Timer::LockWait, subject);
        }
        tx.cx.stats.locks += 1;
        locks.by_name.insert(name, lock);
    }

    pub(super) fn arm_wait(&self, tx: &mut RoomTx<'_>, name: &LockName, waiter: &Waiter) {
        tx.cx.timers.arm(
            waiter.until,
            Timer::LockWait,
            Blackboard::wait_of(tx, name, waiter),
        );
    }

    fn disarm_wait(&self, tx: &mut RoomTx<'_>, name: &LockName, waiter: &Waiter) {
        tx.cx.timers.disarm(
            waiter.until,
            Timer::LockWait,
            Blackboard::wait_of(tx, name, waiter),
        );
    }

    fn lease_of(tx: &RoomTx<'_>, name: &LockName) -> TimerSubject {
        TimerSubject::Lock(tx.room.name.clone(), name.clone())
    }

    fn wait_of(tx: &RoomTx<'_>, name: &LockName, waiter: &Waiter) -> TimerSubject {
        TimerSubject::Waiter(tx.room.name.clone(), name.clone(), waiter.agent.clone())
    }
}

//! Absence: what becomes of calls whose provider is away, or came back and has forgotten them.
//!
//! Whoever loses its connection has a short grace of its own and then loses its calls, because a
//! caller waits for a tool as it waits for a function. Who is back in time with its session goes
//! on. Who is back with a new one may be a new process: as soon as it listens it is sent again what
//! may run twice; what may not it can still answer, but no longer than that grace. After a restart
//! of the gateway providers have the whole reconnect grace, and what they are at stays theirs: it
//! is not they who went away.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::name::{Agent, CallId, Tool};

use crate::engine::effect::DirectedKind;
use crate::engine::mailboxes::Mailboxes;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;
use crate::wire::presence::ConnectionState;

use super::Tools;
use super::call::CallEnd;

/// Providers that are away, or back without their sessions. Not recorded: a restart gives everybody
/// more.
#[derive(Debug, Default)]
pub(super) struct Absences {
    /// When they lose what they had.
    graces: BTreeMap<Agent, Millis>,
    /// What those had in an earlier session who are back with a new one.
    owed: BTreeMap<Agent, BTreeSet<CallId>>,
    /// Whose connection the gateway itself has broken, by its restart.
    spared: BTreeSet<Agent>,
}

impl Absences {
    /// A provider does not have a call any more, or has been sent it again.
    pub(super) fn settle(&mut self, provider: &Agent, call: &CallId) {
        if let Some(owed) = self.owed.get_mut(provider) {
            owed.remove(call);
            if owed.is_empty() {
                self.owed.remove(provider);
            }
        }
    }
}

impl Tools {
    /// The connection of an agent is gone: soon its calls are, too.
    pub(in crate::engine) fn expect_provider_back(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        if !self.registry.calls_of(agent).is_empty() {
            self.begin_provider_grace(tx, agent);
        }
    }

    fn begin_provider_grace(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        self.end_provider_grace(tx, agent);
        let at = tx.cx.after(tx.cx.settings.tools.provider_grace.ms());
        if at == tx.cx.now {
            self.provider_is_gone(tx, agent);
            return;
        }
        let subject = TimerSubject::Provider(tx.room.name.clone(), agent.clone());
        tx.cx.timers.arm(at, Timer::ProviderGrace, subject);
        self.absences.graces.insert(agent.clone(), at);
    }

    fn end_provider_grace(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        if let Some(at) = self.absences.graces.remove(agent) {
            let subject = TimerSubject::Provider(tx.room.name.clone(), agent.clone());
            tx.cx.timers.disarm(at, Timer::ProviderGrace, subject);
        }
    }

    /// An agent is connected again, with the session that it had (`resumed`) or with a new one.
    pub(in crate::engine) fn provider_is_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        agent: &Agent,
        resumed: bool,
        mailboxes: &dyn Mailboxes,
    ) {
        self.end_provider_grace(tx, agent);
        let spared = self.absences.spared.remove(agent);
        if !resumed {
            let mut had = self.registry.calls_of(agent);
            had.retain(|id| self.has_forgotten(tx, id, spared, mailboxes));
            self.absences.owed.remove(agent);
            if !had.is_empty() {
                self.absences.owed.insert(agent.clone(), had);
            }
        }
        if self.absences.owed.contains_key(agent) {
            self.begin_provider_grace(tx, agent);
        }
    }

    /// Whether a provider with a new session must be taken to know nothing of a call. One whose run
    /// still waits for its acknowledgement comes to the new session by itself.
    fn has_forgotten(
        &self,
        tx: &RoomTx<'_>,
        id: &CallId,
        spared: bool,
        mailboxes: &dyn Mailboxes,
    ) -> bool {
        let call = self.calls.get(id);
        call.is_some_and(|call| {
            let stays = spared && call.arguments.is_none();
            !stays && !mailboxes.holds(&call.provider, &DirectedKind::Run(Tools::run_key(tx, call)))
        })
    }

    /// A provider listens to a tool, and is sent again what it had of it in an earlier session,
    /// where that may run twice.
    pub(in crate::engine) fn send_owed_runs(
        &mut self,
        tx: &mut RoomTx<'_>,
        agent: &Agent,
        tool: &Tool,
    ) {
        let owed = self.absences.owed.get(agent).cloned();
        for id in owed.unwrap_or_default() {
            let call = self.calls.get(&id).filter(|call| call.tool == *tool);
            let Some(call) = call.cloned() else {
                continue;
            };
            if let Some(arguments) = &call.arguments {
                self.absences.settle(agent, &id);
                // One that waits for an answer comes with it.
                if !call.is_asking() {
                    self.deliver_run(tx, &call, Some(arguments));
                }
            }
        }
    }

    /// The gateway has restarted: an agent that had calls is away, but for no reason of its own.
    pub(in crate::engine) fn spare_provider(&mut self, agent: &Agent) {
        if !self.registry.calls_of(agent).is_empty() {
            self.absences.spared.insert(agent.clone());
        }
    }

    /// The grace is over: what it was for is lost.
    pub(in crate::engine) fn provider_is_gone(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        self.absences.graces.remove(agent);
        let member = tx.room.members.0.get(agent);
        if member.is_none_or(|member| member.connection != ConnectionState::Online) {
            self.lose_calls(tx, agent);
            return;
        }
        let owed = self.absences.owed.remove(agent);
        for id in owed.unwrap_or_default() {
            self.lose_call(tx, &id, CallEnd::Gone(agent.clone()));
        }
    }

    /// An agent is gone, and so are the calls that it had.
    pub(in crate::engine) fn lose_calls(&mut self, tx: &mut RoomTx<'_>, agent: &Agent) {
        self.end_provider_grace(tx, agent);
        self.absences.owed.remove(agent);
        self.absences.spared.remove(agent);
        for id in self.registry.calls_of(agent) {
            self.lose_call(tx, &id, CallEnd::Gone(agent.clone()));
        }
    }
}

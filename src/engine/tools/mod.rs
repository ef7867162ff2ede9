//! Tools: capabilities with a schema and a short answer.
//!
//! [`registry`] knows which tools there are and who can be called, `register` how that changes,
//! [`call`] what a call is, `calling` and `answering` what agents may do about one, `ended` what is
//! remembered of those that are over, `absence` what becomes of calls whose provider is away or
//! came back without its session, `messages` what is sent. Here a call goes to a provider and ends,
//! each in one place, so that none of the consequences can be forgotten.
//!
//! A call is with exactly one provider from its first moment to its last: it never queues.

mod absence;
mod answering;
mod approval;
mod asking;
mod call;
mod calling;
pub(super) mod config;
mod ended;
mod envelopes;
mod fit;
mod messages;
mod pattern;
mod records;
mod register;
mod registry;
mod states;

use std::collections::BTreeMap;

use crate::wire::json::Json;
use crate::wire::name::{Agent, CallId, Tool};

use absence::Absences;

use super::gate::GateMessage;
use super::ids::RunKey;
use super::record::Changes;
use super::recorded::Recorded;
use super::timer::{Timer, TimerSubject};
use super::tx::RoomTx;
use records::ToolChange;

use call::CallEnd;
pub(super) use call::OpenCall;
use ended::EndedCalls;
use fit::takes_run;
pub(super) use registry::Definition;
use registry::Registry;
use states::{ASKING, RUNNING};
pub(super) use states::{CALL, TOOL};

/// A room's tools, the calls that are not over, and what is remembered of those that are.
#[derive(Debug, Default)]
pub(super) struct Tools {
    changes: Changes<records::ToolChange>,
    pub(super) registry: Registry,
    pub(super) calls: BTreeMap<CallId, OpenCall>,
    pub(super) ended: EndedCalls,
    /// How many of them each caller has.
    by_caller: BTreeMap<Agent, usize>,
    /// Bytes of arguments, questions and answers that are kept for them.
    kept_bytes: usize,
    absences: Absences,
}

impl Tools {
    fn enter(&mut self, call: OpenCall) {
        self.kept_bytes += call.kept_bytes();
        *self.by_caller.entry(call.caller.clone()).or_default() += 1;
        self.calls.insert(call.id.clone(), call);
    }

    fn leave(&mut self, id: &CallId) -> Option<OpenCall> {
        let call = self.calls.remove(id)?;
        self.kept_bytes -= call.kept_bytes();
        if let Some(count) = self.by_caller.get_mut(&call.caller) {
            *count -= 1;
            if *count == 0 {
                self.by_caller.remove(&call.caller);
            }
        }
        Some(call)
    }
}

impl Tools {
    /// The one place where a call comes into being: from here on its caller is owed one final
    /// result.
    fn begin_call(&mut self, tx: &mut RoomTx<'_>, call: OpenCall) {
        tx.cx.reserve_result(&call.caller);
        tx.cx.stats.tool_calls += 1;
        self.change(tx, ToolChange::Call(call.id.clone()));
        self.registry.enter(&call.tool, &call.id);
        self.tell_call(tx, &call, "tools.called", Some(call.state()), None);
        self.enter(call);
    }

    /// The one place where a call goes to its first provider.
    fn run_call(&mut self, tx: &mut RoomTx<'_>, call: &OpenCall, arguments: &Json) {
        let subject = TimerSubject::Call(tx.room.name.clone(), call.id.clone());
        tx.cx.timers.arm(call.deadline, Timer::Call, subject);
        let limit = tx.cx.settings.tools.max_calls_per_provider;
        self.registry.took(&call.provider, &call.id, limit);
        self.deliver_run(tx, call, Some(arguments));
    }

    /// The one place where a call ends.
    fn end_call(&mut self, tx: &mut RoomTx<'_>, id: &CallId, who: Option<&Agent>, end: CallEnd) {
        let Some(call) = self.leave(id) else {
            return;
        };
        let subject = TimerSubject::Call(tx.room.name.clone(), id.clone());
        tx.cx.timers.disarm(call.deadline, Timer::Call, subject);
        tx.cx.release_result(&call.caller);
        tx.cx.stats.tool_calls -= 1;
        *tx.cx.stats.tool_endings.of_mut(end.outcome()) += 1;
        self.change(tx, ToolChange::Call(id.clone()));
        self.registry.exit(&call.tool, id);
        if let Some(held) = &call.gate {
            tx.tell_gates(GateMessage::Withdraw(held.approval.clone()));
        }
        let notice = end.error().filter(|_| !end.is_providers_own());
        let notice = notice
            .as_ref()
            .and_then(|error| Some((error.code.as_deref()?, error.message.as_str())));
        if call.gate.is_none() {
            self.take_back(tx, &call, notice);
        }
        self.tell_ending(tx, &call, who, &end);
        let (result, error) = end.into_result();
        self.deliver_result_of(tx, &call, result.clone(), error.clone());
        self.remember_call_as_ended(tx, call, result, error);
    }

    /// The provider of a call does not have it any more: frees it, and tells it unless it was its
    /// own word.
    fn take_back(&mut self, tx: &mut RoomTx<'_>, call: &OpenCall, notice: Option<(&str, &str)>) {
        let limit = tx.cx.settings.tools.max_calls_per_provider;
        self.registry.freed(&call.provider, &call.id, limit);
        self.absences.settle(&call.provider, &call.id);
        self.revoke_run(tx, call);
        if let Some((code, reason)) = notice {
            self.deliver_notice(tx, call, code, reason);
        }
    }

    /// A call whose provider is gone: to another one if it may run twice and somebody can be
    /// called, else it ends at once.
    fn lose_call(&mut self, tx: &mut RoomTx<'_>, id: &CallId, end: CallEnd) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let from = call.provider.clone();
        let next = call.arguments.as_ref().and_then(|arguments| {
            let takes = takes_run(tx, call, arguments);
            let will_do = |agent: &Agent| *agent != from && takes(agent);
            self.registry.pick(&call.tool, will_do)
        });
        let (Some(arguments), Some(next)) = (call.arguments.clone(), next) else {
            self.end_call(tx, id, None, end);
            return;
        };
        let before = call.clone();
        let reason = format!("{} has the call now", next.as_str());
        self.take_back(tx, &before, Some(("rerouted", &reason)));
        let limit = tx.cx.settings.tools.max_calls_per_provider;
        self.registry.took(&next, id, limit);
        let was = before.state();
        let mut moved = OpenCall {
            provider: next,
            turn: before.turn + 1,
            ..before
        };
        // Whoever has it now may ask again.
        moved.questions.withdraw();
        self.let_time_run(tx, &mut moved);
        self.deliver_run(tx, &moved, Some(&arguments));
        let to = (was == ASKING).then_some(RUNNING);
        self.tell_call(tx, &moved, "tools.rerouted", to, Some(&from));
        self.renew(tx, moved);
    }

    /// A run could not be sent, because it is larger than its provider takes now.
    pub(super) fn lose_run_too_large(&mut self, tx: &mut RoomTx<'_>, agent: &Agent, key: &RunKey) {
        let call = self.calls.get(&key.call);
        if call.is_some_and(|call| call.provider == *agent && call.turn == key.turn) {
            self.lose_call(tx, &key.call, CallEnd::TooLarge(agent.clone()));
        }
    }

    /// The gateway cancels the first call that is under way; whether there was one.
    pub(super) fn cancel_first_call(&mut self, tx: &mut RoomTx<'_>, reason: &str) -> bool {
        let Some(id) = self.calls.keys().next().cloned() else {
            return false;
        };
        self.end_call(tx, &id, None, CallEnd::Cancelled(reason.to_owned()));
        true
    }

    pub(super) fn call_timed_out(&mut self, tx: &mut RoomTx<'_>, id: &CallId) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        if call.is_asking() {
            self.go_on(tx, id, None);
            return;
        }
        let waited = call.deadline.saturating_sub(call.called_at);
        self.end_call(tx, id, None, CallEnd::TimedOut(waited));
    }

    /// Puts a call back that earlier runs have left.
    pub(super) fn rebuild_call(&mut self, tx: &mut RoomTx<'_>, call: OpenCall) {
        tx.cx.reserve_result(&call.caller);
        tx.cx.stats.tool_calls += 1;
        if call.gate.is_none() {
            let subject = TimerSubject::Call(tx.room.name.clone(), call.id.clone());
            tx.cx.timers.arm(call.deadline, Timer::Call, subject);
            let limit = tx.cx.settings.tools.max_calls_per_provider;
            self.registry.took(&call.provider, &call.id, limit);
        }
        self.registry.enter(&call.tool, &call.id);
        self.enter(call);
    }

    /// Puts a tool back that earlier runs have left; nobody can be called yet.
    pub(super) fn rebuild_tool(&mut self, tx: &mut RoomTx<'_>, tool: Tool, definition: Definition) {
        tx.cx.stats.tools += 1;
        self.registry.restore(tool, definition);
    }
}

//! Calling: admitting a call, and taking one's own back.
//!
//! Whatever can be said against a call is said at once, before anybody is called: a caller waits
//! for nothing but the tool.

use crate::wire::json::Json;
use crate::wire::name::{Agent, CallId, CommandId, Tool};
use crate::wire::reply::{Code, Rejection};
use crate::wire::tools::{CancelCall, ToolCall as Inquiry};

use crate::engine::context::Context;
use crate::engine::question::Questions;
use crate::engine::replies::{Accepted, Call, Outcome, between, json_at_most, text_at_most};
use crate::engine::tx::RoomTx;
use crate::schema::Violation;

use super::Tools;
use super::call::{CallEnd, OpenCall};
use super::fit::run_bytes;
use super::fit::takes_run;
use super::registry::ToolEntry;

impl Tools {
    pub(in crate::engine) fn call_tool(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
        tool: &Tool,
    ) -> Outcome {
        let mut asked: Inquiry = call.read(&tx.cx.settings)?;
        let trace = &call.command.mirrors.trace;
        trace.complete(&mut asked.traceparent, &mut asked.tracestate);
        tx.once(call, |tx| {
            let id = call_id(tx.cx, call);
            if let Some(first) = self.fingerprint_of(&id) {
                call.expect_repeat(first)?;
                // Its outcome has been forgotten before its time.
                return Ok(Accepted::call(Code::Taken, &id));
            }
            let arguments = asked.arguments.take();
            let arguments = arguments.unwrap_or_else(|| Json::of(&serde_json::Map::new()));
            check_call(tx.cx, &asked, &arguments)?;
            let entry = self.callable(tool)?;
            let input = &entry.contract()?.input;
            input
                .check(arguments.text())
                .map_err(|violation| invalid("arguments", violation))?;
            let (kept, timeout_ms) = (entry.definition.idempotent, entry.definition.timeout_ms);
            let rule = entry.definition.approval.clone();
            self.admit_call(tx, call, &arguments, kept)?;
            let timeout_ms = asked.timeout_ms.or(timeout_ms);
            let timeout_ms = timeout_ms.unwrap_or(tx.cx.settings.tools.timeout.ms());
            let mut begun = OpenCall {
                id: id.clone(),
                tool: tool.clone(),
                caller: call.from().clone(),
                // Until one is chosen who can take it.
                provider: call.from().clone(),
                turn: 0,
                fingerprint: call.fingerprint,
                arguments: kept.then(|| arguments.clone()),
                called_at: tx.cx.now,
                deadline: tx.cx.after(timeout_ms),
                correlation_id: call.correlation_id.clone(),
                traceparent: asked.traceparent,
                tracestate: asked.tracestate,
                gate: None,
                questions: Questions::default(),
                left_ms: 0,
            };
            if let Some(rule) = rule {
                return self.hold_back(tx, call, begun, (arguments, timeout_ms), &rule);
            }
            begun.provider = self.free_provider(tx, &begun, &arguments)?;
            self.run_call(tx, &begun, &arguments);
            self.begin_call(tx, begun);
            Ok(Accepted::call(Code::Taken, &id))
        })
    }

    /// The tool, if somebody can be called for it, busy or not.
    pub(super) fn callable(&self, tool: &Tool) -> Result<&ToolEntry, Rejection> {
        let entry = self.registry.get(tool);
        let callable = entry.filter(|entry| !entry.callable.is_empty());
        callable.ok_or_else(|| {
            let reason = match entry {
                None => format!("nobody has registered {tool}"),
                Some(_) => {
                    format!("nobody who provides {tool} is online and listens to tools/run/{tool}")
                }
            };
            Rejection::new(Code::Unavailable, reason)
        })
    }

    fn admit_call(
        &self,
        tx: &RoomTx<'_>,
        call: &Call<'_>,
        arguments: &Json,
        kept: bool,
    ) -> Result<(), Rejection> {
        let settings = &tx.cx.settings;
        let caller = call.from();
        let too_many = |reason: String| Err(Rejection::new(Code::TooMany, reason));
        let limit = settings.tools.max_calls_per_room;
        if self.calls.len() >= limit {
            return too_many(format!("the room has its {limit} calls under way"));
        }
        let own = self.by_caller.get(caller).copied().unwrap_or_default();
        let limit = settings.tools.max_calls_per_caller;
        if own >= limit {
            return too_many(format!("{caller} has its {limit} calls under way"));
        }
        let limit = settings.tools.max_call_bytes_per_room.0;
        if kept && self.kept_bytes + arguments.text().len() > limit {
            return too_many(format!(
                "the room has its {limit} bytes of arguments under way"
            ));
        }
        tx.cx.may_wait_for(call.mailboxes, caller, "the result")
    }

    pub(super) fn free_provider(
        &self,
        tx: &RoomTx<'_>,
        call: &OpenCall,
        arguments: &Json,
    ) -> Result<Agent, Rejection> {
        let tool = &call.tool;
        let takes = takes_run(tx, call, arguments);
        if let Some(provider) = self.registry.pick(tool, &takes) {
            return Ok(provider);
        }
        if !self.callable(tool)?.callable.iter().any(takes) {
            let bytes = run_bytes(tx, call, arguments);
            let reason = format!("nobody who provides {tool} takes a packet of {bytes} bytes");
            return Err(Rejection::new(Code::TooLarge, reason).at("arguments"));
        }
        let limit = tx.cx.settings.tools.max_calls_per_provider;
        let reason = format!("everybody who provides {tool} has {limit} calls under way");
        Err(Rejection::new(Code::TooMany, reason))
    }

    pub(in crate::engine) fn cancel_call(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let cancel: CancelCall = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            let (by, reason) = (call.from(), cancel.reason);
            text_at_most(
                "reason",
                reason.as_deref(),
                tx.cx.settings.commands.max_reason.0,
            )?;
            let open = self.open_call(&cancel.call)?;
            if open.caller != *by {
                let reason = format!("{} is not a call of {by}", cancel.call);
                return Err(Rejection::new(Code::Forbidden, reason));
            }
            let reason = reason.unwrap_or_else(|| format!("cancelled by {by}"));
            self.end_call(tx, &cancel.call, Some(by), CallEnd::Cancelled(reason));
            Ok(Accepted::call(Code::Done, &cancel.call))
        })
    }

    pub(super) fn open_call(&self, id: &CallId) -> Result<&OpenCall, Rejection> {
        self.calls.get(id).ok_or_else(|| {
            let reason = format!("{id} is no call that is under way: it is over, or never was");
            Rejection::new(Code::Conflict, reason).at("call")
        })
    }
}

fn call_id(cx: &mut Context, call: &Call<'_>) -> CallId {
    let own = call.id.clone();
    let id = own.unwrap_or_else(|| CommandId::new(&cx.mint()).expect("a ULID is a name"));
    CallId::of(call.from(), &id)
}

/// The refusal of a value that is not as its schema wants it, with its place as a JSON pointer into
/// the command.
pub(super) fn invalid(field: &str, violation: Violation) -> Rejection {
    let path = format!("/{field}{}", violation.path);
    Rejection::new(Code::Invalid, violation.reason).at(path)
}

fn check_call(cx: &Context, asked: &Inquiry, arguments: &Json) -> Result<(), Rejection> {
    let settings = &cx.settings;
    let limit = settings.tools.max_arguments.0;
    json_at_most("arguments", Some(arguments), limit)?;
    let correlation = settings.commands.max_correlation.0;
    text_at_most("traceparent", asked.traceparent.as_deref(), correlation)?;
    text_at_most("tracestate", asked.tracestate.as_deref(), correlation)?;
    match asked.timeout_ms {
        Some(ms) => between("timeoutMs", ms, 1, settings.tools.max_timeout.ms()),
        None => Ok(()),
    }
}

//! What tools send: runs and cancellations to providers, results to callers, events to whoever
//! observes.

use crate::wire::json::Json;
use crate::wire::mirror::{MessageMirrors, Trace};
use crate::wire::name::Agent;
use crate::wire::tools::{CallOver, ReturnStatus, ToolError, ToolResult, ToolRun};
use crate::wire::topic::{RoomTopic, Topic};

use crate::engine::effect::{Directed, DirectedKind, Effect};
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::ids::RunKey;
use crate::engine::tx::RoomTx;

use super::Tools;
use super::call::{CallEnd, OpenCall};
use super::states::{APPROVING, ASKING, RUNNING};

impl Tools {
    pub(super) fn run_key(tx: &RoomTx<'_>, call: &OpenCall) -> RunKey {
        RunKey {
            room: tx.room.name.clone(),
            call: call.id.clone(),
            turn: call.turn,
            answers: call.questions.answered(),
        }
    }

    pub(super) fn deliver_run(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &OpenCall,
        arguments: Option<&Json>,
    ) {
        let run = call.run(arguments);
        let topic = Topic::ToolsRun {
            tool: call.tool.clone(),
        };
        tx.cx.emit(Effect::Deliver(Directed {
            to: call.provider.clone(),
            topic: RoomTopic::new(tx.room.name.clone(), topic),
            payload: tx.cx.wall.encode(&run),
            class: DirectedKind::Run(Tools::run_key(tx, call)),
            mirrors: MessageMirrors {
                correlation_id: call.correlation_id.clone(),
                from: Some(call.caller.clone()),
                trace: call.trace(),
                expires_at: Some(call.deadline),
            },
        }));
    }

    pub(super) fn revoke_run(&mut self, tx: &mut RoomTx<'_>, call: &OpenCall) {
        tx.cx.emit(Effect::Revoke {
            agent: call.provider.clone(),
            class: DirectedKind::Run(Tools::run_key(tx, call)),
        });
    }

    /// Tells a provider that nobody waits for its answer. As with replies, the oldest give way when
    /// too many wait.
    pub(super) fn deliver_notice(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &OpenCall,
        code: &str,
        reason: &str,
    ) {
        let over = CallOver {
            call: call.id.clone(),
            tool: call.tool.clone(),
            code: code.to_owned(),
            reason: reason.to_owned(),
            at: tx.cx.now,
            too_large: None,
        };
        let provider = call.provider.clone();
        tx.cx.emit(Effect::Deliver(Directed {
            to: provider.clone(),
            topic: RoomTopic::new(tx.room.name.clone(), Topic::ToolsCancelled { provider }),
            payload: tx.cx.wall.encode(&over),
            class: DirectedKind::Notice,
            mirrors: MessageMirrors {
                correlation_id: call.correlation_id.clone(),
                from: Some(call.caller.clone()),
                trace: call.trace(),
                expires_at: Some(tx.cx.after(tx.cx.settings.mailbox.reply_ttl.ms())),
            },
        }));
    }

    pub(super) fn deliver_partial(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &OpenCall,
        result: Option<Json>,
    ) {
        let partial = ToolResult {
            status: ReturnStatus::Partial,
            result,
            ..call.result(tx.cx.now)
        };
        self.deliver_tool_result(tx, call, &partial);
    }

    /// What its provider asks of the caller.
    pub(super) fn deliver_question(&mut self, tx: &mut RoomTx<'_>, call: &OpenCall) {
        let Some((ask, open)) = call.questions.open() else {
            return;
        };
        let asked = ToolResult {
            status: ReturnStatus::Input,
            ask: Some(ask),
            question: Some(open.question.clone()),
            schema: open.schema.clone(),
            expires_at: Some(open.expires_at),
            ..call.result(tx.cx.now)
        };
        self.deliver_tool_result(tx, call, &asked);
    }

    /// The one final result of a call.
    pub(super) fn deliver_result_of(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &OpenCall,
        result: Option<Json>,
        error: Option<ToolError>,
    ) {
        let result = ToolResult {
            status: match error {
                None => ReturnStatus::Success,
                Some(_) => ReturnStatus::Error,
            },
            is_final: true,
            error,
            result,
            ..call.result(tx.cx.now)
        };
        self.deliver_tool_result(tx, call, &result);
    }

    fn deliver_tool_result(&mut self, tx: &mut RoomTx<'_>, call: &OpenCall, result: &ToolResult) {
        let caller = call.caller.clone();
        tx.cx.emit(Effect::Deliver(Directed {
            to: caller.clone(),
            topic: RoomTopic::new(tx.room.name.clone(), Topic::ToolsResult { caller }),
            payload: tx.cx.wall.encode(result),
            class: DirectedKind::ToolResult,
            mirrors: MessageMirrors {
                correlation_id: call.correlation_id.clone(),
                from: Some(call.provider.clone()),
                trace: call.trace(),
                expires_at: Some(tx.cx.after(tx.cx.settings.mailbox.result_ttl.ms())),
            },
        }));
    }

    /// Tells of a call that goes on.
    pub(super) fn tell_call(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &OpenCall,
        what: &'static str,
        to: Option<&'static str>,
        lost_by: Option<&Agent>,
    ) {
        let from = match what {
            "tools.asked" => Some(RUNNING),
            "tools.answered" | "tools.unanswered" => Some(ASKING),
            "tools.approved" => Some(APPROVING),
            _ => to.and(lost_by).map(|_| ASKING),
        };
        let by_provider = matches!(what, "tools.progress" | "tools.asked");
        let reason = lost_by.map(|agent| format!("{agent} is gone"));
        let who = match lost_by {
            Some(_) => tx.cx.gateway.clone(),
            None if matches!(what, "tools.unanswered" | "tools.approved") => tx.cx.gateway.clone(),
            None if by_provider => call.provider.clone(),
            None => call.caller.clone(),
        };
        let happened = RoomEvent {
            from,
            to,
            detail: Detail {
                tool: Some(&call.tool),
                provider: Some(&call.provider),
                until: Some(call.deadline),
                reason: reason.as_deref(),
                ..Detail::default()
            },
            traceparent: call.traceparent.as_deref(),
            ..RoomEvent::new(what, call.id.as_str(), &who)
        };
        tx.record_event(&happened);
    }

    pub(super) fn tell_ending(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &OpenCall,
        who: Option<&Agent>,
        end: &CallEnd,
    ) {
        let (what, to) = end.told_as();
        let error = end.error();
        let gateway = tx.cx.gateway.clone();
        let happened = RoomEvent {
            from: Some(call.state()),
            to: Some(to),
            detail: Detail {
                tool: Some(&call.tool),
                provider: Some(&call.provider),
                reason: error.as_ref().map(|error| error.message.as_str()),
                ..Detail::default()
            },
            traceparent: call.traceparent.as_deref(),
            ..RoomEvent::new(what, call.id.as_str(), who.unwrap_or(&gateway))
        };
        tx.record_event(&happened);
    }
}

impl OpenCall {
    fn trace(&self) -> Trace {
        Trace {
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
        }
    }

    /// What its provider gets.
    pub(in crate::engine) fn run(&self, arguments: Option<&Json>) -> ToolRun {
        ToolRun {
            call: self.id.clone(),
            tool: self.tool.clone(),
            arguments: arguments.cloned(),
            answers: self.questions.answers().to_vec(),
            caller: self.caller.clone(),
            called_at: self.called_at,
            deadline: self.deadline,
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
        }
    }

    /// A result that says nothing yet.
    fn result(&self, now: crate::wire::Millis) -> ToolResult {
        ToolResult {
            call: self.id.clone(),
            tool: self.tool.clone(),
            status: ReturnStatus::Partial,
            is_final: false,
            result: None,
            error: None,
            ask: None,
            question: None,
            schema: None,
            expires_at: None,
            provider: self.provider.clone(),
            called_at: self.called_at,
            at: now,
            correlation_id: self.correlation_id.clone(),
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
            too_large: None,
        }
    }
}

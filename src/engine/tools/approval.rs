//! Approval: calls of some tools wait until somebody has said yes to their arguments.

use crate::wire::approve::ApprovalRule;
use crate::wire::json::Json;
use crate::wire::name::{CallId, Tool};
use crate::wire::reply::{Code, Rejection};

use crate::engine::gate::{GateMessage, GateRequest, Gated};
use crate::engine::replies::{Accepted, Call, Outcome, json_at_most};
use crate::engine::tx::RoomTx;

use super::Tools;
use super::call::{CallEnd, CallGate, OpenCall};
use super::calling::invalid;
use super::states::RUNNING;

impl Tools {
    /// Takes a call that nobody gets before it is approved.
    pub(super) fn hold_back(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        held: OpenCall,
        (arguments, timeout_ms): (Json, u64),
        rule: &ApprovalRule,
    ) -> Outcome {
        let id = held.id.clone();
        let usual = (held.tool.as_str(), rule);
        let content = ("arguments", Some(&arguments));
        let request = tx.gate_before(Gated::Call(id.clone()), call.actor(), usual, content)?;
        let approval = request.id.clone();
        let request = GateRequest {
            correlation_id: held.correlation_id.clone(),
            traceparent: held.traceparent.clone(),
            tracestate: held.tracestate.clone(),
            ..request
        };
        let held = OpenCall {
            provider: tx.cx.gateway.clone(),
            arguments: None,
            gate: Some(Box::new(CallGate {
                approval: approval.clone(),
                arguments,
                contract: self.contract_of(&held.tool),
                timeout_ms,
            })),
            ..held
        };
        self.begin_call(tx, held);
        tx.tell_gates(GateMessage::Ask(Box::new(request)));
        Ok(Accepted {
            approval: Some(approval),
            ..Accepted::call(Code::Taken, &id)
        })
    }

    /// Hears of a call's approval.
    pub(super) fn approval_told(&mut self, tx: &mut RoomTx<'_>, message: &GateMessage) {
        match message {
            GateMessage::Open {
                gated: Gated::Call(id),
                content,
            } => self.approved(tx, id, content.as_ref()),
            GateMessage::Shut {
                gated: Gated::Call(id),
                reason,
            } if self.is_held_back(id) => {
                let end = CallEnd::NotApproved(reason.clone());
                self.end_call(tx, id, None, end);
            }
            _ => {}
        }
    }

    fn contract_of(&self, tool: &Tool) -> String {
        let definition = self.registry.definition(tool);
        definition.map_or_else(String::new, |definition| definition.contract.clone())
    }

    fn is_held_back(&self, id: &CallId) -> bool {
        self.calls.get(id).is_some_and(|call| call.gate.is_some())
    }

    /// A provider gets it now, with the arguments that were approved.
    fn approved(&mut self, tx: &mut RoomTx<'_>, id: &CallId, content: Option<&Json>) {
        let Some(mut call) = self.calls.get(id).cloned() else {
            return;
        };
        let Some(held) = call.gate.take() else {
            return;
        };
        let arguments = content.cloned().unwrap_or(held.arguments);
        call.deadline = tx.cx.after(held.timeout_ms);
        if self.contract_of(&call.tool) != held.contract && self.registry.get(&call.tool).is_some()
        {
            self.end_call(tx, id, None, CallEnd::Changed);
            return;
        }
        match self.provider_of_approved(tx, &mut call, &arguments) {
            Ok(()) => {
                self.run_call(tx, &call, &arguments);
                self.tell_call(tx, &call, "tools.approved", Some(RUNNING), None);
                self.renew(tx, call);
            }
            Err(why) => self.end_call(tx, id, None, CallEnd::Unavailable(why.reason)),
        }
    }

    /// Whoever can take it: what was true when it was called need not be true any more.
    fn provider_of_approved(
        &self,
        tx: &RoomTx<'_>,
        call: &mut OpenCall,
        arguments: &Json,
    ) -> Result<(), Rejection> {
        let limit = tx.cx.settings.tools.max_arguments.0;
        json_at_most("arguments", Some(arguments), limit)?;
        let entry = self.callable(&call.tool)?;
        let checked = entry.contract()?.input.check(arguments.text());
        checked.map_err(|violation| invalid("arguments", violation))?;
        call.arguments = entry.definition.idempotent.then(|| arguments.clone());
        call.provider = self.free_provider(tx, call, arguments)?;
        Ok(())
    }
}

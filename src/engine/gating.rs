//! Holding work back: what an approval before it would be, and whether it may be asked for.

use std::collections::BTreeSet;

use crate::wire::approve::ApprovalRule;
use crate::wire::json::Json;
use crate::wire::name::ApprovalId;
use crate::wire::reply::{Code, Rejection};

use super::actor::Actor;
use super::context::Context;
use super::digest::approval_digest;
use super::gate::{GateRequest, Gated};
use super::replies::{between, entries_at_most, text_at_most};
use super::tx::{RoomTx, expect_agents_or_roles, role_of};

impl RoomTx<'_> {
    /// What an approval before something of this actor's would be, if it may be asked for now.
    pub(super) fn gate_before(
        &mut self,
        gated: Gated,
        actor: Actor<'_>,
        (usual_action, rule): (&str, &ApprovalRule),
        (path, content): (&str, Option<&Json>),
    ) -> Result<GateRequest, Rejection> {
        let limit = self.cx.settings.approve.max_pending_per_room;
        if self.room.pending_approvals >= limit {
            let reason = format!("{limit} approvals of the room await a decision already");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        let action = rule
            .action
            .clone()
            .unwrap_or_else(|| usual_action.to_owned());
        let digest = approval_digest(&action, content, path)?;
        let id = ApprovalId::new(&self.cx.mint()).expect("a ULID is a name");
        Ok(GateRequest {
            id,
            gated,
            requester: actor.agent.clone(),
            user: actor.user.map(Into::into),
            action,
            content: content.cloned(),
            digest,
            rule: rule.clone(),
            correlation_id: None,
            traceparent: None,
            tracestate: None,
        })
    }
}

/// Refuses a rule that could not be kept to.
pub(super) fn check_rule(cx: &Context, rule: &ApprovalRule) -> Result<(), Rejection> {
    let settings = &cx.settings;
    let action = rule.action.as_deref();
    text_at_most("approval.action", action, settings.commands.max_reason.0)?;
    let most = settings.approve.max_approvers;
    entries_at_most("approval.approvers", rule.approvers.len(), most)?;
    expect_agents_or_roles("approval.approvers", &rule.approvers)?;
    let (quorum, most) = (rule.quorum.unwrap_or(1), settings.approve.max_quorum);
    between("approval.quorum", quorum.into(), 1, most.into())?;
    let named: BTreeSet<&String> = rule.approvers.iter().collect();
    let has_role = rule.approvers.iter().any(|one| role_of(one).is_some());
    if !named.is_empty() && !has_role && named.len() < quorum as usize {
        let reason = format!("{quorum} must approve, but only {} may", named.len());
        return Err(Rejection::new(Code::Invalid, reason).at("approval.quorum"));
    }
    match rule.timeout_ms {
        Some(ms) => between(
            "approval.timeoutMs",
            ms,
            1,
            settings.approve.max_timeout.ms(),
        ),
        None => Ok(()),
    }
}

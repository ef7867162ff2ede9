//! The audit of approvals: everything that was asked, as it stands, with all that was done about
//! it.

use std::collections::BTreeSet;

use hallward::wire::approve::{AuditAct, AuditPage, AuditQuery, AuditedApproval};
use hallward::wire::name::{Agent, ApprovalId, Room};
use hallward::wire::reply::Code;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::approvals::Approval;
use super::{Check, ensure};

/// Approvals in a page where the question does not say.
const USUAL_PAGE: usize = 50;

/// Approve: a page of the audit has the oldest that meet its conditions, and says when there are
/// more.
pub(super) fn pages(model: &mut Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a question");
    if step.refusal() == Some(Code::TooMany) && step.free_of(&command.from) == 0 {
        return Ok(());
    }
    let asked: AuditQuery = read(&command.payload);
    let reply = step.replies_to(&command.from).pop().map(|(_, reply)| reply);
    let found = matching(model, room, &asked);
    if asked.approval.is_some() && found.is_empty() {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "an audit of what nobody asked for got {:?}",
            step.verdict
        );
        return Ok(());
    }
    let data = reply.and_then(|reply| reply.data);
    let data = data.ok_or("an audit got no page")?;
    let page: AuditPage = read(data.text().as_bytes());
    let limit = asked.limit.map_or(USUAL_PAGE, |limit| limit as usize);
    let shown = &found[..found.len().min(limit)];
    for (told, (id, approval)) in page.approvals.iter().zip(shown) {
        ensure!(
            is_told(told, id, approval),
            "{id} is {approval:?}, and an audit shows {told:?}"
        );
    }
    ensure!(
        page.approvals.len() == shown.len() && page.cursor.is_some() == (found.len() > limit),
        "{asked:?} shows {page:?}, expected {shown:?}"
    );
    let count = page.approvals.len() as u64;
    model.tally.audited += count;
    Ok(())
}

fn matching<'a>(
    model: &'a Model,
    room: &Room,
    asked: &AuditQuery,
) -> Vec<(&'a ApprovalId, &'a Approval)> {
    let here = model.approvals.iter().filter(|((at, _), _)| at == room);
    let mut found: Vec<_> = here
        .map(|((_, id), approval)| (id, approval))
        .filter(|(id, approval)| match &asked.approval {
            Some(named) => named == *id,
            None => {
                asked.state.is_none_or(|state| approval.state() == state)
                    && asked.since.is_none_or(|since| approval.asked_at >= since)
                    && asked.until.is_none_or(|until| approval.asked_at < until)
            }
        })
        .collect();
    found.sort_by_key(|(id, approval)| (approval.asked_at, (*id).clone()));
    found
}

fn is_told(told: &AuditedApproval, id: &ApprovalId, approval: &Approval) -> bool {
    let decision = approval.decisions.first();
    let plain = |act| match act {
        AuditAct::Edited => AuditAct::Approved,
        other => other,
    };
    let trail = told.trail.iter();
    let trail: Vec<_> = trail
        .map(|entry| (entry.at, entry.who.clone(), plain(entry.act)))
        .collect();
    // Who decided what the gateway asked for is told to nobody else, in whatever order.
    let is_any_order = approval.holds_back.is_some();
    let sorted = |by: &[Agent]| by.iter().cloned().collect::<BTreeSet<_>>();
    let same = |one: &[Agent], other: &[Agent]| {
        one == other || (is_any_order && sorted(one) == sorted(other))
    };
    told.id == *id
        && told.requester == approval.requester
        && told.action == approval.request.action
        && told.state == approval.state()
        && approval.digests.contains(&told.digest)
        && told.approvers == approval.approvers
        && told.quorum == approval.quorum
        && told.edited == approval.edited
        && told.requested_at == approval.asked_at
        && told.expires_at == approval.expires_at
        && told.decided_at == decision.map(|decision| decision.decided_at)
        && decision.is_none_or(|decision| same(&told.by, &decision.by))
        && trail == approval.trail
}

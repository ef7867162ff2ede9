//! Approve: nothing but enough clear words of the right people is an approval.

use bytes::Bytes;
use hallward::engine::{Directed, DirectedKind, Effect, Input};
use hallward::wire::approve::{
    ApprovalRequest, CancelApproval, Decide, Decision, OnTimeout, PendingApproval, Verdict,
};
use hallward::wire::json;
use hallward::wire::name::{Agent, ApprovalId, Room};
use hallward::wire::reply::Code;
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::agents::Participant;
use super::super::durable::{Durable, ROOT};
use super::super::history::{Step, plain_payload, read};
use super::super::model::Model;
use super::super::model::approvals::Approval;
use super::replies::only_who_waits_for_all_it_may_is_refused;
use super::{Check, ensure, mail};

/// Approve: a well-formed request becomes pending; approval by time-out is refused where the room
/// does not allow it.
pub(super) fn requests(model: &Model, step: &Step) -> Check {
    let command = step.command().expect("a request");
    let Ok(request) = json::decode::<ApprovalRequest>(&command.payload) else {
        ensure!(
            step.refusal() == Some(Code::Malformed),
            "what is no request got {:?}",
            step.verdict
        );
        return Ok(());
    };
    // Nobody but the requester is nobody to escalate to.
    let alone = |one: &String| *one == command.from.as_str();
    let escalates = request.on_timeout == Some(OnTimeout::Escalate);
    let in_vain = escalates && request.escalate_to.iter().all(alone);
    let dares = request.on_timeout == Some(OnTimeout::Approve);
    match step.refusal() {
        None => Ok(()),
        Some(Code::Forbidden | Code::Invalid) if dares => Ok(()),
        Some(Code::Invalid) if in_vain => Ok(()),
        Some(Code::TooMany) => only_who_waits_for_all_it_may_is_refused(model, step, &command.from),
        Some(code) => {
            // More approvals than approvers can never come together: refusing that is sound.
            let hopeless = !request.approvers.is_empty()
                && !request.approvers.iter().any(|one| one.starts_with("role:"))
                && request.quorum.unwrap_or(1) as usize > eligible(&request, &command.from);
            ensure!(
                hopeless && code == Code::Invalid,
                "{request:?} was refused with {code:?}"
            );
            Ok(())
        }
    }
}

fn eligible(request: &ApprovalRequest, requester: &Agent) -> usize {
    let others = request.approvers.iter();
    others.filter(|one| *one != requester.as_str()).count()
}

/// Approve: the requester may not decide (403), nor may who was not asked (403); another digest is
/// 409, what is decided is 409, what is unknown 404; everybody else's word counts.
pub(super) fn votes(model: &Model, step: &Step, room: &Room, me: &Agent, id: &ApprovalId) -> Check {
    let command = step.command().expect("a vote");
    let vote: Decide = read(&command.payload);
    let Some(approval) = model.approval(room, id) else {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "a vote on nothing got {:?}",
            step.verdict
        );
        return Ok(());
    };
    let stale = |digest: &String| !approval.digests.contains(digest);
    let reasons = [
        (*me == approval.requester, Code::Forbidden),
        (!may_decide(model, room, me, approval), Code::Forbidden),
        (vote.digest.as_ref().is_some_and(stale), Code::Conflict),
        (!approval.is_open(), Code::Conflict),
        (
            approval.approvals.contains(me) && vote.decision == "approve",
            Code::Conflict,
        ),
    ];
    let mut allowed: Vec<Option<Code>> = reasons
        .iter()
        .filter(|(applies, _)| *applies)
        .map(|(_, code)| Some(*code))
        .collect();
    if reasons[..4].iter().all(|(applies, _)| !applies) {
        allowed.push(None);
    }
    if vote.decision == "defer" {
        // Not later than it is, perhaps.
        let until = step.now + vote.defer_ms.unwrap_or(approval.timeout_ms);
        if until <= approval.expires_at {
            allowed.retain(Option::is_some);
            allowed.push(Some(Code::Invalid));
        }
    }
    ensure!(
        allowed.contains(&step.refusal()),
        "{me} voted on {approval:?} and got {:?}, expected one of {allowed:?}",
        step.verdict
    );
    Ok(())
}

fn may_decide(model: &Model, room: &Room, me: &Agent, approval: &Approval) -> bool {
    let member = model.people.member_of(room, me);
    let role = member.and_then(|member| member.announcement.as_ref()?.role.clone());
    let named = |one: &String| match one.strip_prefix("role:") {
        Some(name) => role.as_deref() == Some(name),
        None => one == me.as_str(),
    };
    approval.approvers.is_empty() || approval.approvers.iter().any(named)
}

/// Approve: the requester alone takes a request back, while it is open.
pub(super) fn cancels(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a cancel");
    let Ok(cancel) = json::decode::<CancelApproval>(&command.payload) else {
        return Ok(());
    };
    let expected = match model.approval(room, &cancel.approval) {
        None => Some(Code::NotFound),
        Some(approval) if approval.requester != command.from => Some(Code::Forbidden),
        Some(approval) if !approval.is_open() => Some(Code::Conflict),
        Some(_) => None,
    };
    ensure!(
        step.refusal() == expected,
        "{command:?} got {:?}, expected {expected:?}",
        step.verdict
    );
    Ok(())
}

/// Approve: others are asked once, and only when the time of the first is over, where the request
/// says so.
pub(super) fn escalations(model: &mut Model, step: &Step) -> Check {
    for effect in &step.effects {
        let Effect::Event(event) = effect else {
            continue;
        };
        if event.what != "approve.escalated" {
            continue;
        }
        let key = ApprovalId::new(&event.subject).map(|id| (event.room.clone(), id));
        let approval = key.ok().and_then(|key| model.approvals.get_mut(&key));
        let Some(approval) = approval else {
            return Err(format!("{event:?} is of nothing that was asked"));
        };
        ensure!(
            approval.request.on_timeout == Some(OnTimeout::Escalate)
                && !approval.escalated
                && approval.is_open()
                && approval.expires_at <= step.now,
            "{approval:?} was escalated at {}",
            step.now
        );
        approval.escalate(step.now);
        model.tally.escalated += 1;
    }
    Ok(())
}

/// Approve: what is pending says what is asked, with the digest of just that.
pub(super) fn pending(
    model: &Model,
    step: &Step,
    room: &Room,
    id: &ApprovalId,
    payload: Option<&Bytes>,
) -> Check {
    let Some(payload) = payload else {
        let is_known = model.approval(room, id).is_some();
        ensure!(is_known, "{id} is decided and was never asked for");
        return Ok(());
    };
    let pending: PendingApproval = read(payload);
    let by_the_gateway = match model.approval(room, id) {
        None => model.asked_by_the_gateway(step.now, room, &pending),
        Some(_) => None,
    };
    let Some(approval) = model.approval(room, id).or(by_the_gateway.as_ref()) else {
        return Err(format!("nobody asked for {pending:?}"));
    };
    ensure!(approval.is_open(), "{id} is decided and pending again");
    let said: Vec<_> = approval.approvals.iter().collect();
    let mut shown: Vec<_> = pending.approved_by.iter().collect();
    shown.sort();
    ensure!(
        pending.id == *id
            && pending.requester == approval.requester
            && pending.action == approval.request.action
            && pending.task == approval.request.task
            && pending.call == approval.request.call
            && model.shows(room, &pending.content, &approval.content)
            && pending.approvers == approval.approvers
            && pending.escalated == approval.escalated
            && pending.quorum == approval.quorum
            && pending.expires_at == approval.expires_at
            && approval.digests.contains(&pending.digest)
            && shown == said,
        "asked {approval:?}, pending {pending:?}"
    );
    Ok(())
}

/// Approve: one decision per approval, to its requester; approved only by a quorum of clear words,
/// never by silence; refused by somebody's word or by time.
pub(super) fn decisions(model: &Model, step: &Step, directed: &Directed, id: &ApprovalId) -> Check {
    let decision: Decision = read(&directed.payload);
    let Some(approval) = model.approval(&directed.topic.room, id) else {
        return Err(format!("{id} is decided and was never asked for"));
    };
    ensure!(
        approval.holds_back.is_none(),
        "what comes of it tells, and not {decision:?}"
    );
    ensure!(
        approval.is_open(),
        "{id} is decided again: {:?}, then {decision:?}",
        approval.decisions
    );
    let topic = Topic::ApproveDecision {
        requester: approval.requester.clone(),
    };
    ensure!(
        directed.to == approval.requester && directed.topic.topic == topic && decision.id == *id,
        "{} asked, {} is told {decision:?}",
        approval.requester,
        directed.to
    );
    let cancelled = approval.cancelled || model.closed.contains_key(&directed.topic.room);
    let quorum = approval.approvals.len() >= approval.quorum as usize;
    let expired = step.runs_timers() && approval.expires_at <= step.now;
    let reason = match (decision.approved, decision.timed_out) {
        (true, true) => false,
        (true, false) => quorum && !approval.objected,
        (false, true) => {
            let escalates = approval.request.on_timeout == Some(OnTimeout::Escalate);
            expired && decision.by.is_empty() && approval.escalated == escalates
        }
        (false, false) => approval.objected || cancelled,
    };
    ensure!(reason, "{approval:?} at {} became {decision:?}", step.now);
    ensure!(
        decision.approved == (decision.decision == Verdict::Approve)
            && decision.decided_at == step.now
            && decision.cancelled == cancelled
            && decision.escalated == approval.escalated
            && (approval.request.correlation_id.is_none()
                || decision.correlation_id == approval.request.correlation_id),
        "a decision that contradicts itself: {decision:?}"
    );
    if decision.approved {
        let mut by: Vec<_> = decision.by.iter().collect();
        by.sort();
        let said: Vec<_> = approval.approvals.iter().collect();
        ensure!(by == said, "approved by {said:?}, says {decision:?}");
        content_is_what_was_approved(model, approval, &decision)?;
    }
    Ok(())
}

fn content_is_what_was_approved(model: &Model, approval: &Approval, decision: &Decision) -> Check {
    let encodings = &model.encodings;
    let same = encodings.same(&approval.requester, &decision.content, &approval.content);
    ensure!(
        same && decision.edited == approval.edited,
        "{approval:?} was approved as {decision:?}"
    );
    Ok(())
}

/// Approve: what is decided is pending no longer.
pub(super) fn decisions_clear_what_was_pending(model: &Model, step: &Step) -> Check {
    for directed in step.directed() {
        if let DirectedKind::Decision(id) = &directed.class {
            let approval = model.approval(&directed.topic.room, id);
            ensure!(
                approval.is_some_and(|approval| approval.pending.is_none()),
                "{id} is decided and still pending"
            );
        }
    }
    Ok(())
}

/// Approve: a quorum decides at once, and so does anything but a clear approve.
pub(super) fn votes_that_suffice_decide(model: &Model, step: &Step) -> Check {
    let Some(Input::Command(command)) = step.input() else {
        return Ok(());
    };
    let Topic::ApproveDecide { id, .. } = &command.topic.topic else {
        return Ok(());
    };
    if let Some(approval) = model.approval(&command.topic.room, id) {
        let votes = approval.approvals.len() >= approval.quorum as usize;
        let enough = votes || approval.objected || approval.cancelled;
        ensure!(
            !enough || !approval.is_open(),
            "{approval:?} has what it takes and is open"
        );
    }
    Ok(())
}

/// Approve: what is retained as pending is what is open, neither more nor less.
pub(super) fn retained_pending_is_what_is_open(model: &Model, durable: &Durable) -> Check {
    for ((room, id), approval) in &model.approvals {
        let topic = Topic::ApprovePending { id: id.clone() };
        let topic = RoomTopic::new(room.clone(), topic).format(ROOT);
        let retained = durable.retained.get(&topic).map(plain_payload);
        ensure!(
            retained.is_some() == approval.is_open() && retained == approval.pending,
            "{topic}: retained {retained:?}, open: {}",
            approval.is_open()
        );
    }
    Ok(())
}

/// Approve: time runs out for what nobody decides.
pub(super) fn silence_has_ended(model: &Model) -> Check {
    for ((_, id), approval) in &model.approvals {
        ensure!(
            !approval.is_open() || approval.expires_at > model.ticked_at,
            "{id} is open at {} past its time: {approval:?}",
            model.ticked_at
        );
    }
    Ok(())
}

/// Approve: in the end every request was decided.
pub(super) fn every_approval_was_decided(model: &Model) -> Check {
    for ((_, id), approval) in &model.approvals {
        ensure!(!approval.is_open(), "{id} was never decided: {approval:?}");
    }
    Ok(())
}

/// Approve: the requester has read one decision of each of its requests.
pub(super) fn decisions_were_read_once(
    model: &Model,
    one: &Participant,
    durable: &Durable,
) -> Check {
    let decided = |letter: &super::super::durable::Letter| match &letter.class {
        Some(DirectedKind::Decision(id)) => Some((letter.topic.room.clone(), id.clone())),
        _ => None,
    };
    let mut told: Vec<_> = mail::told(one, durable).filter_map(decided).collect();
    let asked = model.approvals.iter();
    let asked = asked
        .filter(|(_, approval)| approval.requester == one.name && approval.holds_back.is_none());
    let mut expected: Vec<_> = asked.map(|(name, _)| name.clone()).collect();
    told.sort();
    expected.sort();
    ensure!(
        told == expected,
        "{} asked {expected:?} and was told {told:?}",
        one.name
    );
    Ok(())
}

//! Gates: nobody gets what is to be approved before just that was approved, and an approval of the
//! gateway's waits as long as what waits for it, and no longer.

use hallward::engine::Effect;
use hallward::wire::approve::PendingApproval;
use hallward::wire::handoff::{ResultStatus, TaskResult};
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, Room};
use hallward::wire::observe::Event;
use hallward::wire::tools::ToolResult;
use hallward::wire::topic::Topic;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::approvals::digests;
use super::super::model::gates::{Clearance, DECIDED, HeldBack, asked_before, is_timed_out};
use super::super::model::tasks::TaskModel;
use super::super::model::tools::{CallModel, same_contract};
use super::{Check, ensure};

/// The code of what was not approved.
const NOT_APPROVED: &str = "not-approved";

/// Gates: what the gateway asked for ends as any approval does, by a quorum of clear words, by a
/// refusal, by time; or because what waits for it is over.
pub(super) fn decisions(model: &Model, step: &Step, event: &Event) -> Check {
    let Some((id, approval)) = asked_before(model, event) else {
        return Ok(());
    };
    let Some(held) = &approval.holds_back else {
        return Ok(());
    };
    let clearance = model.clearance(&event.room, held);
    ensure!(
        clearance == Some(&Clearance::Awaited(id.clone())),
        "{id} is decided for {held:?}, which has {clearance:?}"
    );
    let command = step.command().map(|command| &command.topic.topic);
    let is_voted = matches!(command, Some(Topic::ApproveDecide { id: voted, .. }) if *voted == id);
    let is_over = is_over(model, &event.room, held);
    let right = match event.to.as_deref() {
        Some("approved") => {
            let quorum = approval.approvals.len() >= approval.quorum as usize;
            is_voted && quorum && !approval.objected && !is_over
        }
        Some("rejected") if is_timed_out(event) => {
            step.runs_timers() && approval.expires_at <= step.now
        }
        Some("rejected") => is_voted && approval.objected,
        Some("cancelled") => {
            approval.cancelled || is_over || model.closed.contains_key(&event.room)
        }
        _ => false,
    };
    ensure!(
        right,
        "{approval:?} at {} became {event:?} by {command:?}",
        step.now
    );
    Ok(())
}

fn is_over(model: &Model, room: &Room, held: &HeldBack) -> bool {
    match held {
        HeldBack::Task(id) => model.tasks.find(room, id).is_none_or(TaskModel::is_final),
        HeldBack::Call(id) => !model.tools.is_open(room, id),
    }
}

/// Gates: who gets something gets what was approved, to its digest, and nothing that was not.
pub(super) fn what_is_handed_over_was_approved(
    model: &Model,
    room: &Room,
    clearance: &Clearance,
    content: Option<&Json>,
) -> Check {
    ensure!(
        !clearance.holds_back(),
        "{content:?} is handed over, and has {clearance:?}"
    );
    let Clearance::Given(id) = clearance else {
        return Ok(());
    };
    let approval = model.approval(room, id);
    let is_this = approval.is_some_and(|approval| {
        let decision = approval.decisions.first();
        let digests = digests(&approval.request.action, content);
        decision.is_some_and(|decision| decision.approved)
            && digests
                .iter()
                .any(|digest| approval.digests.contains(digest))
    });
    ensure!(is_this, "{content:?} is handed over, by {approval:?}");
    Ok(())
}

/// Gates: a call runs as what it was approved as: its tool is still what it was, and takes the
/// arguments.
pub(super) fn what_runs_is_what_was_called(model: &Model, room: &Room, call: &CallModel) -> Check {
    what_is_handed_over_was_approved(model, room, &call.clearance, Some(&call.arguments))?;
    if call.provider.is_some() || call.clearance == Clearance::NotNeeded {
        return Ok(());
    }
    let tool = model.tools.registry.get(&(room.clone(), call.tool.clone()));
    ensure!(
        tool.is_some_and(|tool| same_contract(&tool.said, &call.said)) && fits(call),
        "{call:?} runs, and the tool is {tool:?}"
    );
    Ok(())
}

/// Whether a call's arguments are what all tools of a run take.
fn fits(call: &CallModel) -> bool {
    let arguments: serde_json::Value = read(call.arguments.text().as_bytes());
    arguments["text"].is_string()
}

/// Gates: an approved call that nobody gets ends because its tool means something else now …
pub(super) fn has_changed(model: &Model, room: &Room, call: &CallModel) -> bool {
    let tool = model.tools.registry.get(&(room.clone(), call.tool.clone()));
    is_approved_and_with_nobody(call)
        && tool.is_some_and(|tool| !same_contract(&tool.said, &call.said))
}

/// … or because nobody can take it.
pub(super) fn cannot_run(model: &Model, room: &Room, call: &CallModel) -> bool {
    let tool = model.tools.registry.get(&(room.clone(), call.tool.clone()));
    let mut registered = tool.iter().flat_map(|tool| &tool.registered);
    let most = model.rules.calls_per_provider;
    let somebody = registered.any(|agent| {
        let people = &model.people;
        people.provides(room, agent, &call.tool, true) && model.tools.load(room, agent) < most
    });
    is_approved_and_with_nobody(call) && !(somebody && fits(call))
}

fn is_approved_and_with_nobody(call: &CallModel) -> bool {
    matches!(call.clearance, Clearance::Given(_)) && call.provider.is_none()
}

/// Gates: a task that is not approved is dead, and says so; no other says so.
pub(super) fn results_say_so(task: &TaskModel, result: &TaskResult) -> Check {
    if !result.is_final {
        return Ok(());
    }
    let code = result.error.as_ref().map(|error| &error.code);
    let says_so = is_not_approved(code) && result.status == ResultStatus::Dead;
    ensure!(
        is_refused(&task.clearance) == says_so,
        "{task:?} ends as {result:?}"
    );
    Ok(())
}

/// Gates: the same of a call.
pub(super) fn returns_say_so(call: &CallModel, result: &ToolResult) -> Check {
    if !result.is_final {
        return Ok(());
    }
    let code = result.error.as_ref().map(|error| &error.code);
    ensure!(
        is_refused(&call.clearance) == is_not_approved(code),
        "{call:?} ends as {result:?}"
    );
    Ok(())
}

fn is_refused(clearance: &Clearance) -> bool {
    matches!(clearance, Clearance::Refused(_))
}

/// Whether an error's code says that it was not approved.
fn is_not_approved(code: Option<&Option<String>>) -> bool {
    code.and_then(Option::as_deref) == Some(NOT_APPROVED)
}

/// Gates: an approval of the gateway's is open, and shown, as long as its task or its call waits
/// for it; and what is decided has gone on or ended.
pub(super) fn who_waits_has_been_asked_for(model: &Model, step: &Step) -> Check {
    let is_concerned = |event: &Event| {
        let what = event.what.as_str();
        ["approve.", "handoff.", "tools."]
            .iter()
            .any(|one| what.starts_with(one))
    };
    if !step.events().any(is_concerned) {
        return Ok(());
    }
    for ((room, id), task) in model.tasks.live() {
        let is_right = match &task.clearance {
            Clearance::NotNeeded | Clearance::Given(_) => true,
            Clearance::Awaited(approval) => {
                task.state == "waiting" && is_open(model, room, approval)
            }
            Clearance::Due | Clearance::Refused(_) => false,
        };
        ensure!(is_right, "{id} has not ended: {task:?}");
    }
    for name in &model.tools.open {
        let call = &model.tools.calls[name];
        let is_right = match &call.clearance {
            Clearance::NotNeeded | Clearance::Given(_) => call.provider.is_some(),
            Clearance::Awaited(approval) => {
                call.provider.is_none() && is_open(model, &name.0, approval)
            }
            Clearance::Due | Clearance::Refused(_) => false,
        };
        ensure!(is_right, "{name:?} is not over: {call:?}");
    }
    let open = model
        .approvals
        .iter()
        .filter(|(_, approval)| approval.is_open());
    for ((room, id), approval) in open {
        let Some(held) = &approval.holds_back else {
            continue;
        };
        let awaited = model.clearance(room, held).and_then(Clearance::awaited);
        ensure!(
            awaited == Some(id) && !is_over(model, room, held),
            "{id} is open, and {held:?} waits for {awaited:?}"
        );
    }
    Ok(())
}

fn is_open(model: &Model, room: &Room, id: &hallward::wire::name::ApprovalId) -> bool {
    let approval = model.approval(room, id);
    approval.is_some_and(|approval| approval.is_open() && approval.pending.is_some())
}

/// Gates: what the gateway asked for is pending no longer once it is decided.
pub(super) fn what_is_decided_is_cleared(model: &Model, step: &Step) -> Check {
    for event in step.events().filter(|event| event.what == DECIDED) {
        let id = hallward::wire::name::ApprovalId::new(&event.subject);
        let approval = id.ok().and_then(|id| model.approval(&event.room, &id));
        ensure!(
            approval.is_some_and(|approval| !approval.is_open() && approval.pending.is_none()),
            "{event:?}, and it is {approval:?}"
        );
    }
    Ok(())
}

/// Gates: the reply to a dispatch or a call names the approval that is asked for before it, and
/// none where there is none.
pub(super) fn replies_name_what_is_asked_for(step: &Step) -> Check {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return Ok(());
    };
    if !matches!(
        command.topic.topic,
        Topic::HandoffDispatch { .. } | Topic::ToolsCall { .. }
    ) {
        return Ok(());
    }
    let asked = step.effects.iter().find_map(|effect| match effect {
        Effect::Retain {
            topic,
            payload: Some(payload),
        } if matches!(topic.topic, Topic::ApprovePending { .. }) => {
            Some(read::<PendingApproval>(payload))
        }
        _ => None,
    });
    for (_, reply) in step.replies_to(&command.from) {
        let is_it = match &asked {
            None => reply.approval.is_none(),
            Some(asked) => {
                let what = (&reply.approval, &reply.task, &reply.call);
                what == (&Some(asked.id.clone()), &asked.task, &asked.call)
            }
        };
        ensure!(is_it, "{reply:?}, and {asked:?} is pending");
    }
    Ok(())
}

/// Gates: whoever has a call before anybody has it is the gateway.
pub(super) fn is_with(call: &CallModel, provider: &Agent) -> bool {
    call.told_provider() == *provider
}

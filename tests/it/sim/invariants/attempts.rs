//! Handoff, attempt by attempt: who gets a task, how long it keeps it, and how the task moves on.

use std::collections::BTreeSet;

use hallward::engine::{AssignmentKey, Directed, DirectedKind, Effect, Input};
use hallward::wire::cbor;
use hallward::wire::fit::packet_bytes;
use hallward::wire::handoff::{Assignment, Cancel};
use hallward::wire::message::Qos;
use hallward::wire::name::{Agent, Capability, Room, TaskId};
use hallward::wire::observe::Event;
use hallward::wire::presence::Encoding;
use hallward::wire::topic::Topic;

use super::super::durable::Durable;
use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::asks::{ANSWERED, UNANSWERED};
use super::super::model::gates::Clearance;
use super::super::model::people::Link;
use super::super::model::tasks::{GATHERED, REDRIVEN, TaskModel, needs};
use super::{Check, ensure, gates};

/// Handoff: the states and the ways between them; every change says where it comes from.
pub(super) fn transitions_are_legal(model: &Model, step: &Step, event: &Event) -> Check {
    if !event.what.starts_with("handoff.") || event.what == GATHERED {
        return Ok(());
    }
    let id = TaskId::new(&event.subject).map_err(|error| error.to_string())?;
    let Some(task) = model.tasks.find(&event.room, &id) else {
        ensure!(
            model.tasks.has_nameless(),
            "an event about a task that nobody dispatched: {event:?}"
        );
        return Ok(());
    };
    let Some(to) = &event.to else {
        return Ok(());
    };
    let from = task.state.as_str();
    the_way_is_legal(event, &id, from, to)?;
    match to.as_str() {
        "waiting" | "failed" | "dead" if from == "asking" => {
            let said = task.asked.as_ref().is_some_and(|ask| ask.given_back);
            ensure!(said, "{id} asks, and ends for no reason: {task:?}");
            Ok(())
        }
        "assigned" | "queued" if from == "asking" => waits_end_for_a_reason(step, event, task),
        "waiting" | "queued" | "failed" | "dead" if matches!(from, "assigned" | "running") => {
            let detail = event.detail.as_ref().map_or("", |detail| detail.text());
            let too_large = detail.contains("larger than its worker takes");
            attempts_end_for_a_reason(model, step, &id, task, too_large)
        }
        "dead" if from == "waiting" => {
            let refused = matches!(task.clearance, Clearance::Refused(_));
            let doomed = model.tasks.doomed_at(&event.room, task).is_some();
            ensure!(
                refused || (step.runs_timers() && doomed),
                "{id} dies though nothing that it depends on has failed: {task:?}"
            );
            Ok(())
        }
        "queued" if from == "waiting" => {
            ensure!(
                !task.clearance.holds_back(),
                "{id} queues and is not approved: {task:?}"
            );
            ensure!(
                model.tasks.is_free_to_go(&event.room, task),
                "{id} queues and depends on what has not succeeded: {task:?}"
            );
            ensure!(
                task.ready_at <= step.now,
                "{id} queues at {} and is not due before {}",
                step.now,
                task.ready_at
            );
            Ok(())
        }
        "expired" => {
            ensure!(
                step.runs_timers() && task.deadline.is_some_and(|at| at <= step.now),
                "{id} expires at {} before its deadline {:?}",
                step.now,
                task.deadline
            );
            Ok(())
        }
        "cancelled" => cancelled_by_somebody(model, step, &event.room, &id, task),
        "succeeded" => {
            let given_back = task.hold.as_ref().is_some_and(|hold| hold.given_back);
            let without = task.asked.as_ref().is_some_and(|ask| ask.given_back);
            ensure!(
                given_back || without || task.done_late,
                "{id} succeeds though its worker did not say so"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether one state may follow the other, and the event says the first.
fn the_way_is_legal(event: &Event, id: &TaskId, from: &str, to: &str) -> Check {
    if let Some(said) = &event.from {
        ensure!(said == from, "{id} was {from:?}: {event:?}");
    }
    let legal = match from {
        "" => matches!(to, "waiting" | "queued"),
        "waiting" => matches!(
            to,
            "queued" | "expired" | "cancelled" | "dead" | "succeeded"
        ),
        "dead" if event.what == REDRIVEN => matches!(to, "waiting" | "queued"),
        "queued" => matches!(to, "assigned" | "expired" | "cancelled" | "succeeded"),
        "assigned" | "running" => to != from || to == "running",
        "asking" => to != "running",
        "failed" => matches!(to, "waiting" | "queued" | "dead"),
        _ => false,
    };
    ensure!(legal, "{id} goes from {from:?} to {to:?}");
    Ok(())
}

/// Handoff: a wait ends with an answer, or when its time is over.
fn waits_end_for_a_reason(step: &Step, event: &Event, task: &TaskModel) -> Check {
    let Some(ask) = &task.asked else {
        return Err(format!("nobody asks: {event:?}"));
    };
    let is_answer = step
        .command()
        .is_some_and(|command| matches!(command.topic.topic, Topic::HandoffAnswer { .. }));
    let in_time = match event.what.as_str() {
        ANSWERED => is_answer,
        UNANSWERED => step.runs_timers() && ask.until <= step.now,
        _ => false,
    };
    ensure!(in_time, "{event:?} at {}, asked {ask:?}", step.now);
    Ok(())
}

/// Handoff: an attempt ends by its worker's word, by a lease that ran out, or by a worker gone past
/// the grace; a worker that is away for less keeps its task.
fn attempts_end_for_a_reason(
    model: &Model,
    step: &Step,
    id: &TaskId,
    task: &TaskModel,
    too_large: bool,
) -> Check {
    let Some(hold) = &task.hold else {
        return Err(format!("{id} is {} and nobody holds it", task.state));
    };
    let grace = model.rules.grace_ms;
    let people = &model.people;
    let gone = people.is_past(&hold.worker, grace, step.now);
    let in_time = step.runs_timers() && (hold.lease_low <= step.now || gone);
    let ended =
        matches!(step.input(), Some(Input::SessionEnded { agent }) if *agent == hold.worker);
    // Before it announced its limit, a worker may have got what is beyond it; what it is at it
    // keeps.
    let too_large = too_large && task.state == "assigned" && !step.runs_timers();
    let is_sent = matches!(step.input(), Some(Input::Sent { .. }));
    let most = model.rules.max_deliveries;
    let comes_again = matches!(
        step.input(),
        Some(Input::Connected { .. } | Input::Offered { .. })
    );
    let too_often = (is_sent && hold.deliveries > most) || (comes_again && hold.deliveries >= most);
    ensure!(
        hold.given_back || in_time || ended || too_large || too_often,
        "{id} is taken from {} at {} for no reason: {task:?}, {:?}",
        hold.worker,
        step.now,
        people.link(&hold.worker)
    );
    Ok(())
}

fn cancelled_by_somebody(
    model: &Model,
    step: &Step,
    room: &Room,
    id: &TaskId,
    task: &TaskModel,
) -> Check {
    let cancelled = step.command().is_some_and(|command| {
        if !matches!(command.topic.topic, Topic::HandoffCancel { .. }) {
            return false;
        }
        let named = read::<Cancel>(&command.payload).task;
        named.is_none_or(|named| {
            named == *id || model.tasks.is_below(&command.topic.room, task, &named)
        })
    });
    ensure!(
        cancelled || model.closed.contains_key(room),
        "{id} is cancelled by nobody"
    );
    Ok(())
}

/// Handoff: an assignment goes to one worker, online, with all the capabilities and free capacity,
/// under an attempt of its own; the same attempt goes only to who has it already.
pub(super) fn assignments(
    model: &Model,
    step: &Step,
    directed: &Directed,
    key: &AssignmentKey,
) -> Check {
    let assignment: Assignment = read(&directed.payload);
    let worker = &directed.to;
    let Some(task) = model.tasks.find(&key.room, &key.task) else {
        return Err(format!("an assignment of an unknown task: {assignment:?}"));
    };
    ensure!(
        assignment.task == key.task && assignment.attempt == key.attempt,
        "{key:?} carries {assignment:?}"
    );
    let payload = assignment.payload.as_ref();
    gates::what_is_handed_over_was_approved(model, &key.room, &task.clearance, payload)?;
    assignment_says_what_was_dispatched(model, worker, task, &assignment)?;
    assignment_says_what_was_said_last(model, &key.room, worker, task, &assignment)?;
    if let Some(ask) = &task.asked {
        // It goes on with who asked, wherever that is now.
        ensure!(
            ask.worker == *worker && key.attempt == task.attempt,
            "{worker} gets attempt {} of what {ask:?} asks",
            key.attempt
        );
        return assignment_is_not_too_large(model, directed);
    }
    ensure!(
        model.people.is_online(worker),
        "{worker} gets {} and is not online",
        key.task
    );
    assignment_can_be_received(model, task, directed)?;
    assignment_is_not_too_large(model, directed)?;
    if let Some(hold) = &task.hold {
        ensure!(
            hold.worker == *worker && key.attempt == task.attempt,
            "{worker} gets attempt {} of {} while {} holds attempt {}",
            key.attempt,
            key.task,
            hold.worker,
            task.attempt
        );
        return Ok(());
    }
    ensure!(!task.is_final(), "{} is over and assigned", key.task);
    ensure!(
        key.attempt == task.attempt + 1 && task.failures < task.max_attempts,
        "attempt {} follows {}, of which {} of {} failed",
        key.attempt,
        task.attempt,
        task.failures,
        task.max_attempts
    );
    ensure!(
        task.ready_at <= step.now,
        "{} is assigned at {} and not due before {}",
        key.task,
        step.now,
        task.ready_at
    );
    let is_shunned = task.released.as_ref();
    let is_shunned = is_shunned.is_some_and(|(by, until)| by == worker && step.now < *until);
    ensure!(
        !is_shunned,
        "{worker} gave {} back and has it again at {}: {task:?}",
        key.task,
        step.now
    );
    ensure!(
        task.deadline.is_none_or(|at| at > model.ticked_at),
        "{} is assigned after its deadline",
        key.task
    );
    worker_may_take(model, key, worker, task)
}

fn worker_may_take(model: &Model, key: &AssignmentKey, worker: &Agent, task: &TaskModel) -> Check {
    let in_flight = model.tasks.in_flight(&key.room, worker);
    let member = model.people.member_of(&key.room, worker);
    let may_take = member.is_some_and(|member| {
        let in_reach = !member.is_draining() && in_flight < member.capacity();
        task.suits(member) && (in_reach || member.unsure)
    });
    ensure!(
        may_take,
        "{worker} holds {in_flight}, is {:?} and {:?}, and gets {:?}",
        model.people.link(worker),
        member,
        task.spec
    );
    Ok(())
}

/// Ground rule 4: what the dispatcher said is carried through unchanged.
fn assignment_says_what_was_dispatched(
    model: &Model,
    worker: &Agent,
    task: &TaskModel,
    assignment: &Assignment,
) -> Check {
    let spec = &task.spec;
    ensure!(
        model
            .encodings
            .same(worker, &assignment.payload, &spec.payload)
            && assignment.task_type == spec.task_type
            && assignment.priority == task.priority()
            && assignment.dispatcher == task.dispatcher
            && assignment.created_at == task.created_at
            && assignment.deadline == task.deadline
            && assignment.lease_ms == task.lease_ms
            && assignment.traceparent == spec.traceparent
            && (spec.correlation_id.is_none() || assignment.correlation_id == spec.correlation_id),
        "dispatched {task:?}, assigned {assignment:?}"
    );
    Ok(())
}

/// Handoff: what was said last of a task goes on, unless it makes the assignment too large.
fn assignment_says_what_was_said_last(
    model: &Model,
    room: &Room,
    worker: &Agent,
    task: &TaskModel,
    assignment: &Assignment,
) -> Check {
    let told = &assignment.last_progress;
    let member = model.people.member_of(room, worker);
    let is_small = member.is_some_and(|member| member.max_bytes().is_some());
    ensure!(
        model.encodings.same(worker, told, &task.progress) || (told.is_none() && is_small),
        "{:?} was said of {}, and {worker} is told {told:?}",
        task.progress,
        assignment.task
    );
    let (told, given) = (&assignment.answers, task.given());
    ensure!(
        model.encodings.same(worker, told, &given) || (told.is_empty() && is_small),
        "{given:?} was answered of {}, and {worker} is told {told:?}",
        assignment.task
    );
    Ok(())
}

/// Handoff: an assignment arrives on `handoff/work/{capability}` with a capability that the task
/// asks for, and one that the worker subscribed to if there is one: else it could not see it.
fn assignment_can_be_received(model: &Model, task: &TaskModel, directed: &Directed) -> Check {
    let Topic::HandoffWork { capability } = &directed.topic.topic else {
        return Err(format!("an assignment on {:?}", directed.topic));
    };
    let asked: BTreeSet<Capability> = needs(&task.spec)
        .into_iter()
        .chain(task.spec.any_of.clone())
        .collect();
    ensure!(
        asked.contains(capability),
        "asked for {asked:?}, sent on {capability}"
    );
    let member = model.people.member_of(&directed.topic.room, &directed.to);
    let received = member.is_some_and(|member| {
        member.works.contains(capability) || member.works.is_disjoint(&asked)
    });
    ensure!(
        received,
        "{} gets it on {capability} and listens elsewhere: {member:?}",
        directed.to
    );
    Ok(())
}

/// Presence: `maxBytes` is kept to, whatever else there is.
fn assignment_is_not_too_large(model: &Model, directed: &Directed) -> Check {
    let room = &directed.topic.room;
    let topic = directed.topic.format("rooms").len();
    let payload = match model.encodings.of(&directed.to) {
        Encoding::Json => directed.payload.len(),
        Encoding::Cbor => cbor::from_json(&directed.payload).len(),
    };
    let bytes = packet_bytes(topic, payload, Qos::AtLeastOnce);
    let member = model.people.member_of(room, &directed.to);
    let fits = member.is_none_or(|member| {
        let most = member.max_bytes().map_or(usize::MAX, |most| most as usize);
        member.unsure || bytes <= most
    });
    ensure!(fits, "{} gets {bytes} bytes: {member:?}", directed.to);
    Ok(())
}

/// Presence: what a worker cannot take goes to somebody else, unless it is at it already.
pub(super) fn what_is_too_large_goes_back(model: &Model, step: &Step) -> Check {
    let Some(Input::TooLarge {
        agent,
        class: DirectedKind::Assignment(key),
    }) = step.input()
    else {
        return Ok(());
    };
    let task = model.tasks.find(&key.room, &key.task);
    let keeps = task.is_some_and(|task| {
        let hold = task.hold.as_ref().filter(|_| task.attempt == key.attempt);
        hold.is_some_and(|hold| hold.worker == *agent) && task.state == "assigned"
    });
    ensure!(!keeps, "{agent} cannot take {key:?}, and has it: {task:?}");
    Ok(())
}

/// Handoff: only an assignment that is no longer true is taken back out of a mailbox.
pub(super) fn revocations_are_of_what_is_over(model: &Model, step: &Step) -> Check {
    for effect in &step.effects {
        let Effect::Revoke {
            agent,
            class: DirectedKind::Assignment(assignment),
        } = effect
        else {
            continue;
        };
        let task = model.tasks.find(&assignment.room, &assignment.task);
        let hold = task.and_then(|task| {
            let hold = task.hold.as_ref()?;
            (task.attempt == assignment.attempt).then_some(hold)
        });
        ensure!(
            hold.is_none_or(|hold| hold.worker != *agent),
            "{agent} holds {assignment:?} and loses the message"
        );
    }
    Ok(())
}

/// Handoff: no two workers hold the same task; what is assigned or running is held, nothing else
/// is.
pub(super) fn one_holder_and_no_overload(model: &Model) -> Check {
    for ((_, id), task) in model.tasks.live() {
        let active = matches!(task.state.as_str(), "assigned" | "running");
        ensure!(
            active == task.hold.is_some(),
            "{id} is {:?} and held by {:?}",
            task.state,
            task.hold
        );
    }
    Ok(())
}

/// Handoff: a lease, a grace, a delay and a deadline end when they end; no task is stuck past its
/// time.
pub(super) fn timers_have_fired(model: &Model) -> Check {
    let now = model.ticked_at;
    let grace = model.rules.grace_ms;
    for ((room, id), task) in model.tasks.live() {
        ensure!(
            task.deadline.is_none_or(|at| at > now),
            "{id} is past its deadline at {now}: {task:?}"
        );
        let free_to_go = model.tasks.is_free_to_go(room, task);
        let awaits = task.clearance.awaited().is_some();
        ensure!(
            task.state != "waiting" || task.due_by >= now || !free_to_go || awaits,
            "{id} waits at {now} though it is due: {task:?}"
        );
        // What comes too late fails with what has failed before.
        let doomed_at = model.tasks.doomed_at(room, task);
        let doomed_at = doomed_at.map(|at| at.max(task.created_at));
        ensure!(
            task.state != "waiting" || free_to_go || doomed_at.is_none_or(|at| at >= now),
            "{id} waits at {now} for what failed at {doomed_at:?}: {task:?}"
        );
        let Some(hold) = &task.hold else {
            continue;
        };
        ensure!(
            !model.people.is_past(&hold.worker, grace, now),
            "{} is gone for good at {now} and holds {id}: {task:?}",
            hold.worker
        );
        ensure!(
            hold.deliveries <= model.rules.max_deliveries,
            "{id} was sent to {} again and again: {task:?}",
            hold.worker
        );
        let away = matches!(model.people.link(&hold.worker), Link::Away { .. });
        ensure!(
            away || hold.lease_high > now,
            "{} is silent past its lease at {now} and holds {id}: {task:?}",
            hold.worker
        );
    }
    Ok(())
}

/// Handoff: an assignment that is no longer true does not wait in a mailbox.
pub(super) fn no_stale_assignment_waits(model: &Model, durable: &Durable) -> Check {
    for (agent, mailbox) in &durable.mailboxes {
        for key in mailbox.letters().filter_map(|letter| letter.assignment()) {
            let task = model.tasks.find(&key.room, &key.task);
            let hold = task.and_then(|task| {
                let hold = task.hold.as_ref()?;
                (task.attempt == key.attempt).then_some(hold)
            });
            ensure!(
                hold.is_some_and(|hold| hold.worker == *agent),
                "{key:?} waits for {agent}, who does not hold it: {task:?}"
            );
        }
    }
    Ok(())
}

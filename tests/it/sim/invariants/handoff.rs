//! Handoff, task by task: dispatch, assignment, update, the end.

use std::collections::BTreeSet;

use hallward::engine::{AssignmentKey, Class, Directed};
use hallward::wire::handoff::{
    Assignment, Cancel, GetTask, ResultStatus, Task, TaskResult, TaskView, Update, UpdateStatus,
};
use hallward::wire::json;
use hallward::wire::name::{Agent, Capability, Room, TaskId};
use hallward::wire::observe::Event;
use hallward::wire::reply::Code;
use hallward::wire::topic::Topic;

use super::super::agents::Participant;
use super::super::desk::Durable;
use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::people::Link;
use super::super::model::tasks::TaskModel;
use super::{Check, ensure};

/// Handoff: a well-formed task is taken, whether or not somebody can do it now; only `requireOnline` makes it 503, and only
/// if nobody capable is online.
pub(super) fn dispatches(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a dispatch");
    let Ok(spec) = json::decode::<Task>(&command.payload) else {
        ensure!(
            step.refusal() == Some(Code::Malformed),
            "what is no task got {:?}",
            step.verdict
        );
        return Ok(());
    };
    if let Some(id) = &spec.id
        && let Some(task) = model.tasks.find(room, id)
    {
        return Err(format!("{id} is known and no repeat: {task:?}"));
    }
    let capable = |draining_too: bool| {
        model.people.of_room(room).any(|(agent, member)| {
            let probe = probe(&spec);
            model.people.is_online(agent)
                && probe.suits(member)
                && (draining_too || !(member.is_draining() || member.unsure))
        })
    };
    match step.refusal() {
        None => {
            ensure!(
                !spec.require_online || capable(true),
                "nobody online can do {spec:?}, which requires it, but it was taken"
            );
            let reply = step.replies_to(&command.from).pop();
            let named = reply.and_then(|(_, reply)| reply.task);
            ensure!(
                spec.id.is_none() || named.is_none() || named == spec.id,
                "{:?} was taken as {named:?}",
                spec.id
            );
        }
        Some(code) => ensure!(
            code == Code::Unavailable && spec.require_online && !capable(false),
            "{spec:?} was refused with {code:?}"
        ),
    }
    Ok(())
}

fn probe(spec: &Task) -> TaskModel {
    TaskModel {
        order: 0,
        spec: spec.clone(),
        dispatcher: Agent::gateway(),
        created_at: 0,
        deadline: None,
        lease_ms: 0,
        max_attempts: 0,
        backoff: hallward::wire::handoff::Backoff {
            initial_ms: 0,
            factor: 1.0,
            max_ms: 0,
        },
        state: String::new(),
        attempt: 0,
        hold: None,
        last_worker: None,
        ready_at: 0,
        finals: Vec::new(),
    }
}

/// Handoff: `attempt` fences. An update counts if its writer holds the task under that attempt; an old attempt is 409, an
/// unknown task 404.
pub(super) fn updates(model: &Model, step: &Step, room: &Room, me: &Agent) -> Check {
    let command = step.command().expect("an update");
    let Ok(update) = json::decode::<Update>(&command.payload) else {
        ensure!(
            step.refusal() == Some(Code::Malformed),
            "what is no update got {:?}",
            step.verdict
        );
        return Ok(());
    };
    let Some(task) = model.tasks.find(room, &update.task) else {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "an update of an unknown task got {:?}",
            step.verdict
        );
        return Ok(());
    };
    let hold = task
        .hold
        .as_ref()
        .filter(|_| task.attempt == update.attempt);
    let hold = hold.filter(|hold| hold.worker == *me);
    match (hold, step.refusal()) {
        (None, None) => Err(format!(
            "{me} does not hold {:?} under attempt {}, but its update was taken",
            task, update.attempt
        )),
        (None, Some(Code::Conflict | Code::Forbidden)) => {
            ensure!(
                update.attempt >= task.attempt || step.refusal() == Some(Code::Conflict),
                "an old attempt got {:?}",
                step.verdict
            );
            Ok(())
        }
        (None, Some(code)) => Err(format!("{me} does not hold {task:?} and got {code:?}")),
        (Some(_), None) => Ok(()),
        (Some(hold), Some(code)) => {
            // Timers that are due may have ended the attempt just before.
            let overdue = step.overdue
                && (hold.lease_low <= step.now || task.deadline.is_some_and(|at| at <= step.now));
            ensure!(
                overdue && code == Code::Conflict,
                "{me} holds {task:?} at {} and got {code:?}",
                step.now
            );
            Ok(())
        }
    }
}

/// Handoff: what has not ended can be cancelled by its dispatcher; what is unknown is 404, what has ended 409.
pub(super) fn cancels(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a cancellation");
    let cancel: Cancel = read(&command.payload);
    let expected = match model.tasks.find(room, &cancel.task) {
        None => Some(Code::NotFound),
        Some(task) if task.is_final() => Some(Code::Conflict),
        Some(task) if task.deadline.is_some_and(|at| at <= step.now) => return Ok(()),
        Some(_) => None,
    };
    ensure!(
        step.refusal() == expected,
        "a cancellation of {} got {:?}, expected {expected:?}",
        cancel.task,
        step.verdict
    );
    Ok(())
}

/// Handoff: a cancelled task is over at once.
pub(super) fn cancelled_tasks_are_over(model: &Model, step: &Step) -> Check {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return Ok(());
    };
    if !matches!(command.topic.topic, Topic::HandoffCancel { .. }) {
        return Ok(());
    }
    let cancel: Cancel = read(&command.payload);
    let task = model.tasks.find(&command.topic.room, &cancel.task);
    ensure!(
        task.is_some_and(TaskModel::is_final),
        "cancelled and not over: {task:?}"
    );
    Ok(())
}

/// Handoff: `get` shows the task as it stands.
pub(super) fn questions(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a question");
    let question: GetTask = read(&command.payload);
    let Some(task) = model.tasks.find(room, &question.task) else {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "a question about an unknown task got {:?}",
            step.verdict
        );
        return Ok(());
    };
    if step.overdue {
        return Ok(());
    }
    let reply = step.replies_to(&command.from).pop().map(|(_, reply)| reply);
    let data = reply.and_then(|reply| reply.data);
    let view: TaskView = data
        .and_then(|data| serde_json::from_str(data.text()).ok())
        .ok_or("a question got no task")?;
    let holder = task.hold.as_ref().map(|hold| &hold.worker);
    ensure!(
        view.state.as_str() == task.state
            && view.attempt == task.attempt
            && view.dispatcher == task.dispatcher
            && view.created_at == task.created_at
            && view.deadline == task.deadline
            && (holder.is_none() || view.worker.as_ref() == holder),
        "shown {view:?}, expected {task:?}"
    );
    Ok(())
}

/// Handoff: the states and the ways between them; every change says where it comes from.
pub(super) fn transitions_are_legal(model: &Model, step: &Step, event: &Event) -> Check {
    if !event.what.starts_with("handoff.") {
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
    if let Some(said) = &event.from {
        ensure!(said == from, "{id} was {from:?}: {event:?}");
    }
    let legal = match from {
        "" => matches!(to.as_str(), "waiting" | "queued"),
        "waiting" => matches!(to.as_str(), "queued" | "expired" | "cancelled"),
        "queued" => matches!(to.as_str(), "assigned" | "expired" | "cancelled"),
        "assigned" | "running" => to != from || to == "running",
        "failed" => matches!(to.as_str(), "waiting" | "queued" | "dead"),
        _ => false,
    };
    ensure!(legal, "{id} goes from {from:?} to {to:?}");
    match to.as_str() {
        "waiting" | "queued" | "failed" | "dead" if matches!(from, "assigned" | "running") => {
            attempts_end_for_a_reason(model, step, &id, task)
        }
        "queued" if from == "waiting" => {
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
                task.deadline.is_some_and(|at| at <= step.now),
                "{id} expires at {} before its deadline {:?}",
                step.now,
                task.deadline
            );
            Ok(())
        }
        "cancelled" => cancelled_by_somebody(step, &id),
        "succeeded" => {
            let given_back = task.hold.as_ref().is_some_and(|hold| hold.given_back);
            ensure!(given_back, "{id} succeeds though its worker did not say so");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Handoff: an attempt ends by its worker's word, by a lease that ran out, or by a worker gone past the grace; a worker that
/// is away for less keeps its task.
fn attempts_end_for_a_reason(model: &Model, step: &Step, id: &TaskId, task: &TaskModel) -> Check {
    let Some(hold) = &task.hold else {
        return Err(format!("{id} is {} and nobody holds it", task.state));
    };
    let left = step.command().is_some_and(|command| {
        command.from == hold.worker
            && command.payload.is_empty()
            && matches!(command.topic.topic, Topic::PresenceAnnounce { .. })
    });
    let gone = model
        .people
        .perhaps_past(&hold.worker, model.rules.grace_ms, step.now);
    ensure!(
        hold.given_back || hold.lease_low <= step.now || gone || left,
        "{id} is taken from {} at {} for no reason: {task:?}, {:?}",
        hold.worker,
        step.now,
        model.people.link(&hold.worker)
    );
    Ok(())
}

fn cancelled_by_somebody(step: &Step, id: &TaskId) -> Check {
    let cancelled = step.command().is_some_and(|command| {
        matches!(command.topic.topic, Topic::HandoffCancel { .. })
            && read::<Cancel>(&command.payload).task == *id
    });
    ensure!(cancelled, "{id} is cancelled by nobody");
    Ok(())
}

/// Handoff: an assignment goes to one worker, online, with all the capabilities and free capacity, under an attempt of its
/// own; the same attempt goes only to who has it already.
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
    assignment_says_what_was_dispatched(task, &assignment)?;
    ensure!(
        model.people.is_online(worker),
        "{worker} gets {} and is not online",
        key.task
    );
    assignment_can_be_received(model, task, directed)?;
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
        key.attempt == task.attempt + 1 && key.attempt <= task.max_attempts,
        "attempt {} follows {} of {}",
        key.attempt,
        task.attempt,
        task.max_attempts
    );
    ensure!(
        task.ready_at <= step.now,
        "{} is assigned at {} and not due before {}",
        key.task,
        step.now,
        task.ready_at
    );
    ensure!(
        task.deadline.is_none_or(|at| at > model.ticked_at),
        "{} is assigned after its deadline",
        key.task
    );
    worker_may_take(model, key, worker, task)
}

fn worker_may_take(model: &Model, key: &AssignmentKey, worker: &Agent, task: &TaskModel) -> Check {
    let Some(member) = model.people.member_of(&key.room, worker) else {
        return Err(format!("{worker} is not in {}", key.room));
    };
    ensure!(
        task.suits(member),
        "{worker} can {:?} and gets {:?}",
        member.capabilities(),
        task.spec
    );
    ensure!(!member.is_draining(), "{worker} is draining and gets work");
    let in_flight = model.tasks.in_flight(&key.room, worker);
    ensure!(
        in_flight < member.capacity() || member.unsure,
        "{worker} holds {in_flight}, takes {}, and gets {}",
        member.capacity(),
        key.task
    );
    Ok(())
}

/// Ground rule 4: what the dispatcher said is carried through unchanged.
fn assignment_says_what_was_dispatched(task: &TaskModel, assignment: &Assignment) -> Check {
    let spec = &task.spec;
    ensure!(
        assignment.payload == spec.payload
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

/// Handoff: an assignment arrives on `handoff/work/{capability}` with a capability that the task asks for, and one that the
/// worker subscribed to if there is one: else it could not see it.
fn assignment_can_be_received(model: &Model, task: &TaskModel, directed: &Directed) -> Check {
    let Topic::HandoffWork { capability } = &directed.topic.topic else {
        return Err(format!("an assignment on {:?}", directed.topic));
    };
    let asked: BTreeSet<Capability> = task
        .needs()
        .into_iter()
        .chain(task.spec.any_of.clone())
        .collect();
    ensure!(
        asked.contains(capability),
        "asked for {asked:?}, sent on {capability}"
    );
    let member = model.people.member_of(&directed.topic.room, &directed.to);
    if let Some(member) = member {
        ensure!(
            member.works.contains(capability) || member.works.is_disjoint(&asked),
            "{} listens to {:?} and gets it on {capability}",
            directed.to,
            member.works
        );
    }
    Ok(())
}

/// Handoff: results go to the dispatcher, echo what it said, and there is one final one.
pub(super) fn results(model: &Model, step: &Step, directed: &Directed) -> Check {
    let result: TaskResult = read(&directed.payload);
    let Some(task) = model.tasks.find(&directed.topic.room, &result.task) else {
        return Err(format!("a result of an unknown task: {result:?}"));
    };
    let expected = Topic::HandoffResult {
        dispatcher: task.dispatcher.clone(),
    };
    ensure!(
        directed.to == task.dispatcher && directed.topic.topic == expected,
        "{} wants the result, it goes to {}",
        task.dispatcher,
        directed.to
    );
    ensure!(
        directed.expires_at.is_none_or(|at| at > step.now),
        "a result that has expired already"
    );
    ensure!(
        task.finals.is_empty(),
        "after the final result {:?} comes {result:?}",
        task.finals
    );
    ensure!(
        result.is_final == (result.status != ResultStatus::Partial),
        "final or not: {result:?}"
    );
    ensure!(
        result.attempts == task.attempt
            && result.worker == task.last_worker
            && result.created_at == task.created_at
            && (task.spec.correlation_id.is_none()
                || result.correlation_id == task.spec.correlation_id),
        "a result that tells another story: {result:?} of {task:?}"
    );
    Ok(())
}

/// Handoff: the dispatcher gets exactly one final result, at the moment at which the task ends, and it says how.
pub(super) fn final_states_have_their_result(model: &Model, step: &Step) -> Check {
    let mut touched: BTreeSet<(Room, TaskId)> = BTreeSet::new();
    for event in step
        .events()
        .filter(|event| event.what.starts_with("handoff."))
    {
        if let Ok(id) = TaskId::new(&event.subject) {
            touched.insert((event.room.clone(), id));
        }
    }
    for directed in step.directed().filter(|one| one.class == Class::Result) {
        let result: TaskResult = read(&directed.payload);
        touched.insert((directed.topic.room.clone(), result.task));
    }
    ensure!(
        !model.tasks.has_nameless(),
        "a task was taken and no event tells of it"
    );
    for (room, id) in touched {
        let Some(task) = model.tasks.find(&room, &id) else {
            continue;
        };
        let finals: Vec<&str> = task.finals.iter().map(|status| word(*status)).collect();
        let expected: Vec<&str> = task
            .is_final()
            .then_some(task.state.as_str())
            .into_iter()
            .collect();
        ensure!(
            finals == expected,
            "{id} is {:?}, its final results are {finals:?}",
            task.state
        );
    }
    Ok(())
}

fn word(status: ResultStatus) -> &'static str {
    match status {
        ResultStatus::Partial => "partial",
        ResultStatus::Succeeded => "succeeded",
        ResultStatus::Dead => "dead",
        ResultStatus::Expired => "expired",
        ResultStatus::Cancelled => "cancelled",
    }
}

/// Handoff: success, error and release end the attempt at once.
pub(super) fn what_was_given_back_is_held_no_more(model: &Model, step: &Step) -> Check {
    if step.command().is_none() {
        return Ok(());
    }
    for ((_, id), task) in &model.tasks.all {
        ensure!(
            !task.hold.as_ref().is_some_and(|hold| hold.given_back),
            "{id} was given back and is still held: {task:?}"
        );
    }
    Ok(())
}

/// Handoff: a partial result goes to the dispatcher as it comes, and success brings the worker's result, to the letter.
pub(super) fn what_a_worker_returns_reaches_the_dispatcher(step: &Step) -> Check {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return Ok(());
    };
    if !matches!(command.topic.topic, Topic::HandoffUpdate { .. }) {
        return Ok(());
    }
    let update: Update = read(&command.payload);
    let results: Vec<TaskResult> = step
        .directed()
        .filter(|directed| directed.class == Class::Result)
        .map(|directed| read(&directed.payload))
        .filter(|result: &TaskResult| result.task == update.task)
        .collect();
    let partial = update.status == UpdateStatus::Progress && update.result.is_some();
    if partial || update.status == UpdateStatus::Success {
        ensure!(
            results.len() == 1 && results[0].result == update.result,
            "{update:?} brought {results:?}"
        );
    }
    Ok(())
}

/// Inbox, results, assignments: what has been taken back does not arrive later. The gateway may only take back what waits.
pub(super) fn revocations(model: &Model, agent: &Agent, key: &AssignmentKey) -> Check {
    let task = model.tasks.find(&key.room, &key.task);
    let held = task.and_then(|task| task.hold.as_ref().filter(|_| task.attempt == key.attempt));
    ensure!(
        held.is_none_or(|hold| hold.worker != *agent || hold.given_back),
        "{agent} holds {key:?} and loses the message"
    );
    Ok(())
}

/// Handoff: no two workers hold the same task; what is assigned or running is held, nothing else is.
pub(super) fn one_holder_and_no_overload(model: &Model) -> Check {
    for ((_, id), task) in &model.tasks.all {
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

/// Handoff: a lease, a grace, a delay and a deadline end when they end; no task is stuck past its time.
pub(super) fn timers_have_fired(model: &Model) -> Check {
    let now = model.ticked_at;
    let grace = model.rules.grace_ms;
    for ((_, id), task) in model.tasks.all.iter().filter(|(_, task)| !task.is_final()) {
        ensure!(
            task.deadline.is_none_or(|at| at > now),
            "{id} is past its deadline at {now}: {task:?}"
        );
        ensure!(
            task.state != "waiting" || task.ready_at + 1 >= now,
            "{id} waits at {now} though it is due: {task:?}"
        );
        let Some(hold) = &task.hold else {
            continue;
        };
        ensure!(
            !model.people.surely_past(&hold.worker, grace, now),
            "{} is gone for good at {now} and holds {id}: {task:?}",
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

/// Handoff: nobody capable, the task waits: that is the point of a queue. Anybody capable, and it does not.
pub(super) fn waiting_for_nobody(model: &Model) -> Result<Vec<(Room, TaskId, Agent)>, String> {
    let mut waiting = Vec::new();
    for ((room, id), task) in &model.tasks.all {
        if task.is_final() {
            continue;
        }
        let able = model
            .people
            .of_room(room)
            .find(|(_, member)| task.suits(member));
        if let Some((able, _)) = able {
            return Err(format!(
                "all has been calm, {able} can do {id}, and it is not done: {task:?}"
            ));
        }
        waiting.push((room.clone(), id.clone(), task.dispatcher.clone()));
    }
    Ok(waiting)
}

/// Handoff: every accepted task has ended.
pub(super) fn every_task_has_ended(model: &Model) -> Check {
    for ((_, id), task) in &model.tasks.all {
        ensure!(task.is_final(), "{id} has not ended: {task:?}");
    }
    Ok(())
}

/// Handoff: the dispatcher has read one final result of each of its tasks.
pub(super) fn results_were_read_once(model: &Model, one: &Participant) -> Check {
    let mut read_results: Vec<(Room, TaskId)> = Vec::new();
    for letter in one.read.values().filter(|l| l.class == Some(Class::Result)) {
        let result: TaskResult = read(&letter.payload);
        if result.is_final {
            read_results.push((letter.topic.room.clone(), result.task));
        }
    }
    let mut expected: Vec<(Room, TaskId)> = model
        .tasks
        .all
        .iter()
        .filter(|(_, task)| task.dispatcher == one.name)
        .map(|(name, _)| name.clone())
        .collect();
    read_results.sort();
    expected.sort();
    ensure!(
        read_results == expected,
        "{} dispatched {expected:?} and read the results of {read_results:?}",
        one.name
    );
    Ok(())
}

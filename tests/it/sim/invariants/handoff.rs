//! Handoff, command by command: dispatch, update, cancel, get.

use bytes::Bytes;
use hallward::wire::handoff::{Cancel, GetTask, Task, TaskView, Update, UpdateStatus};
use hallward::wire::json::{self, Json};
use hallward::wire::name::{Agent, Room, TaskId};
use hallward::wire::question::{AnswerTask, OpenQuestion};
use hallward::wire::reply::Code;
use hallward::wire::topic::Topic;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::asks::MOST_QUESTIONS;
use super::super::model::encodings::canonical;
use super::super::model::tasks::{TaskModel, suits};
use super::replies::only_who_waits_for_all_it_may_is_refused;
use super::{Check, ensure};

/// Handoff: a well-formed task is taken, whether or not somebody can do it now; only
/// `requireOnline` makes it 503, and only if nobody capable is online.
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
            let surely = !(member.is_draining() || member.unsure) && member.max_bytes().is_none();
            model.people.is_online(agent) && suits(&spec, member) && (draining_too || surely)
        })
    };
    let ties = Ties::of(model, room, &command.from, &spec);
    match step.refusal() {
        Some(code) if ties.faults.contains(&code) => {}
        None => {
            ensure!(
                ties.faults.is_empty(),
                "{spec:?} was taken, expected {:?}",
                ties.faults
            );
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
        Some(Code::TooMany) if ties.opens_a_group => {
            let promised = model.promised(&command.from) + 1;
            ensure!(
                step.places_of(&command.from) <= promised,
                "the mailbox has room for a group: no 429"
            );
        }
        Some(Code::TooMany) => {
            only_who_waits_for_all_it_may_is_refused(model, step, &command.from)?
        }
        Some(code) => ensure!(
            code == Code::Unavailable && spec.require_online && !capable(false),
            "{spec:?} was refused with {code:?}"
        ),
    }
    Ok(())
}

/// What a task's ties to others say against it.
struct Ties {
    faults: Vec<Code>,
    opens_a_group: bool,
}

impl Ties {
    fn of(model: &Model, room: &Room, dispatcher: &Agent, spec: &Task) -> Ties {
        let mut faults = Vec::new();
        let known = |id| model.tasks.find(room, id);
        if spec.depends_on.iter().any(|id| known(id).is_none()) {
            faults.push(Code::NotFound);
        }
        match spec.parent.as_ref().map(known) {
            Some(None) => faults.push(Code::NotFound),
            Some(Some(parent)) if parent.is_final() => faults.push(Code::Conflict),
            _ => {}
        }
        let name = spec
            .group
            .clone()
            .map(|name| (room.clone(), dispatcher.clone(), name));
        let group = name.as_ref().and_then(|name| model.tasks.groups.get(name));
        let refuses = group.is_some_and(|group| {
            spec.group_size.is_some_and(|size| size != group.size)
                || group.members.len() >= group.size as usize
        });
        if refuses {
            faults.push(Code::Conflict);
        }
        Ties {
            faults,
            opens_a_group: name.is_some() && group.is_none(),
        }
    }
}

/// Handoff: `attempt` fences. An update counts if its writer holds the task under that attempt; an
/// old attempt is 409, an unknown task 404. Only a partial result may find no room.
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
    if let Some(ask) = &task.asked
        && (&ask.worker, task.attempt) == (me, update.attempt)
    {
        return who_waits_for_an_answer(step, &update);
    }
    if task.takes_late(me, &update) {
        ensure!(
            step.verdict.is_ok(),
            "{me} did {} before anybody else had it again, and got {:?}",
            update.task,
            step.verdict
        );
        return Ok(());
    }
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
            ensure!(
                !(task.ended_by_word && task.is_echo(me, &update)),
                "{me} said {update:?} before, and ended {} by it: no conflict",
                update.task
            );
            Ok(())
        }
        (None, Some(code)) => Err(format!("{me} does not hold {task:?} and got {code:?}")),
        (Some(_), None) => Ok(()),
        (Some(_), Some(Code::TooMany)) => {
            if update.status == UpdateStatus::Input && task.asks >= MOST_QUESTIONS {
                return Ok(());
            }
            let is_partial = update.status == UpdateStatus::Progress && update.result.is_some();
            ensure!(
                is_partial || update.status == UpdateStatus::Input,
                "{update:?} needs no room and got 429"
            );
            only_who_waits_for_all_it_may_is_refused(model, step, &task.dispatcher)
        }
        (Some(_), Some(code)) => Err(format!(
            "{me} holds {task:?} at {} and got {code:?}",
            step.now
        )),
    }
}

/// Handoff: who waits for an answer may say all that it could otherwise, but asks one thing at a
/// time.
fn who_waits_for_an_answer(step: &Step, update: &Update) -> Check {
    let is_partial = update.status == UpdateStatus::Progress && update.result.is_some();
    let may = match step.refusal() {
        None => update.status != UpdateStatus::Input && !is_partial,
        Some(Code::Conflict) => update.status == UpdateStatus::Input || is_partial,
        Some(_) => false,
    };
    ensure!(
        may,
        "it waits for an answer, says {update:?} and gets {:?}",
        step.verdict
    );
    Ok(())
}

/// Handoff: the dispatcher answers, and who is named with the question, and nobody else; what they
/// say counts for the question that is open.
pub(super) fn answers(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("an answer");
    let said: AnswerTask = read(&command.payload);
    let Some(task) = model.tasks.find(room, &said.task) else {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "an answer for an unknown task got {:?}",
            step.verdict
        );
        return Ok(());
    };
    let expected = match &task.asked {
        None => Some(Code::Conflict),
        Some(_) if task.dispatcher != command.from => Some(Code::Forbidden),
        Some(_) if task.attempt != said.attempt => Some(Code::Conflict),
        Some(_) if said.ask.is_some_and(|ask| ask != task.asks) => Some(Code::Conflict),
        Some(_) => None,
    };
    ensure!(
        step.refusal() == expected,
        "{said:?} for {task:?} got {:?}, expected {expected:?}",
        step.verdict
    );
    Ok(())
}

/// Handoff: what is asked is shown as it was asked, as long as it is open.
pub(super) fn questions_are_shown(
    model: &Model,
    room: &Room,
    id: &TaskId,
    shown: Option<&Bytes>,
) -> Check {
    let task = model.tasks.find(room, id);
    let Some(shown) = shown.map(|shown| read::<OpenQuestion>(shown)) else {
        return Ok(());
    };
    let is_it = task.is_some_and(|task| {
        let ask = task.asked.as_ref();
        ask.is_some_and(|ask| {
            (ask.at, ask.until) == (shown.asked_at, shown.expires_at)
                && canonical(&shown.question) == canonical(&ask.question)
                && ask.worker == shown.worker
                && (task.attempt, task.asks) == (shown.attempt, shown.ask)
                && task.dispatcher == shown.dispatcher
        })
    });
    ensure!(is_it, "shown {shown:?}, asked {task:?}");
    Ok(())
}

/// Handoff: a question is open, shown, and not older than it may be, as long as its task asks.
pub(super) fn who_asks_waits_for_something(model: &Model) -> Check {
    for ((_, id), task) in model.tasks.live() {
        let open = task.asked.as_ref();
        ensure!(
            (task.state == "asking") == open.is_some(),
            "{id} is {} and asked {open:?}",
            task.state
        );
        let Some(ask) = open else {
            continue;
        };
        ensure!(
            ask.until > model.ticked_at && ask.shown.is_some() && !ask.given_back,
            "{id} asks at {}: {task:?}",
            model.ticked_at
        );
    }
    Ok(())
}

/// Ground rule 5, for workers that mint no ids: the word that ended a task may come again, to the
/// letter, and is then a no-op.
pub(super) fn is_an_echo(model: &Model, step: &Step) -> bool {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return false;
    };
    let Topic::HandoffUpdate { me } = &command.topic.topic else {
        return false;
    };
    let update: Update = read(&command.payload);
    let task = model.tasks.find(&command.topic.room, &update.task);
    task.is_some_and(|task| task.is_echo(me, &update))
}

/// Handoff: what has not ended can be cancelled by its dispatcher; what is unknown is 404, what has
/// ended 409.
pub(super) fn cancels(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a cancellation");
    let cancel: Cancel = read(&command.payload);
    let task = cancel.task.as_ref().map(|id| model.tasks.find(room, id));
    let group = cancel.group.clone();
    let group = group.map(|group| (room.clone(), command.from.clone(), group));
    let expected = match (task, group) {
        (Some(None), _) => Some(Code::NotFound),
        (Some(Some(task)), _) if task.is_final() => Some(Code::Conflict),
        (None, Some(group)) if !model.tasks.groups.contains_key(&group) => Some(Code::NotFound),
        _ => None,
    };
    ensure!(
        step.refusal() == expected,
        "{cancel:?} got {:?}, expected {expected:?}",
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
    let room = &command.topic.room;
    if let Some(group) = &cancel.group {
        let name = (room.clone(), command.from.clone(), group.clone());
        ensure!(
            !model.tasks.groups.contains_key(&name),
            "{group} is cancelled and not gathered"
        );
    }
    let group = cancel.group.as_ref();
    let members = model.tasks.all.iter().filter(|((at, _), task)| {
        let theirs = *at == *room && task.dispatcher == command.from;
        theirs && group.is_some() && task.spec.group.as_ref() == group
    });
    let members = members.map(|((_, id), _)| id);
    for cancelled in cancel.task.iter().chain(members) {
        let task = model.tasks.find(room, cancelled);
        ensure!(
            task.is_some_and(TaskModel::is_final),
            "cancelled and not over: {task:?}"
        );
        if group.is_some() {
            continue;
        }
        for ((at, id), task) in model.tasks.live() {
            ensure!(
                at != room || !model.tasks.is_below(room, task, cancelled),
                "{cancelled} is cancelled, and {id} below it is not over: {task:?}"
            );
        }
    }
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
    let reply = step.replies_to(&command.from).pop().map(|(_, reply)| reply);
    let data = reply.and_then(|reply| reply.data);
    let view: TaskView = data
        .and_then(|data| serde_json::from_str(data.text()).ok())
        .ok_or("a question got no task")?;
    let free_to_go = model.tasks.is_free_to_go(room, task);
    ensure!(
        view.state.as_str() == task.state
            && view.attempt == task.attempt
            && view.dispatcher == task.dispatcher
            && view.created_at == task.created_at
            && view.deadline == task.deadline
            && view.worker == task.last_worker
            && view.approval.as_ref() == task.clearance.awaited()
            && view.history.last().map_or(0, |one| one.attempt) == task.attempt
            && view.waits_for.is_empty() == (task.state != "waiting" || free_to_go),
        "shown {view:?}, expected {task:?}"
    );
    let outcome = task.outcome.as_ref().filter(|_| task.is_final());
    let same = |one: &Option<Json>, other: Option<&Json>| {
        model.encodings.same(&command.from, one, &other.cloned())
    };
    ensure!(
        view.result_omitted || same(&view.result, outcome),
        "shown {view:?}, expected {outcome:?}"
    );
    let payload = task.spec.payload.as_ref().filter(|_| question.payload);
    ensure!(
        view.payload.is_none() || same(&view.payload, payload),
        "shown {view:?}, expected {payload:?}"
    );
    Ok(())
}

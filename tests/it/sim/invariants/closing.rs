//! Closing: a closed room takes nothing but questions, ends what was in it, and begins empty when
//! it is opened.

use hallward::engine::Input;
use hallward::wire::Millis;
use hallward::wire::name::Room;
use hallward::wire::observe::Event;
use hallward::wire::reply::Code;
use hallward::wire::topic::{Offer, Topic};

use super::super::history::Step;
use super::super::model::Model;
use super::{Check, ensure};

/// How long it takes at most to end what is in a room: a hundred things a millisecond.
const SWEPT_MS: Millis = 100;

/// Rooms: all but questions, and what is asked of operators, is refused while the room is closed. A
/// repeat is no exception.
pub(super) fn turns_away(model: &Model, step: &Step) -> bool {
    let Some(command) = step.command() else {
        return false;
    };
    let still_taken = matches!(
        command.topic.topic,
        Topic::RoomClose { .. }
            | Topic::RoomOpen { .. }
            | Topic::PresenceList { .. }
            | Topic::MailboxList { .. }
            | Topic::MailboxPurge { .. }
            | Topic::ObserveReplay { .. }
            | Topic::HandoffGet { .. }
            | Topic::HandoffList { .. }
            | Topic::BlackboardGet { .. }
            | Topic::BlackboardList { .. }
            | Topic::BlackboardHistory { .. }
            | Topic::ApproveAudit { .. }
            | Topic::ToolsGet { .. }
    );
    !still_taken && model.closed.contains_key(&command.topic.room)
}

/// What is turned away is told so.
pub(super) fn refusals(step: &Step) -> Check {
    ensure!(
        step.refusal() == Some(Code::Unavailable),
        "a command to a closed room got {:?}",
        step.verdict
    );
    Ok(())
}

/// Rooms: to take part in a closed room is refused, to listen is not.
pub(super) fn offers(model: &Model, step: &Step) -> Check {
    if let Some(Input::Offered { offer, .. }) = step.input() {
        let listens = matches!(offer, Offer::Joins(_));
        let is_closed = model.closed.contains_key(offer.room());
        let expected = (is_closed && !listens).then_some(Code::Unavailable);
        ensure!(
            step.refusal() == expected,
            "{offer:?} got {:?}, expected {expected:?}",
            step.verdict
        );
    }
    Ok(())
}

/// Rooms: whoever closes one is taken at its word; opened it is as soon as all in it has ended.
pub(super) fn commands(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a command");
    let since = model.closed.get(room);
    let opens = matches!(command.topic.topic, Topic::RoomOpen { .. });
    match step.refusal() {
        None => {
            let told = step
                .events()
                .filter(|event| event.what.starts_with("room."));
            ensure!(
                told.count() == usize::from(since.is_some() == opens),
                "{command:?} did {:?}, closed since {since:?}",
                step.effects
            );
        }
        Some(code) => ensure!(
            code == Code::Conflict && opens && since.is_some() && is_being_swept(model, room),
            "{command:?} was refused with {code:?}, closed since {since:?}"
        ),
    }
    Ok(())
}

/// Rooms: an open one is closed by who says so, a closed one opened, and then nothing is left in
/// it.
pub(super) fn transitions(model: &Model, step: &Step, event: &Event) -> Check {
    let topic = step.command().map(|command| &command.topic.topic);
    let is_closed = model.closed.contains_key(&event.room);
    match event.what.as_str() {
        "room.closed" => ensure!(
            !is_closed && matches!(topic, Some(Topic::RoomClose { .. })),
            "{event:?} by {topic:?}"
        ),
        "room.opened" => {
            ensure!(
                is_closed && matches!(topic, Some(Topic::RoomOpen { .. })),
                "{event:?} by {topic:?}"
            );
            is_empty(model, &event.room)?;
        }
        _ => {}
    }
    Ok(())
}

/// Rooms: soon after it was closed, nothing is left in a room.
pub(super) fn closed_rooms_are_empty(model: &Model) -> Check {
    for room in model.closed.keys() {
        if !is_being_swept(model, room) {
            is_empty(model, room)?;
        }
    }
    Ok(())
}

/// Whether it may take more time to end what is in it; a restart begins again.
fn is_being_swept(model: &Model, room: &Room) -> bool {
    let since = model.closed.get(room).copied().unwrap_or_default();
    model.ticked_at <= since.max(model.recovered_at) + SWEPT_MS
}

fn is_empty(model: &Model, room: &Room) -> Check {
    let task = model.tasks.live().find(|((at, _), _)| at == room);
    ensure!(task.is_none(), "{room} is closed, and has {task:?}");
    let mut approvals = model.approvals.iter();
    let approval = approvals.find(|((at, _), approval)| at == room && approval.is_open());
    ensure!(approval.is_none(), "{room} is closed, and has {approval:?}");
    let call = model.tools.open.iter().find(|(at, _)| at == room);
    ensure!(call.is_none(), "{room} is closed, and has {call:?}");
    let tool = model.tools.registry.keys().find(|(at, _)| at == room);
    ensure!(tool.is_none(), "{room} is closed, and has {tool:?}");
    let lock = model.locks.held.iter().find(|((at, _), _)| at == room);
    ensure!(lock.is_none(), "{room} is closed, and has {lock:?}");
    let entries = &model.board(room).entries;
    ensure!(entries.is_empty(), "{room} is closed, and has {entries:?}");
    let member = model.people.of_room(room).next();
    ensure!(member.is_none(), "{room} is closed, and has {member:?}");
    Ok(())
}

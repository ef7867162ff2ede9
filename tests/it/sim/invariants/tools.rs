//! Tools, command by command: register and withdraw, call, return, cancel.

use hallward::engine::DirectedKind;
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, Room, Tool};
use hallward::wire::question::AnswerCall;
use hallward::wire::reply::Code;
use hallward::wire::tools::{
    CallState, CallView, CancelCall, GetCall, Registration, ReturnStatus, ToolCall, ToolResult,
    ToolReturn,
};
use hallward::wire::topic::Topic;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::asks::MOST_QUESTIONS;
use super::super::model::tools::{ToolModel, same_contract};
use super::replies::only_who_waits_for_all_it_may_is_refused;
use super::{Check, ensure, gates};

fn known<'a>(model: &'a Model, room: &Room, tool: &Tool) -> Option<&'a ToolModel> {
    model.tools.registry.get(&(room.clone(), tool.clone()))
}

/// Whether somebody but `except` can surely be called for a tool, and whether anybody perhaps.
fn callable(model: &Model, room: &Room, tool: &Tool, except: Option<&Agent>) -> (bool, bool) {
    let Some(known) = known(model, room, tool) else {
        return (false, false);
    };
    let others = || known.registered.iter().filter(|one| Some(*one) != except);
    let people = &model.people;
    (
        others().any(|agent| people.provides(room, agent, tool, true)),
        others().any(|agent| people.provides(room, agent, tool, false)),
    )
}

/// Tools: whoever says what others rely on is taken; who has another idea is refused while somebody
/// else can be called.
pub(super) fn registrations(model: &Model, step: &Step, room: &Room, tool: &Tool) -> Check {
    let command = step.command().expect("a registration");
    let me = &command.from;
    let known = known(model, room, tool);
    if command.payload.is_empty() {
        let mine = known.is_some_and(|known| known.registered.contains(me));
        let expected = (!mine).then_some(Code::NotFound);
        ensure!(
            step.refusal() == expected,
            "{me} withdraws {tool} and gets {:?}, expected {expected:?}",
            step.verdict
        );
        return Ok(());
    }
    let said: Registration = read(&command.payload);
    let differs = known.is_some_and(|known| !same_contract(&known.said, &said));
    let (surely, perhaps) = callable(model, room, tool, Some(me));
    let right = match step.refusal() {
        None => !(differs && surely),
        Some(Code::Conflict) => differs && perhaps,
        Some(_) => false,
    };
    ensure!(
        right,
        "{me} registers {tool} and gets {:?}: differs {differs}, others can be called {surely}, {known:?}",
        step.verdict
    );
    Ok(())
}

/// Tools: a call is taken if somebody can be called and its arguments fit, and else refused at
/// once: 503 where nobody can be called.
pub(super) fn calls(model: &Model, step: &Step, room: &Room, tool: &Tool) -> Check {
    let command = step.command().expect("a call");
    let call: ToolCall = read(&command.payload);
    let (surely, perhaps) = callable(model, room, tool, None);
    let text = call.arguments.as_ref().map_or("", |json| json.text());
    // What smiths give that does not fit has a number for its text.
    let fits = !text.contains("7");
    match step.refusal() {
        None => ensure!(
            fits && perhaps,
            "a call of {tool} was taken: fits {fits}, {:?}",
            known(model, room, tool)
        ),
        Some(Code::Unavailable) => ensure!(
            !surely,
            "nobody can be called for {tool}, it says: {:?}",
            known(model, room, tool)
        ),
        Some(Code::Invalid) => ensure!(!fits, "{text} fits {tool} and was refused"),
        Some(Code::TooMany) => {
            let most = model.rules.calls_per_provider;
            let people = &model.people;
            // Nobody need be free for what has to be approved first.
            let free = known(model, room, tool).is_some_and(|known| {
                known.said.approval.is_some()
                    || known.registered.iter().any(|agent| {
                        people.provides(room, agent, tool, true)
                            && model.tools.load(room, agent) < most
                    })
            });
            if free {
                only_who_waits_for_all_it_may_is_refused(model, step, &command.from)?;
            }
        }
        Some(code) => return Err(format!("a call of {tool} was refused with {code:?}")),
    }
    Ok(())
}

/// Tools: whose call it is may answer it while it is open; every other answer is late or not its
/// own: 409.
pub(super) fn returns(model: &Model, step: &Step, room: &Room, me: &Agent) -> Check {
    let command = step.command().expect("an answer");
    let said: ToolReturn = read(&command.payload);
    let call = model.tools.find(room, &said.call);
    let open = call.filter(|_| model.tools.is_open(room, &said.call));
    let mine = open.filter(|call| call.provider.as_ref() == Some(me));
    let Some(mine) = mine else {
        ensure!(
            step.refusal() == Some(Code::Conflict),
            "{me} answered {}, which it does not have, and got {:?}: {call:?}",
            said.call,
            step.verdict
        );
        return Ok(());
    };
    if mine.asked.is_some() && matches!(said.status, ReturnStatus::Input | ReturnStatus::Partial) {
        ensure!(
            step.refusal() == Some(Code::Conflict),
            "{me} waits for an answer, says {said:?} and got {:?}",
            step.verdict
        );
        return Ok(());
    }
    let is_list = said.result.as_ref().is_some_and(|json| json.text() == "[]");
    let promises =
        known(model, room, &mine.tool).is_some_and(|known| known.said.output_schema.is_some());
    let blunder = said.status == ReturnStatus::Success && is_list && promises;
    match step.refusal() {
        None => ensure!(!blunder, "{said:?} is not what {} promises", mine.tool),
        Some(Code::Invalid) => ensure!(blunder, "{said:?} was refused as invalid"),
        Some(Code::TooMany) => {
            let is_part = matches!(said.status, ReturnStatus::Partial | ReturnStatus::Input);
            if said.status == ReturnStatus::Input && mine.asks >= MOST_QUESTIONS {
                return Ok(());
            }
            ensure!(is_part, "{said:?} needs no room and got 429");
            only_who_waits_for_all_it_may_is_refused(model, step, &mine.caller)?;
        }
        Some(code) => {
            return Err(format!(
                "{me} has {mine:?} at {} and got {code:?}",
                step.now
            ));
        }
    }
    Ok(())
}

/// Tools: the caller alone answers what a provider asks, while that waits for it.
pub(super) fn answers(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("an answer");
    let said: AnswerCall = read(&command.payload);
    let call = model.tools.find(room, &said.call);
    let open = call.filter(|_| model.tools.is_open(room, &said.call));
    let expected = match open {
        None => Some(Code::Conflict),
        Some(call) if call.caller != command.from => Some(Code::Forbidden),
        Some(call) if call.asked.is_none() => Some(Code::Conflict),
        Some(call) if said.ask.is_some_and(|ask| ask != call.asks) => Some(Code::Conflict),
        Some(_) => None,
    };
    ensure!(
        step.refusal() == expected,
        "{said:?} for {call:?} got {:?}, expected {expected:?}",
        step.verdict
    );
    Ok(())
}

/// Tools: the caller alone cancels a call, while it is open.
pub(super) fn cancels(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a cancel");
    let cancel: CancelCall = read(&command.payload);
    let call = model.tools.find(room, &cancel.call);
    let open = call.filter(|_| model.tools.is_open(room, &cancel.call));
    let expected = match open {
        None => Some(Code::Conflict),
        Some(call) if call.caller != command.from => Some(Code::Forbidden),
        Some(_) => None,
    };
    ensure!(
        step.refusal() == expected,
        "{} cancels {call:?} and gets {:?}, expected {expected:?}",
        command.from,
        step.verdict
    );
    Ok(())
}

/// Tools: a call is shown as it stands, and what came of it as its caller was told, while it runs
/// and as long as it is one of the latest that are over; 404 before and after.
pub(super) fn questions(model: &mut Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a question");
    let asked: GetCall = read(&command.payload);
    let is_open = model.tools.is_open(room, &asked.call);
    let is_kept = is_open || model.tools.is_kept(room, &asked.call);
    let Some(call) = model.tools.find(room, &asked.call).filter(|_| is_kept) else {
        ensure!(
            step.refusal() == Some(Code::NotFound),
            "{asked:?} is about no call that is known and got {:?}",
            step.verdict
        );
        model.tally.calls_forgotten += u64::from(model.tools.find(room, &asked.call).is_some());
        return Ok(());
    };
    ensure!(step.verdict.is_ok(), "{asked:?} got {:?}", step.verdict);
    let reply = step.replies_to(&command.from).pop().map(|(_, reply)| reply);
    let reply = reply.ok_or("a question got no answer")?;
    let data = reply.data.as_ref().map_or("", |data| data.text());
    let view: CallView = read(data.as_bytes());
    let over = call.finals.first();
    let state = match over.map(|over| over.status) {
        None if call.asked.is_some() => CallState::Asking,
        None if call.provider.is_none() => CallState::Approving,
        None => CallState::Running,
        Some(ReturnStatus::Success) => CallState::Success,
        Some(_) => CallState::Error,
    };
    ensure!(
        reply.call.as_ref() == Some(&asked.call)
            && view.call == asked.call
            && view.state == state
            && view.tool == call.tool
            && view.caller == call.caller
            && gates::is_with(call, &view.provider)
            && view.approval.as_ref() == call.clearance.awaited()
            && view.called_at == call.called_at
            && view.deadline == call.deadline
            && view.ended_at == over.map(|over| over.at)
            && view.error == over.and_then(|over| over.error.clone()),
        "shown {view:?}, expected {call:?}"
    );
    let same = |shown: &Option<Json>, expected: Option<&Json>| {
        let encodings = &model.encodings;
        encodings.same(&command.from, shown, &expected.cloned())
    };
    let is_shown = asked.arguments && is_open && call.idempotent && call.provider.is_some();
    let arguments = Some(&call.arguments).filter(|_| is_shown);
    ensure!(
        same(&view.result, call.outcome.as_ref())
            && same(&view.arguments, arguments)
            && !view.result_omitted,
        "shown {view:?}, expected {call:?}"
    );
    model.tally.calls_told += u64::from(over.is_some());
    Ok(())
}

/// Tools: what a provider says that is taken goes to the caller at once and unchanged, once; and a
/// call that is taken goes to one provider.
pub(super) fn what_is_taken_goes_on(model: &Model, step: &Step) -> Check {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return Ok(());
    };
    let room = &command.topic.room;
    match &command.topic.topic {
        Topic::ToolsCall { tool, .. } => {
            let new = step.directed().filter(|directed| {
                matches!(&directed.class, DirectedKind::Run(key) if key.room == *room && key.turn == 0)
            });
            let count = new.count();
            let known = known(model, room, tool);
            let is_held_back = known.is_some_and(|known| known.said.approval.is_some());
            ensure!(
                count == usize::from(!is_held_back),
                "a call of {tool} that was taken ran {count} times"
            );
        }
        Topic::ToolsReturn { .. } => {
            let said: ToolReturn = read(&command.payload);
            let results = step
                .directed()
                .filter(|directed| {
                    directed.class == DirectedKind::ToolResult && directed.topic.room == *room
                })
                .map(|directed| read::<ToolResult>(&directed.payload));
            let results: Vec<_> = results.filter(|result| result.call == said.call).collect();
            let caller = model.tools.find(room, &said.call).map(|call| &call.caller);
            let same = |told: &ToolResult| {
                let encodings = &model.encodings;
                caller.is_some_and(|caller| encodings.same(caller, &told.result, &said.result))
            };
            ensure!(
                results.len() == 1
                    && results[0].status == said.status
                    && same(&results[0])
                    && (said.error.is_none() || results[0].error == said.error),
                "{said:?} brought {results:?}"
            );
        }
        Topic::ToolsCancel { .. } => {
            let cancel: CancelCall = read(&command.payload);
            ensure!(
                !model.tools.is_open(room, &cancel.call),
                "{} is cancelled and goes on",
                cancel.call
            );
        }
        Topic::ToolsRegister { tool, .. } => {
            let named = known(model, room, tool);
            let there = named.is_some_and(|known| known.registered.contains(&command.from));
            ensure!(
                there != command.payload.is_empty(),
                "{} has registered or withdrawn {tool}: {named:?}",
                command.from
            );
        }
        _ => {}
    }
    Ok(())
}

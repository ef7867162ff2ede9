//! Calls: never with two providers, one final result each, nothing left when it is over.

use std::collections::BTreeSet;

use hallward::engine::{Directed, DirectedKind, Effect, RunKey};
use hallward::wire::name::{Agent, Tool};
use hallward::wire::observe::Event;
use hallward::wire::tools::{CallOver, ReturnStatus, ToolCard, ToolResult, ToolRun};
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::agents::Participant;
use super::super::durable::{Durable, ROOT};
use super::super::history::{Step, read};
use super::super::model::gates::Clearance;
use super::super::model::tools::CallModel;
use super::super::model::{LEFT, Model};
use super::{Check, ensure, gates, mail};

/// Tools: a run goes to one provider that has registered the tool, listens, is online and not
/// draining; another one gets it only if the tool may run twice and the one before is gone.
pub(super) fn runs(model: &Model, step: &Step, directed: &Directed, key: &RunKey) -> Check {
    let run: ToolRun = read(&directed.payload);
    let Some(call) = model.tools.find(&key.room, &key.call) else {
        return Err(format!("a run of what nobody called: {run:?}"));
    };
    ensure!(
        model.tools.is_open(&key.room, &key.call),
        "{} is over and runs: {call:?}",
        key.call
    );
    let has_it = call.provider.as_ref() == Some(&directed.to) && key.turn == call.turn;
    gates::what_runs_is_what_was_called(model, &key.room, call)?;
    let goes_on = call.asked.as_ref().filter(|_| has_it);
    // Who goes on with it has its arguments, unless it may be another one.
    let arguments = goes_on.is_none() || call.idempotent;
    let arguments = arguments.then(|| call.arguments.clone());
    let given = call.given(goes_on.is_some());
    ensure!(
        run.call == key.call
            && run.tool == call.tool
            && model
                .encodings
                .same(&directed.to, &run.arguments, &arguments)
            && model.encodings.same(&directed.to, &run.answers, &given)
            && run.caller == call.caller
            && run.called_at == call.called_at
            && run.deadline == call.deadline_at(step.now)
            && run.correlation_id == call.correlation_id
            && directed.topic
                == RoomTopic::new(
                    key.room.clone(),
                    Topic::ToolsRun {
                        tool: call.tool.clone()
                    }
                ),
        "called {call:?}, run {run:?}"
    );
    let to = &directed.to;
    if let Some(ask) = goes_on {
        ensure!(
            ask.answer.is_some() || (step.runs_timers() && ask.until <= step.now),
            "{} goes on at {} without an answer: {call:?}",
            key.call,
            step.now
        );
        return Ok(());
    }
    let tool = (key.room.clone(), call.tool.clone());
    let registered = model.tools.registry.get(&tool);
    let can = registered.is_some_and(|known| known.registered.contains(to))
        && model.people.provides(&key.room, to, &call.tool, false);
    ensure!(can, "{to} gets {} and cannot be called for it", key.call);
    match &call.provider {
        None => ensure!(key.turn == 0, "{} begins with turn {}", key.call, key.turn),
        Some(before) if before == to && key.turn == call.turn => {
            let anew = model.people.began_anew(to, call.sent_at, 0, step.now);
            ensure!(
                call.idempotent && anew,
                "{to} gets {} twice, without a new session or a tool that may run twice: {call:?}",
                key.call
            );
        }
        Some(before) => {
            ensure!(
                call.idempotent && key.turn == call.turn + 1 && before != to,
                "{before} has {call:?}, and {to} gets it as turn {}",
                key.turn
            );
            ensure!(
                is_lost(model, step, before, key, &call.tool),
                "{} is taken from {before} at {} for no reason",
                key.call,
                step.now
            );
        }
    }
    Ok(())
}

/// Whether a provider has lost its calls of a tool: its connection is gone for longer than its
/// grace, it has left, or it has withdrawn, or it came back with a new session and has not answered
/// within its grace either.
fn is_lost(model: &Model, step: &Step, provider: &Agent, key: &RunKey, tool: &Tool) -> bool {
    let room = &key.room;
    let registered = model.tools.registry.get(&(room.clone(), tool.clone()));
    let withdrew = registered.is_none_or(|known| !known.registered.contains(provider));
    let left = step
        .events()
        .any(|event| event.what == LEFT && event.who == *provider && event.room == *room);
    let people = &model.people;
    let (restart, own, now) = (
        model.rules.grace_ms,
        model.rules.provider_grace_ms,
        step.now,
    );
    let gone = people.is_past(provider, restart, now) || people.cut_off(provider, own, now);
    let sent_at = model.tools.find(room, &key.call).map(|call| call.sent_at);
    let forgot = sent_at.is_some_and(|sent_at| people.began_anew(provider, sent_at, own, now));
    withdrew || left || gone || forgot
}

/// Tools: results go to the caller, one of them final; what the gateway says of its own comes for
/// the reason that it names.
pub(super) fn results(model: &Model, step: &Step, directed: &Directed) -> Check {
    let result: ToolResult = read(&directed.payload);
    let room = &directed.topic.room;
    let Some(call) = model.tools.find(room, &result.call) else {
        return Err(format!("a result of what nobody called: {result:?}"));
    };
    let topic = Topic::ToolsResult {
        caller: call.caller.clone(),
    };
    ensure!(
        directed.to == call.caller && directed.topic.topic == topic,
        "{} called, and {} gets the result",
        call.caller,
        directed.to
    );
    ensure!(
        call.finals.is_empty(),
        "after the final result {:?} comes {result:?}",
        call.finals
    );
    ensure!(
        result.is_final != matches!(result.status, ReturnStatus::Partial | ReturnStatus::Input)
            && gates::is_with(call, &result.provider)
            && result.tool == call.tool
            && result.called_at == call.called_at
            && result.correlation_id == call.correlation_id
            && result.at == step.now,
        "a result that tells another story: {result:?} of {call:?}"
    );
    gates::returns_say_so(call, &result)?;
    ends_for_its_reason(model, step, directed, call, &result)
}

fn ends_for_its_reason(
    model: &Model,
    step: &Step,
    directed: &Directed,
    call: &CallModel,
    result: &ToolResult,
) -> Check {
    let key = RunKey {
        room: directed.topic.room.clone(),
        call: result.call.clone(),
        turn: call.turn,
        answers: u32::try_from(call.answers.len()).expect("few"),
    };
    let command = step.command().map(|command| &command.topic.topic);
    let answered = matches!(command, Some(Topic::ToolsReturn { me }) if *me == result.provider);
    let code = result.error.as_ref().map(|error| error.code.as_deref());
    let right = match code {
        None => answered,
        Some(Some("timeout")) => {
            let is_over = call.deadline <= step.now && call.provider.is_some();
            step.runs_timers() && is_over
        }
        Some(Some("not-approved")) => matches!(call.clearance, Clearance::Refused(_)),
        Some(Some("unavailable")) => gates::cannot_run(model, &key.room, call),
        Some(Some("cancelled")) => {
            matches!(command, Some(Topic::ToolsCancel { me }) if *me == call.caller)
                || model.closed.contains_key(&key.room)
        }
        Some(Some("provider-gone" | "withdrawn")) => {
            is_lost(model, step, &result.provider, &key, &call.tool)
        }
        Some(Some("tool-changed")) => {
            matches!(command, Some(Topic::ToolsRegister { tool, .. }) if *tool == call.tool)
                || gates::has_changed(model, &key.room, call)
        }
        Some(_) => answered,
    };
    ensure!(
        right,
        "{call:?} ends at {} with {result:?}, by {command:?}",
        step.now
    );
    Ok(())
}

/// Tools: who has a call, and nobody else, is told that nobody waits for it any more.
pub(super) fn notices(model: &Model, directed: &Directed) -> Check {
    let over: CallOver = read(&directed.payload);
    let call = model.tools.find(&directed.topic.room, &over.call);
    let has_it = call
        .is_some_and(|call| call.provider.as_ref() == Some(&directed.to) && call.finals.is_empty());
    ensure!(
        has_it,
        "{} is told {over:?}, and has not {call:?}",
        directed.to
    );
    Ok(())
}

/// Tools: a tool is taken from its provider because it says so, leaves, or has not come back for
/// it.
pub(super) fn withdrawals(model: &Model, step: &Step, event: &Event) -> Check {
    if event.what != "tools.withdrawn" {
        return Ok(());
    }
    let said_so = step.command().is_some_and(|command| {
        let is_withdrawal = matches!(&command.topic.topic, Topic::ToolsRegister { tool, .. }
            if tool.as_str() == event.subject && command.payload.is_empty());
        is_withdrawal && command.from == event.who
    });
    // Nobody could be called, and somebody has another idea of what the tool is.
    let replaced = step.command().is_some_and(|command| {
        let registers = matches!(&command.topic.topic, Topic::ToolsRegister { tool, .. }
            if tool.as_str() == event.subject && !command.payload.is_empty());
        registers && command.from != event.who
    });
    let left = step
        .events()
        .any(|other| other.what == LEFT && other.who == event.who && other.room == event.room);
    // With the grace of a new session, what it has not subscribed to again goes.
    let confirmed = step.runs_timers()
        && Tool::new(&event.subject).is_ok_and(|tool| {
            let member = model.people.member_of(&event.room, &event.who);
            member.is_none_or(|member| !member.provides.contains(&tool))
        });
    ensure!(
        said_so || replaced || left || confirmed,
        "{event:?} for no reason"
    );
    Ok(())
}

/// Tools: only a run that is no longer true is taken back out of a mailbox.
pub(super) fn revocations_are_of_what_is_over(model: &Model, step: &Step) -> Check {
    for effect in &step.effects {
        if let Effect::Revoke {
            agent,
            class: DirectedKind::Run(key),
        } = effect
        {
            ensure!(
                !holds(model, agent, key),
                "{agent} has {key:?} and loses the message"
            );
        }
    }
    Ok(())
}

fn holds(model: &Model, agent: &Agent, key: &RunKey) -> bool {
    let call = model.tools.find(&key.room, &key.call);
    // It comes again with the answer.
    let call = call.filter(|call| call.asked.is_none());
    model.tools.is_open(&key.room, &key.call)
        && call.is_some_and(|call| call.turn == key.turn && call.provider.as_ref() == Some(agent))
}

/// Tools: a run that is over, or another's by now, does not wait in a mailbox.
pub(super) fn no_stale_run_waits(model: &Model, durable: &Durable) -> Check {
    for (agent, mailbox) in &durable.mailboxes {
        for key in mailbox.letters().filter_map(|letter| letter.run()) {
            ensure!(
                holds(model, agent, key),
                "{key:?} waits for {agent}, who does not have it: {:?}",
                model.tools.find(&key.room, &key.call)
            );
        }
    }
    Ok(())
}

/// Tools: time runs out for every call, and a provider that is gone has none.
pub(super) fn calls_end_in_time(model: &Model) -> Check {
    let now = model.ticked_at;
    for name in &model.tools.open {
        let call = &model.tools.calls[name];
        // Its approval ends in time.
        let Some(provider) = &call.provider else {
            continue;
        };
        ensure!(
            call.deadline > now,
            "{name:?} is open at {now} past its time: {call:?}"
        );
        let people = &model.people;
        let (restart, own) = (model.rules.grace_ms, model.rules.provider_grace_ms);
        ensure!(
            !people.is_past(provider, restart, now) && !people.cut_off(provider, own, now),
            "{provider} is gone at {now} and has {name:?}: {call:?}, {:?}",
            people.link(provider)
        );
    }
    Ok(())
}

/// Tools: the cards show which tools there are and who can be called.
pub(super) fn cards_are_the_truth(model: &Model, durable: &Durable) -> Check {
    let mut shown: BTreeSet<_> = BTreeSet::new();
    for (topic, payload) in &durable.retained {
        let Some(Ok(RoomTopic {
            room,
            topic: Topic::ToolsCard { tool },
        })) = RoomTopic::parse(ROOT, topic)
        else {
            continue;
        };
        let card: ToolCard = read(payload);
        let Some(known) = model.tools.registry.get(&(room.clone(), tool.clone())) else {
            return Err(format!("{topic} is retained and nobody has registered it"));
        };
        let people = &model.people;
        let listed: BTreeSet<&Agent> = card.providers.iter().collect();
        let all = known.registered.iter();
        let wrong = all.filter(|agent| {
            let is_listed = listed.contains(agent);
            let surely = people.provides(&room, agent, &tool, true);
            let perhaps = people.provides(&room, agent, &tool, false);
            (surely && !is_listed) || (is_listed && !perhaps)
        });
        ensure!(
            wrong.count() == 0 && listed.iter().all(|agent| known.registered.contains(*agent)),
            "{topic} shows {card:?}, registered are {known:?}"
        );
        shown.insert((room, tool));
    }
    let missing = model.tools.registry.keys().find(|key| !shown.contains(key));
    ensure!(missing.is_none(), "{missing:?} has no card");
    Ok(())
}

/// Tools: every call that was taken is over, with one final result.
pub(super) fn every_call_is_over(model: &Model) -> Check {
    ensure!(
        model.tools.open.is_empty(),
        "never over: {:?}",
        model.tools.open
    );
    for (name, call) in &model.tools.calls {
        ensure!(call.finals.len() == 1, "{name:?} ended as {call:?}");
    }
    Ok(())
}

/// Tools: the caller has read one final result of each of its calls.
pub(super) fn results_were_read_once(model: &Model, one: &Participant, durable: &Durable) -> Check {
    let letters = mail::told(one, durable);
    let results = letters.filter(|letter| letter.class == Some(DirectedKind::ToolResult));
    let mut told: Vec<_> = results
        .map(|letter| {
            (
                letter.topic.room.clone(),
                read::<ToolResult>(&letter.payload),
            )
        })
        .filter(|(_, result)| result.is_final)
        .map(|(room, result)| (room, result.call))
        .collect();
    let made = model.tools.calls.iter();
    let made = made.filter(|(_, call)| call.caller == one.name);
    let expected: Vec<_> = made.map(|(name, _)| name.clone()).collect();
    told.sort();
    ensure!(
        told == expected,
        "{} called {expected:?} and was told of {told:?}",
        one.name
    );
    Ok(())
}

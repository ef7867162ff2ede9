//! Replies, the inbox, and what an id is good for.

use hallward::engine::{Directed, Effect, Input};
use hallward::wire::Millis;
use hallward::wire::name::Agent;
use hallward::wire::reply::{Code, Reply, ReplyStatus};
use hallward::wire::topic::Topic;

use super::super::durable::Durable;
use super::super::history::{LOCK, NOTICE, Step, read};
use super::super::model::tasks::TaskModel;
use super::super::model::{Identity, Model, Said};
use super::{Check, ensure, locks};

/// The id and correlation id that a command's payload carries.
fn named(step: &Step) -> (Option<String>, Option<String>) {
    let Some(command) = step.command() else {
        return (None, None);
    };
    if matches!(command.topic.topic, Topic::Inbox { .. }) {
        return (None, None);
    }
    let payload: Option<serde_json::Value> = serde_json::from_slice(&command.payload).ok();
    let text = |name: &str| {
        let field = payload.as_ref()?.get(name)?;
        field.as_str().map(str::to_owned)
    };
    (text("id"), text("correlationId"))
}

fn identity(step: &Step) -> Option<Identity> {
    let command = step.command()?;
    let name = command.topic.topic.command_name();
    let id = named(step).0?;
    Some((
        command.from.clone(),
        command.topic.room.clone(),
        format!("{name} {id}"),
    ))
}

/// What a command says, however it is spelt: its topic and its fields, without those that only
/// accompany it.
fn said(step: &Step) -> Option<Said> {
    let command = step.command()?;
    let mut fields: serde_json::Value = serde_json::from_slice(&command.payload).ok()?;
    for aside in ["id", "correlationId", "traceparent", "tracestate"] {
        fields.as_object_mut()?.remove(aside);
    }
    Some((command.topic.format(""), fields))
}

/// What was answered when this id came first, if it was accepted before, and whether it came with
/// the same.
pub(super) fn first_outcome(model: &Model, step: &Step) -> Option<(Reply, bool)> {
    let (first, reply) = model.outcomes.get(&identity(step)?)?;
    Some((reply.clone(), Some(first) == said(step).as_ref()))
}

/// Notes the outcome of a command that carries an id.
pub(super) fn remember(model: &mut Model, step: &Step) {
    if step.verdict.is_ok()
        && let Some(identity) = identity(step)
        && let Some(said) = said(step)
        && let Some((_, reply)) = step.replies_to(&identity.0).pop()
    {
        model.outcomes.entry(identity).or_insert((said, reply));
    }
}

/// Section 2: a rejected command gets its reply, an accepted one if it carries an id or a
/// correlation id; one reply, with the code that the MQTT ack has too.
pub(super) fn verdict_and_reply_agree(step: &Step) -> Check {
    let Some(command) = step.command() else {
        return Ok(());
    };
    if matches!(command.topic.topic, Topic::BlackboardLock { .. }) {
        // Judged apart: it may be answered later.
        return Ok(());
    }
    let replies = step.replies_to(&command.from);
    let (id, correlation_id) = named(step);
    let inbox = matches!(command.topic.topic, Topic::Inbox { .. });
    // How much a purge took out is an answer that it always has.
    let purges = matches!(command.topic.topic, Topic::MailboxPurge { .. });
    let asked = id.is_some()
        || purges
        || correlation_id.is_some()
        || (command.mirrors.correlation_id.is_some() && !inbox);
    match step.refusal() {
        Some(code) => {
            ensure!(
                replies.len() == 1,
                "a command refused with {code:?} got {} replies",
                replies.len()
            );
            let reply = &replies[0].1;
            ensure!(
                reply.status == ReplyStatus::Rejected && reply.code == code,
                "refused with {code:?}, but the reply says {reply:?}"
            );
            ensure!(
                reply.reason.as_ref().is_some_and(|words| !words.is_empty()),
                "a refusal without words: {reply:?}"
            );
        }
        None => {
            ensure!(
                inbox || replies.len() == usize::from(asked),
                "an accepted command (id {id:?}, correlation id {correlation_id:?}) got {} replies",
                replies.len()
            );
            ensure!(
                replies
                    .iter()
                    .all(|(_, reply)| reply.status == ReplyStatus::Accepted),
                "accepted, but the reply says {replies:?}"
            );
        }
    }
    Ok(())
}

/// Ground rule 3: who publishes where it may not is told so, and nothing else happens.
pub(super) fn trespassers_are_told(step: &Step) -> Check {
    let Some(Input::Refused {
        from,
        room,
        rejection,
        ..
    }) = step.input()
    else {
        return Ok(());
    };
    let replies = step.replies_to(from);
    let told = replies.iter().all(|(directed, reply)| {
        directed.topic.room == *room
            && reply.status == ReplyStatus::Rejected
            && reply.code == rejection.code
    });
    ensure!(
        replies.len() == 1 && told && step.effects.len() == 1,
        "{from} published where it may not and got {:?}",
        step.effects
    );
    Ok(())
}

/// Section 2: the reply names the command, echoes its correlation id, and goes to `reply/{me}` or
/// below.
pub(super) fn replies_answer_their_command(
    model: &Model,
    step: &Step,
    directed: &Directed,
) -> Check {
    if matches!(step.input(), Some(Input::Refused { .. })) {
        return Ok(());
    }
    let reply: Reply = read(&directed.payload);
    if reply.command == NOTICE {
        return workers_are_told_of_what_is_over(model, directed, &reply);
    }
    if reply.command == LOCK {
        return locks::answers(model, step, directed, &reply);
    }
    let Some(command) = step.command() else {
        return Err(format!("a reply to no command: {directed:?}"));
    };
    ensure!(
        directed.to == command.from && directed.topic.room == command.topic.room,
        "a reply goes astray: {directed:?}"
    );
    let expected = Topic::Reply {
        me: command.from.clone(),
        rest: command.mirrors.reply_rest.clone(),
    };
    ensure!(
        directed.topic.topic == expected,
        "a reply on {:?}, expected on {expected:?}",
        directed.topic.topic
    );
    ensure!(
        reply.command == command.topic.topic.command_name(),
        "a reply to another command: {reply:?}"
    );
    let well_formed = serde_json::from_slice::<serde_json::Value>(&command.payload).is_ok();
    let correlation_id = named(step)
        .1
        .or_else(|| command.mirrors.correlation_id.clone());
    ensure!(
        !well_formed || reply.correlation_id == correlation_id,
        "the correlation id is {correlation_id:?}, the reply says {reply:?}"
    );
    Ok(())
}

/// Handoff: the worker that has a task which is cancelled or expires is told, and nobody else.
fn workers_are_told_of_what_is_over(model: &Model, directed: &Directed, reply: &Reply) -> Check {
    let name = reply.task.as_ref().ok_or("a notice about no task")?;
    let task = model.tasks.find(&directed.topic.room, name);
    let holds = |task: &TaskModel| {
        let hold = task.hold.as_ref().map(|hold| &hold.worker);
        let asker = task.asked.as_ref().map(|ask| &ask.worker);
        hold.or(asker) == Some(&directed.to)
    };
    ensure!(
        task.is_some_and(holds),
        "{} is told of {name}, which it does not have: {task:?}",
        directed.to
    );
    ensure!(
        matches!(reply.code, Code::Conflict | Code::Expired),
        "a notice with another code: {reply:?}"
    );
    Ok(())
}

/// Ground rule 5: a repeat of a command with an id returns the first outcome …
pub(super) fn repeats_return_the_first_outcome(step: &Step, first: Option<&Reply>) -> Check {
    let (Some(first), Some(command)) = (first, step.command()) else {
        return Ok(());
    };
    ensure!(
        step.verdict.is_ok(),
        "first accepted as {first:?}, the repeat was refused: {:?}",
        step.verdict
    );
    let replies = step.replies_to(&command.from);
    let again = &replies[0].1;
    let outcome = |reply: &Reply| {
        (
            reply.code,
            reply.task.clone(),
            reply.approval.clone(),
            reply.version,
            reply.revision,
        )
    };
    ensure!(
        outcome(again) == outcome(first),
        "first {first:?}, repeated {again:?}"
    );
    Ok(())
}

/// … an id that comes with something else is refused …
pub(super) fn ids_stand_for_what_was_said(step: &Step) -> Check {
    ensure!(
        step.refusal() == Some(Code::Conflict),
        "an id came again with something else: {:?}",
        step.verdict
    );
    Ok(())
}

/// … and is a no-op; and section 2: a rejected command has no effect but its reply.
pub(super) fn rejected_commands_change_nothing(
    model: &Model,
    step: &Step,
    is_no_op: bool,
) -> Check {
    let Some(command) = step.command() else {
        return Ok(());
    };
    if !(is_no_op || step.verdict.is_err()) {
        return Ok(());
    }
    for effect in &step.effects {
        let harmless = match effect {
            Effect::Deliver(directed) => directed.class.is_reply(),
            // That an agent was seen, or is in the room now.
            Effect::Retain { topic, .. } => matches!(topic.topic, Topic::PresenceAgent { .. }),
            Effect::Event(event) => event.what.starts_with("presence."),
            _ => false,
        };
        ensure!(
            harmless,
            "at {} a {} of {} did this: {effect:?}",
            model.now,
            if is_no_op {
                "repeat"
            } else {
                "refused command"
            },
            command.from
        );
    }
    Ok(())
}

/// Inbox: a message waits for its recipient, connected or not; only a full mailbox rejects the
/// sender, with 429.
pub(super) fn inbox_messages_wait(step: &Step, to: &Agent) -> Check {
    match step.refusal() {
        None => {
            let relayed = step
                .effects
                .iter()
                .filter(|effect| matches!(effect, Effect::Relay { .. }))
                .count();
            ensure!(
                relayed == 1,
                "an accepted inbox message went out {relayed} times"
            );
            ensure!(
                step.free_of(to) > 0,
                "the mailbox of {to} was full and took another message"
            );
            Ok(())
        }
        Some(Code::Expired) => {
            let ttl_ms = step.command().and_then(|command| command.mirrors.ttl_ms);
            ensure!(
                ttl_ms == Some(0),
                "a message with {ttl_ms:?} ms is not over"
            );
            Ok(())
        }
        Some(code) => {
            ensure!(
                code == Code::TooMany,
                "an inbox message was refused with {code:?}"
            );
            ensure!(
                step.free_of(to) == 0,
                "the mailbox of {to} has room for {}: no 429",
                step.free_of(to)
            );
            Ok(())
        }
    }
}

/// Section 3: who waits for as much as it may is refused more; results and decisions count from
/// when they are promised.
pub(super) fn only_who_waits_for_all_it_may_is_refused(
    model: &Model,
    step: &Step,
    whose: &Agent,
) -> Check {
    let promised = model.promised(whose);
    ensure!(
        step.places_of(whose) <= promised,
        "{whose} may wait for {}, {promised} are promised: no 429",
        step.places_of(whose)
    );
    Ok(())
}

/// Inbox: what is relayed is the message at hand, to whom it names, for some time.
pub(super) fn relays(model: &Model, step: &Step, to: &Agent, expires_at: Millis) -> Check {
    let topic = step.command().map(|command| &command.topic.topic);
    let addressed = matches!(topic, Some(Topic::Inbox { to: named, .. }) if named == to);
    ensure!(addressed, "relayed to {to}: {topic:?}");
    let ttl_ms = step.command().and_then(|command| command.mirrors.ttl_ms);
    let ttl_ms = ttl_ms.unwrap_or(model.rules.inbox_ttl_ms);
    ensure!(
        expires_at == step.now + ttl_ms,
        "relayed at {} for {ttl_ms} ms, to expire at {expires_at}",
        step.now
    );
    Ok(())
}

/// Ground rule 6: a mailbox holds no more than its limit, a worker's assignments aside, which its
/// capacity bounds.
pub(super) fn mailboxes_keep_their_bounds(model: &Model, durable: &Durable) -> Check {
    for (agent, mailbox) in &durable.mailboxes {
        let mut work = 0;
        for letter in mailbox.letters() {
            work += usize::from(letter.assignment().is_some() || letter.run().is_some());
        }
        let letters = mailbox.mail() - work;
        ensure!(
            letters <= model.rules.mailbox_letters
                && mailbox.results() <= model.rules.mailbox_results,
            "{letters} letters and {} results wait for {agent}",
            mailbox.results()
        );
    }
    Ok(())
}

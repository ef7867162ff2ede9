//! Locks: never two holders, never a token twice, waiters in order, one answer each, and fences
//! that hold.

use hallward::engine::Directed;
use hallward::wire::blackboard::Fence;
use hallward::wire::name::Room;
use hallward::wire::observe::Event;
use hallward::wire::reply::{Code, Reply, ReplyStatus};
use hallward::wire::topic::Topic;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::locks::Detail;
use super::{Check, ensure};

/// Blackboard: a lock has one holder at a time, each with a larger token than every one before; who
/// waited longest comes next; and a lease ends for a reason.
pub(super) fn transitions(model: &Model, step: &Step, event: &Event) -> Check {
    let key = (event.room.clone(), event.subject.clone());
    let holder = model.locks.held.get(&key);
    let detail = Detail::of(event);
    match event.what.as_str() {
        "blackboard.locked" => {
            let last = model.locks.last_token.get(&event.room);
            let last = last.copied().unwrap_or_default();
            let next = model.locks.queue(&key).and_then(|queue| queue.front());
            ensure!(
                holder.is_none() && detail.token > last && detail.until > step.now,
                "{key:?} is locked by {event:?} after token {last}, and {holder:?} holds it"
            );
            ensure!(
                next.is_none_or(|next| *next == event.who),
                "{key:?} goes to {} before {next:?}",
                event.who
            );
        }
        "blackboard.unlocked" => {
            let held = holder.filter(|holder| holder.token == detail.token);
            let given_back = step.command().is_some_and(|command| {
                matches!(command.topic.topic, Topic::BlackboardUnlock { .. })
                    && held.is_some_and(|held| held.agent == command.from)
            });
            let is_right = held.is_some_and(|held| match detail.reason.as_str() {
                "expired" => step.runs_timers() && held.until <= step.now,
                "released" => given_back,
                "gone" => true,
                _ => model.closed.contains_key(&event.room),
            });
            ensure!(is_right, "{holder:?} lost {key:?} by {event:?}");
        }
        "blackboard.waiting" => {
            let queue = model.locks.queue(&key);
            let waits = queue.is_some_and(|queue| queue.contains(&event.who));
            ensure!(
                holder.is_some_and(|holder| holder.agent != event.who) && !waits,
                "{event:?}, and {holder:?} holds it"
            );
        }
        "blackboard.gaveUp" => {
            let queue = model.locks.queue(&key);
            ensure!(
                queue.is_some_and(|queue| queue.contains(&event.who)),
                "nobody waits as {event:?} says"
            );
        }
        _ => {}
    }
    Ok(())
}

/// Blackboard: a lock command is answered once: by its holder's lock, or by a refusal that shows
/// the lock as it is.
pub(super) fn answers(model: &Model, step: &Step, directed: &Directed, reply: &Reply) -> Check {
    let correlation = reply.correlation_id.clone().unwrap_or_default();
    ensure!(
        model.locks.unanswered.contains(&correlation),
        "an answer to no lock command, or a second one: {reply:?}"
    );
    let Some(state) = &reply.lock else {
        return Ok(());
    };
    let key = (directed.topic.room.clone(), state.name.to_string());
    let holder = model.locks.held.get(&key);
    let is_theirs = reply.status == ReplyStatus::Accepted;
    ensure!(
        holder.is_some_and(|holder| {
            holder.token == state.token
                && holder.agent == state.holder
                && (holder.until == state.expires_at || is_theirs && state.expires_at > step.now)
        }) && (!is_theirs || state.holder == directed.to),
        "{} is told {reply:?}, and {holder:?} holds {key:?}",
        directed.to
    );
    Ok(())
}

/// Blackboard: what is refused says so at once; what is taken is answered at once, or waits.
pub(super) fn commands(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a lock command");
    let Topic::BlackboardLock { me, name } = &command.topic.topic else {
        return Ok(());
    };
    let answered = step.directed().any(|directed| {
        directed.to == *me
            && matches!(directed.topic.topic, Topic::Reply { .. })
            && read::<Reply>(&directed.payload).correlation_id == correlation(step)
    });
    let waits = step.events().any(|event| {
        event.what == "blackboard.waiting" && event.who == *me && event.subject == name.as_str()
    });
    let key = (room.clone(), name.to_string());
    ensure!(
        answered != waits,
        "a lock command on {key:?} waits: {waits}, is answered: {answered}; {:?}",
        model.locks.held.get(&key)
    );
    Ok(())
}

pub(super) fn correlation(step: &Step) -> Option<String> {
    let payload: serde_json::Value = read(&step.command()?.payload);
    Some(payload["correlationId"].as_str()?.to_owned())
}

/// Blackboard: a write that carries a token takes effect only while that token's holder has the
/// lock. Returns whether the fence is why it was refused.
pub(super) fn fences(
    model: &Model,
    step: &Step,
    room: &Room,
    fence: Option<&Fence>,
) -> Result<bool, String> {
    let Some(fence) = fence else {
        return Ok(false);
    };
    let key = (room.clone(), fence.lock.to_string());
    let holder = model.locks.held.get(&key);
    let held = holder.is_some_and(|holder| holder.token == fence.token);
    let from = &step.command().expect("a write").from;
    let reply = step.replies_to(from).pop().map(|(_, reply)| reply);
    let is_fenced_off = step.refusal() == Some(Code::Conflict)
        && reply.is_some_and(|reply| reply.path.as_deref() == Some("fence"));
    ensure!(
        is_fenced_off != held,
        "fenced by {fence:?} while {holder:?} holds it, and {:?}",
        step.verdict
    );
    Ok(is_fenced_off)
}

/// Blackboard: no lease outlives its time.
pub(super) fn leases_have_ended(model: &Model) -> Check {
    for (key, holder) in &model.locks.held {
        ensure!(
            holder.until > model.ticked_at,
            "{key:?} is still held by {holder:?} at {}",
            model.ticked_at
        );
    }
    Ok(())
}

/// When everybody is gone, nobody holds or awaits anything, and every command was answered.
pub(super) fn nothing_is_held(model: &Model, locks: usize) -> Check {
    let model = &model.locks;
    let waiting = model.queues.values().any(|queue| !queue.is_empty());
    ensure!(
        model.held.is_empty() && !waiting && model.unanswered.is_empty() && locks == 0,
        "{locks} locks are left: {model:?}"
    );
    Ok(())
}

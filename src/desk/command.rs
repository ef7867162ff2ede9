//! Commands of callers within the process: whether they are carried out at all.

use super::clients::Clients;
use super::port::{CommandRequest, Full, Route, Sorted, sort};
use crate::engine;
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::below_room;

/// A command as the engine takes it: if its topic is one that its agent writes, and the caller may
/// speak for it.
pub(super) fn admit(
    root: &str,
    clients: &Clients,
    asked: &CommandRequest,
) -> Result<engine::Command, Rejection> {
    let (id, topic) = (&asked.client_id, &asked.topic);
    let may_publish = asked
        .authorizer
        .as_ref()
        .is_none_or(|authorizer| authorizer.may_publish(topic));
    if !may_publish || !clients.may_claim(id, asked.owner.as_ref()) {
        let reason = format!("the caller may not write to {topic} as {id:?}");
        return Err(Rejection::new(Code::Forbidden, reason));
    }
    match sort(root, id, topic, |_, _| asked.mirrors.clone()) {
        Sorted::Desk(Route::Engine {
            from,
            topic,
            mirrors,
        }) => Ok(engine::Command {
            user: clients.owner_of(from.as_str()),
            from,
            topic,
            payload: asked.payload.clone(),
            mirrors,
        }),
        Sorted::Refused(Route::Refused { rejection, .. }) => Err(rejection),
        _ => {
            let reason = format!("no command is written to {topic}");
            Err(Rejection::new(Code::Malformed, reason))
        }
    }
}

/// The reply to a command that goes no further than here.
pub(super) fn rejected(root: &str, topic: &str, rejection: Rejection) -> Reply {
    Reply::rejected(&command_of(root, topic), rejection)
}

/// The same where nothing may be held.
pub(super) fn no_memory(root: &str, topic: &str) -> Reply {
    let rejection = Rejection::new(Code::TooMany, Full::Memory.words());
    rejected(root, topic, rejection)
}

/// What a topic below a room says, shortened; empty for other topics.
pub(super) fn command_of(root: &str, topic: &str) -> String {
    let command = below_room(root, topic).map_or("", |(_, command)| command);
    command.chars().take(128).collect()
}

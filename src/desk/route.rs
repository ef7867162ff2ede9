//! Sorting: what becomes of a publish, by its topic alone. Whoever brings publishes to the desk
//! asks here.

use crate::wire::mirror::{CommandMirrors, Trace};
use crate::wire::name::{Agent, Room};
use crate::wire::reply::Rejection;
use crate::wire::topic::{Admission, RoomTopic, admit};

/// What the topic grammar says of a publication.
#[derive(Debug, Clone)]
pub enum Route {
    /// Ordinary MQTT, and an agent's own events: to whoever subscribes.
    Subscribers,
    /// A command or an inbox message.
    Engine {
        /// The client.
        from: Agent,
        /// The parsed topic.
        topic: RoomTopic,
        /// What its properties say.
        mirrors: CommandMirrors,
    },
    /// An agent's own event that its room remembers: to whoever subscribes, and to the engine.
    Event {
        /// The client.
        from: Agent,
        /// The parsed topic.
        topic: RoomTopic,
        /// What its properties say of the trace that it is part of.
        trace: Trace,
    },
    /// Refused by the grammar: only the `rejected` reply is left to do, where the writer and the
    /// room are known.
    Refused {
        /// The client, where its id is an agent's.
        from: Option<Agent>,
        /// The room, where the topic names one.
        room: Option<Room>,
        /// Why.
        rejection: Rejection,
    },
}

/// What is to be done with a publish.
#[derive(Debug)]
pub enum Sorted {
    /// `$…`: not for clients to write.
    Dollar,
    /// To whoever subscribes. The desk's only if it is retained, or somebody durable wants it (see
    /// [`super::port::Interest`]); else it may go to the live plane.
    Plain,
    /// An agent's own event: the desk's where its QoS asks for more than to be passed on, and else
    /// as plain as any.
    Told(Route),
    /// The desk's, by its topic.
    Desk(Route),
    /// Refused by its topic; the desk tells its writer.
    Refused(Route),
    /// Not this client's to write, and no reply would reach it. The grammar alone never says so;
    /// whoever knows the client's rights may.
    Forbidden,
}

/// Sorts a publish of a client by its topic, where rooms live under `root`. What is said beside a
/// command's payload is asked for only if it is one.
pub fn sort(
    root: &str,
    client_id: &str,
    topic: &str,
    mirrors: impl FnOnce(&Agent, &RoomTopic) -> CommandMirrors,
) -> Sorted {
    if topic.starts_with('$') {
        return Sorted::Dollar;
    }
    let from = Agent::new(client_id).ok();
    match (admit(root, client_id, topic), from) {
        (Admission::Relayed(topic), Some(from)) => Sorted::Told(Route::Event {
            trace: mirrors(&from, &topic).trace,
            from,
            topic,
        }),
        (Admission::Ordinary | Admission::Relayed(_), _) => Sorted::Plain,
        (Admission::Refused { room, rejection }, from) => Sorted::Refused(Route::Refused {
            from,
            room,
            rejection,
        }),
        (Admission::Desk(topic), Some(from)) => Sorted::Desk(Route::Engine {
            mirrors: mirrors(&from, &topic),
            from,
            topic,
        }),
        // `admit` lets only a topic through that names the client id as an agent.
        (Admission::Desk(_), None) => Sorted::Dollar,
    }
}

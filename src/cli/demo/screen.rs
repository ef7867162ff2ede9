//! The screen: an observer that shows every event as it scrolls by.

use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{Failure, say};
use super::agent::Agent;
use crate::wire::observe::Event;

const ID: &str = "screen";

pub(super) struct Screen {
    stop: oneshot::Sender<()>,
    shown: JoinHandle<Vec<Event>>,
}

impl Screen {
    /// Subscribes to everything that the gateway tells of the room.
    pub(super) async fn start(gateway: SocketAddr) -> Result<Screen, Failure> {
        let agent = Agent::connect(gateway, ID, &["observe/events/gateway/#".to_owned()]).await?;
        let (stop, stopped) = oneshot::channel();
        let shown = tokio::spawn(show(agent, stopped));
        Ok(Screen { stop, shown })
    }

    /// Stops, and returns what was seen.
    pub(super) async fn finish(self) -> Vec<Event> {
        // An observer that ended early has seen what it has seen.
        let _ = self.stop.send(());
        self.shown.await.unwrap_or_default()
    }
}

async fn show(mut agent: Agent, mut stopped: oneshot::Receiver<()>) -> Vec<Event> {
    let mut seen = Vec::new();
    loop {
        tokio::select! {
            incoming = agent.next() => {
                let Ok(event) = incoming.and_then(|incoming| incoming.read::<Event>()) else { return seen };
                show_one(&event);
                seen.push(event);
            }
            _ = &mut stopped => return seen,
        }
    }
}

fn show_one(event: &Event) {
    let change = match (&event.from, &event.to) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (None, Some(to)) => to.clone(),
        _ => String::new(),
    };
    say(format_args!(
        "{:>5}  {:<22} {:<28} {:<22} by {}\n",
        event.seq, event.what, event.subject, change, event.who
    ));
}

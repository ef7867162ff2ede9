//! Commands that were refused: what the log, and MQTT 5's Reason String, say of them.

use super::core::Desk;
use crate::diary::{limited, shortened, shown};
use crate::wire::message::Message;
use crate::wire::reply::Rejection;
use crate::wire::topic::below_room;

impl Desk {
    /// The refusal of the command that was routed last, told in the log: one line a minute of each client, the others at `debug`.
    /// Returns its words for the acknowledgement.
    pub(super) fn tell_of_refusal(&mut self, client: &str, message: &Message) -> Option<Box<str>> {
        let refusal = self.refusal.take()?;
        let kind = "command_refused";
        let admitted = self.admits(kind, client);
        let client = shortened(client);
        let code = u16::from(refusal.code);
        let words = words(&refusal);
        let reason = shown(&words);
        match below_room(&self.settings.root, message.topic()) {
            Some((room, command)) => {
                let (room, command) = (shown(room), shown(command));
                limited!(
                    info,
                    admitted,
                    client,
                    kind,
                    room,
                    command,
                    code,
                    reason,
                    "command refused"
                );
            }
            None => {
                let topic = shown(message.topic());
                limited!(
                    info,
                    admitted,
                    client,
                    kind,
                    topic,
                    code,
                    reason,
                    "command refused"
                );
            }
        }
        Some(words.into())
    }
}

/// The reply's reason, and the field that is to blame where there is one.
fn words(refusal: &Rejection) -> String {
    match &refusal.path {
        Some(path) => format!("{} ({path})", refusal.reason),
        None => refusal.reason.clone(),
    }
}

//! Commands that were refused: what the log, and MQTT 5's Reason String, say of them.

use super::settings::DeskSettings;
use crate::log_limiter::{limited, shortened, shown};
use crate::wire::reply::Rejection;
use crate::wire::topic::below_room;

/// Tells in the log that a command was refused: one line a minute of each client, the others at
/// `debug`. Returns the words for its acknowledgement.
pub(super) fn log_refusal(
    settings: &DeskSettings,
    client: &str,
    topic: &str,
    refusal: &Rejection,
) -> Box<str> {
    let kind = "command_refused";
    let admitted = settings.admits(kind, client);
    let client = shortened(client);
    let code = u16::from(refusal.code);
    let words = words(refusal);
    let reason = shown(&words);
    match below_room(&settings.root, topic) {
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
            let topic = shown(topic);
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
    words.into()
}

/// The reply's reason, and the field that is to blame where there is one.
fn words(refusal: &Rejection) -> String {
    match &refusal.path {
        Some(path) => format!("{} ({path})", refusal.reason),
        None => refusal.reason.clone(),
    }
}

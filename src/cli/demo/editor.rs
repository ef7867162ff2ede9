//! The editor: sees what is to be published, and says yes or no. That is you, or with `--yes` the
//! demo itself.

use std::net::SocketAddr;

use super::super::{Failure, say};
use super::keys::Keys;
use super::{PATIENCE, ROOM, enter, screen};
use crate::agent::{PendingUpdate, Ruling};
use crate::wire::approve::PendingApproval;

/// Its agent id.
pub(super) const ID: &str = "editor";

/// Who decides for the editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decides {
    /// The demo, and the answer is yes.
    Itself,
    /// A person at the terminal, with a key; or anybody who speaks MQTT as the editor.
    Person,
}

/// Decides on an approval that was asked for. Drop it if somebody else does so first.
pub(super) async fn decide(
    gateway: SocketAddr,
    approval: &str,
    who: Decides,
) -> Result<(), Failure> {
    let seen = tokio::time::timeout(PATIENCE, look(gateway, approval)).await;
    let seen = seen.map_err(|_| unasked())??;
    show(&seen);
    let approves = match who {
        Decides::Itself => true,
        Decides::Person => {
            let keys = Keys::listen()?;
            ask(gateway, approval);
            answer(keys).await?
        }
    };
    let word = if approves { "yes" } else { "no" };
    say(format_args!("  the editor says {word}\n"));
    tell(gateway, &seen, approves).await
}

/// What awaits the decision. Nobody is connected as the editor after that, so that anybody else can
/// be.
async fn look(gateway: SocketAddr, approval: &str) -> Result<PendingApproval, Failure> {
    let (editor, room) = enter(gateway, ID).await?;
    let mut pending = room.approve().pending().await?;
    while let Some(update) = pending.next().await {
        match update? {
            PendingUpdate::Pending(seen) if seen.id.as_str() == approval => {
                editor.close().await;
                return Ok(*seen);
            }
            _ => {}
        }
    }
    Err(unasked())
}

fn unasked() -> Failure {
    Failure::runtime("the editor was not asked")
}

async fn tell(gateway: SocketAddr, seen: &PendingApproval, approves: bool) -> Result<(), Failure> {
    let (editor, room) = enter(gateway, ID).await?;
    let ruling = match approves {
        true => Ruling::approve(),
        false => Ruling::reject(),
    };
    // The digest binds the decision to what the editor saw.
    let ruling = ruling.digest(&seen.digest);
    room.approve().decide(seen.id.as_str(), ruling).await?;
    editor.close().await;
    Ok(())
}

fn show(seen: &PendingApproval) {
    let content = seen.content.as_ref().map_or_else(String::new, screen::work);
    say(format_args!(
        "  {} asks the editor to {} (digest {:.12}…):\n{content}",
        seen.requester, seen.action, seen.digest
    ));
}

fn ask(gateway: SocketAddr, approval: &str) {
    say(format_args!(
        "  You are the editor. Press y to approve, n to reject. Or type in another terminal:\n    \
         mosquitto_pub -h {} -p {} -i {ID} -q 1 \
         -t rooms/{ROOM}/approve/decide/{ID}/{approval} -m '{{\"decision\":\"approve\"}}'\n",
        gateway.ip(),
        gateway.port(),
    ));
}

/// Whether the person pressed yes.
async fn answer(mut keys: Keys) -> Result<bool, Failure> {
    loop {
        match keys.next().await? {
            b'y' | b'Y' => return Ok(true),
            b'n' | b'N' => return Ok(false),
            _ => say(format_args!("  y or n?\n")),
        }
    }
}

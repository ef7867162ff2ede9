//! The editor: sees what is to be published, and says yes or no. That is you, or with `--yes` the
//! demo itself.

use std::net::SocketAddr;

use serde_json::json;

use super::super::{Failure, say};
use super::agent::{DemoAgent, below_room};
use super::keys::Keys;
use super::orchestrator::{accept, within_patience};
use super::screen;
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
    let seen = look(gateway, approval).await?;
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
    let topic = format!("approve/pending/{approval}");
    let mut editor = DemoAgent::connect(gateway, ID, &[topic]).await?;
    within_patience(editor.next()).await?.read()
}

async fn tell(gateway: SocketAddr, seen: &PendingApproval, approves: bool) -> Result<(), Failure> {
    let mut editor = DemoAgent::connect(gateway, ID, &[format!("reply/{ID}")]).await?;
    let decision = if approves { "approve" } else { "reject" };
    // The digest binds the decision to what the editor saw.
    let decision = json!({"decision": decision, "digest": seen.digest, "correlationId": "decided"});
    editor
        .publish(&format!("approve/decide/{ID}/{}", seen.id), &decision)
        .await?;
    loop {
        let incoming = within_patience(editor.next()).await?;
        if incoming.topic.starts_with("reply/") {
            return accept(incoming.read()?).map(drop);
        }
    }
}

fn show(seen: &PendingApproval) {
    let content = seen.content.as_ref().map_or_else(String::new, screen::work);
    say(format_args!(
        "  {} asks the editor to {} (digest {:.12}…):\n{content}",
        seen.requester, seen.action, seen.digest
    ));
}

fn ask(gateway: SocketAddr, approval: &str) {
    let topic = below_room(&format!("approve/decide/{ID}/{approval}"));
    say(format_args!(
        "  You are the editor. Press y to approve, n to reject. Or type in another terminal:\n    \
         mosquitto_pub -h {} -p {} -i {ID} -q 1 -t {topic} -m '{{\"decision\":\"approve\"}}'\n",
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

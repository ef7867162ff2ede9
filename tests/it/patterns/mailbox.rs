//! Mailboxes: what waits for somebody, seen and taken out by an operator.

use hallward::wire::mailbox::{MailKind, MailboxPage, Purged};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::harness::{Agent, Gateway};

fn ask<T: DeserializeOwned>(agent: &mut Agent, topic: &str, body: Value) -> T {
    let reply = agent.accepted(topic, body);
    serde_json::from_str(reply.data.expect("data").text()).expect("what was asked for")
}

fn list(agent: &mut Agent, of: &str, body: Value) -> MailboxPage {
    let topic = format!("mailbox/list/{}{of}", agent.id);
    ask(agent, &topic, body)
}

#[test]
fn what_waits_for_somebody_can_be_seen_and_taken_out() {
    let mut gateway = Gateway::start();
    let mut root = Agent::join_v311(&gateway, "lab", "root");
    for number in 0..5 {
        root.tell_raw("inbox/bob/root", format!("message {number}"));
    }
    let page = list(&mut root, "/bob", json!({ "limit": 3 }));
    assert_eq!(page.mail.len(), 3);
    let first = &page.mail[0];
    assert_eq!(
        (first.kind, first.bytes, first.sent),
        (MailKind::Inbox, 9, false)
    );
    assert_eq!(first.topic, "rooms/lab/inbox/bob/root");
    assert!(first.expires_at.is_some());
    let rest = list(&mut root, "/bob", json!({ "after": page.next }));
    assert_eq!((rest.mail.len(), rest.next), (2, None));
    let elsewhere = json!({ "kind": "result" });
    assert!(list(&mut root, "/bob", elsewhere).mail.is_empty());

    let seqs = [page.mail[0].seq, rest.mail[1].seq];
    let purge = json!({ "seqs": seqs, "id": "purge-1" });
    let purged: Purged = ask(&mut root, "mailbox/purge/root/bob", purge.clone());
    assert_eq!((purged.purged, purged.more), (2, false));
    root.accepted("mailbox/purge/root/bob", purge);
    root.rejected(422, "mailbox/purge/root/bob", json!({}));
    gateway.kill();
    gateway.restart();
    let mut bob = Agent::join(&gateway, "lab", "bob");
    bob.listen("inbox/bob/+");
    let texts: Vec<String> = (0..3)
        .map(|_| bob.message_on("rooms/lab/inbox/bob/root").text().to_owned())
        .collect();
    assert_eq!(texts, ["message 1", "message 2", "message 3"]);
}

#[test]
fn everybody_sees_its_own_mailbox_and_only_this_room() {
    let gateway = Gateway::start();
    let mut ann = Agent::join(&gateway, "lab", "ann");
    ann.tell_raw("inbox/ann/ann", "to myself");
    let mut other = Agent::join(&gateway, "attic", "other");
    other.tell_raw("inbox/ann/other", "from the attic");
    let page = list(&mut ann, "", json!({ "kind": "inbox" }));
    assert_eq!(page.agent.as_str(), "ann");
    let topics: Vec<&str> = page.mail.iter().map(|mail| mail.topic.as_str()).collect();
    assert_eq!(topics, ["rooms/lab/inbox/ann/ann"]);
    let purged: Purged = ask(&mut ann, "mailbox/purge/ann", json!({ "kind": "inbox" }));
    assert_eq!(purged.purged, 1);
    assert!(
        list(&mut ann, "", json!({ "kind": "inbox" }))
            .mail
            .is_empty()
    );
}

//! What a filter says: whether whoever subscribes to it offers something by that, or wants its own
//! mail.

use super::{Topic, below_root, parse_below_root};
use crate::wire::filter::{SharedFilter, has_wildcard};
use crate::wire::name::{Capability, Room, Tool};

/// What a subscription says about its owner, beyond that it wants messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offer {
    /// It listens in the room.
    Joins(Room),
    /// It offers a capability: `…/handoff/work/{capability}`, alone or in a share.
    Works(Room, Capability),
    /// It provides a tool: `…/tools/run/{tool}`, alone or in a share.
    Provides(Room, Tool),
}

impl Offer {
    /// Reads a topic filter (`$share/{group}/` allowed in front); `None` if it names no single
    /// room.
    pub fn of_filter(root: &str, filter: &str) -> Option<Offer> {
        let filter = match filter.strip_prefix("$share/") {
            Some(shared) => shared.split_once('/')?.1,
            None => filter,
        };
        let rest = below_root(root, filter)?;
        let room = Room::new(rest.split('/').next()?).ok()?;
        Some(match parse_below_root(rest).map(|parsed| parsed.topic) {
            Ok(Topic::HandoffWork { capability }) => Offer::Works(room, capability),
            Ok(Topic::ToolsRun { tool }) => Offer::Provides(room, tool),
            _ => Offer::Joins(room),
        })
    }

    /// The room that it concerns.
    pub fn room(&self) -> &Room {
        match self {
            Offer::Joins(room) | Offer::Works(room, _) | Offer::Provides(room, _) => room,
        }
    }
}

/// Whether a filter can match nothing but the subscriber's own directed messages, which come from
/// its mailbox and never from the live plane: its inbox, replies, results and decisions, and the
/// exact topics that offer work or tools.
pub fn is_own_mail(root: &str, client_id: &str, filter: &str) -> bool {
    let inner = SharedFilter::parse(filter).map_or(filter, |shared| shared.filter);
    let Some(rest) = below_root(root, inner) else {
        return false;
    };
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        // With a wildcard, also one in the place of the room, it only watches.
        [_, "handoff", "work", _] | [_, "tools", "run", _] => !has_wildcard(inner),
        [_, "inbox", me, ..] | [_, "reply", me, ..] => *me == client_id,
        [_, "handoff", "result", me]
        | [_, "approve", "decision", me]
        | [_, "tools", "result", me]
        | [_, "tools", "cancelled", me] => *me == client_id,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_work_topics_offer_capabilities_and_wildcards_only_watch() {
        let offer = |filter: &str| Offer::of_filter("rooms", filter);
        let lab = || Room::new("lab").expect("a name");
        let draft = Offer::Works(lab(), Capability::new("draft").expect("a name"));
        assert_eq!(offer("rooms/lab/handoff/work/draft"), Some(draft.clone()));
        assert_eq!(offer("$share/g/rooms/lab/handoff/work/draft"), Some(draft));
        assert_eq!(offer("rooms/lab/handoff/work/+"), Some(Offer::Joins(lab())));
        assert_eq!(offer("rooms/lab/#"), Some(Offer::Joins(lab())));
        assert_eq!(offer("rooms/+/handoff/work/draft"), None);
        assert_eq!(offer("sensors/#"), None);
    }

    #[test]
    fn own_mail_is_told_from_what_others_may_see() {
        for filter in [
            "rooms/lab/inbox/ann/+",
            "rooms/+/reply/ann",
            "rooms/lab/handoff/result/ann",
            "rooms/lab/handoff/work/draft",
            "$share/g/rooms/lab/handoff/work/draft",
            "rooms/lab/approve/decision/ann",
        ] {
            assert!(is_own_mail("rooms", "ann", filter), "{filter}");
        }
        for filter in [
            "rooms/lab/#",
            "rooms/lab/inbox/bob/+",
            "rooms/lab/inbox/+/+",
            "rooms/lab/handoff/work/+",
            "rooms/+/handoff/work/draft",
            "#",
            "x/reply/ann",
        ] {
            assert!(!is_own_mail("rooms", "ann", filter), "{filter}");
        }
    }
}

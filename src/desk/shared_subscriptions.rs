//! Shared subscriptions: groups of clients of which exactly one gets each message (MQTT 5 section
//! 4.8.2).
//!
//! Groups are told apart by name and filter. Members take turns, connected ones before those that
//! are away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::outbox_kind::OutboxKind;
use super::trie::FilterTrie;
use crate::wire::message::Qos;

/// A member's side of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupMember {
    /// The most that it wants.
    pub qos: Qos,
    /// Its MQTT 5 subscription identifier.
    pub id: Option<u32>,
    /// Whether its session outlives its connection.
    pub durable: bool,
}

/// Whose turn it is, in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberTurn {
    /// The whole filter.
    pub share: Arc<str>,
    /// The member.
    pub client: Arc<str>,
    /// Its side of the subscription.
    pub member: GroupMember,
}

#[derive(Debug, Default)]
struct ShareGroup {
    members: BTreeMap<Arc<str>, GroupMember>,
    /// Members whose sessions outlive their connections.
    durable_members: usize,
    /// Who had the last message: the next one after it is next.
    last: Option<Arc<str>>,
    /// Absent members with unsent messages, given to them while nobody could take any.
    absent: BTreeSet<Arc<str>>,
}

/// All shared subscriptions, by group.
#[derive(Debug, Default)]
pub struct SharedSubscriptions {
    /// By the whole filter, `$share/{group}/{filter}`.
    groups: BTreeMap<Arc<str>, ShareGroup>,
    /// The whole filters by the filter inside.
    index: FilterTrie<Arc<str>, ()>,
    /// Groups of which absent members have unsent messages, by the whole filter.
    groups_with_unsent: BTreeSet<Arc<str>>,
}

impl SharedSubscriptions {
    /// Adds or changes a member; whether the group is new.
    pub fn join(
        &mut self,
        whole: &Arc<str>,
        inner: &str,
        client: &Arc<str>,
        member: GroupMember,
    ) -> bool {
        let new = !self.groups.contains_key(whole);
        let group = self.groups.entry(whole.clone()).or_default();
        group.durable_members += usize::from(member.durable);
        let before = group.members.insert(client.clone(), member);
        group.durable_members -= usize::from(before.is_some_and(|before| before.durable));
        if new {
            self.index.insert(inner, whole.clone(), ());
        }
        new
    }

    /// Removes a member; whether the group is gone with it.
    pub fn leave(&mut self, whole: &Arc<str>, inner: &str, client: &str) -> bool {
        let Some(group) = self.groups.get_mut(whole) else {
            return false;
        };
        let left = group.members.remove(client);
        group.durable_members -= usize::from(left.is_some_and(|left| left.durable));
        self.clear_unsent(whole, client);
        let is_empty = |group: &ShareGroup| group.members.is_empty();
        if !self.groups.get(whole).is_some_and(is_empty) {
            return false;
        }
        self.groups.remove(whole);
        self.index.remove(inner, whole);
        true
    }

    /// For each group that a topic concerns, the member whose turn it is. `connected` tells who can
    /// take it now: is there, and may have it.
    pub fn pick(&mut self, topic: &str, connected: impl Fn(&str) -> bool) -> Vec<MemberTurn> {
        let mut concerned: Vec<Arc<str>> = Vec::new();
        self.index
            .visit(topic, &mut |whole, ()| concerned.push(whole.clone()));
        concerned
            .iter()
            .filter_map(|share| self.pick_from(share, &connected))
            .collect()
    }

    /// Who belongs to a group.
    pub fn members(&self, whole: &str) -> impl Iterator<Item = &Arc<str>> {
        let group = self.groups.get(whole).into_iter();
        group.flat_map(|group| group.members.keys())
    }

    /// A member has unsent messages of a group, and is away.
    pub fn note_unsent(&mut self, whole: &Arc<str>, client: &Arc<str>) {
        if let Some(group) = self.groups.get_mut(whole) {
            group.absent.insert(client.clone());
            self.groups_with_unsent.insert(whole.clone());
        }
    }

    /// A member is back, has left, or has no unsent messages of this group any more.
    pub fn clear_unsent(&mut self, whole: &str, client: &str) {
        if let Some(group) = self.groups.get_mut(whole) {
            group.absent.remove(client);
            if group.absent.is_empty() {
                self.groups_with_unsent.remove(whole);
            }
        }
    }

    /// A member is back: its messages are its own to receive.
    pub fn clear_unsent_of(&mut self, client: &str) {
        for share in self.groups_with_unsent.clone() {
            self.clear_unsent(&share, client);
        }
    }

    /// The groups that a client belongs to and in which an absent member has unsent messages: the
    /// client's side of the group, and one such member.
    pub fn absent_with_unsent(&self, client: &str) -> Vec<(MemberTurn, Arc<str>)> {
        let find = |share: &Arc<str>| {
            let group = self.groups.get(share)?;
            let (client, member) = group.members.get_key_value(client)?;
            let absent = group.absent.iter().find(|other| *other != client)?;
            let turn = MemberTurn {
                share: share.clone(),
                client: client.clone(),
                member: *member,
            };
            Some((turn, absent.clone()))
        };
        self.groups_with_unsent.iter().filter_map(find).collect()
    }

    /// Whether a message must be on disk though the session that gets it ends with its connection:
    /// after a crash another member gets it. Not at QoS 2: its receiver may have it
    /// (MQTT-4.8.2-5).
    pub fn must_keep(&self, kind: &OutboxKind) -> bool {
        match kind {
            OutboxKind::Queued {
                qos: Qos::AtLeastOnce,
                share: Some(share),
                ..
            } => self
                .groups
                .get(share)
                .is_some_and(|group| group.durable_members > 0),
            _ => false,
        }
    }

    /// The member of this one group whose turn it is.
    pub fn pick_from(
        &mut self,
        whole: &Arc<str>,
        connected: impl Fn(&str) -> bool,
    ) -> Option<MemberTurn> {
        let (client, member) = self.groups.get_mut(whole)?.take_turn(&connected)?;
        if !connected(&client) {
            self.note_unsent(whole, &client);
        }
        Some(MemberTurn {
            share: whole.clone(),
            client,
            member,
        })
    }
}

impl ShareGroup {
    fn take_turn(&mut self, connected: &impl Fn(&str) -> bool) -> Option<(Arc<str>, GroupMember)> {
        let after_last = self.members.range::<Arc<str>, _>((
            self.last
                .as_ref()
                .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
            std::ops::Bound::Unbounded,
        ));
        let mut turn = after_last.chain(self.members.iter());
        let chosen = turn
            .clone()
            .find(|(client, _)| connected(client))
            .or_else(|| turn.next())?;
        let chosen = (chosen.0.clone(), *chosen.1);
        self.last = Some(chosen.0.clone());
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: GroupMember = GroupMember {
        qos: Qos::AtLeastOnce,
        id: None,
        durable: false,
    };

    fn group_of(members: &[&str]) -> SharedSubscriptions {
        let mut shares = SharedSubscriptions::default();
        for member in members {
            shares.join(&"$share/g/a/#".into(), "a/#", &(*member).into(), MEMBER);
        }
        shares
    }

    fn picked(shares: &mut SharedSubscriptions, topic: &str, connected: &[&str]) -> Vec<String> {
        let picked = shares.pick(topic, |client| connected.contains(&client));
        picked
            .into_iter()
            .map(|turn| turn.client.to_string())
            .collect()
    }

    #[test]
    fn members_take_turns() {
        let mut shares = group_of(&["x", "y", "z"]);
        let all = ["x", "y", "z"];
        let turns: Vec<_> = (0..4)
            .flat_map(|_| picked(&mut shares, "a/b", &all))
            .collect();
        assert_eq!(turns, ["x", "y", "z", "x"]);
        assert!(picked(&mut shares, "b", &all).is_empty());
    }

    #[test]
    fn connected_members_come_first_and_the_away_ones_are_better_than_nobody() {
        let mut shares = group_of(&["x", "y"]);
        assert_eq!(picked(&mut shares, "a", &["y"]), ["y"]);
        assert_eq!(picked(&mut shares, "a", &["y"]), ["y"]);
        assert_eq!(picked(&mut shares, "a", &[]), ["x"]);
    }

    #[test]
    fn groups_of_one_name_and_two_filters_are_two_groups() {
        let mut shares = group_of(&["x"]);
        shares.join(&"$share/g/a/b".into(), "a/b", &"w".into(), MEMBER);
        assert_eq!(picked(&mut shares, "a/b", &["x", "w"]).len(), 2);
        assert!(shares.leave(&"$share/g/a/b".into(), "a/b", "w"));
        assert_eq!(picked(&mut shares, "a/b", &["x", "w"]), ["x"]);
    }
}

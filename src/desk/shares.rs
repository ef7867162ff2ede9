//! Shared subscriptions: groups of clients of which exactly one gets each message (MQTT 5 section 4.8.2).
//!
//! Groups are told apart by name and filter. Members take turns, connected ones before those that are away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kind::Kind;
use super::trie::FilterTrie;
use crate::wire::message::Qos;

/// A member's side of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The most that it wants.
    pub qos: Qos,
    /// Its MQTT 5 subscription identifier.
    pub id: Option<u32>,
    /// Whether its session outlives its connection.
    pub lasts: bool,
}

/// Whose turn it is, in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The whole filter.
    pub share: Arc<str>,
    /// The member.
    pub client: Arc<str>,
    /// Its side of the subscription.
    pub member: Member,
}

#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<Arc<str>, Member>,
    /// Members whose sessions outlive their connections.
    lasting: usize,
    /// Who had the last message: the next one after it is next.
    last: Option<Arc<str>>,
    /// Members that were given messages while nobody could take them.
    owing: BTreeSet<Arc<str>>,
}

/// All groups.
#[derive(Debug, Default)]
pub struct Shares {
    /// By the whole filter, `$share/{group}/{filter}`.
    groups: BTreeMap<Arc<str>, Group>,
    /// The whole filters by the filter inside.
    index: FilterTrie<Arc<str>, ()>,
    /// Groups of which members owe something, by the whole filter.
    owing: BTreeSet<Arc<str>>,
}

impl Shares {
    /// Adds or changes a member; whether the group is new.
    pub fn join(
        &mut self,
        whole: &Arc<str>,
        inner: &str,
        client: &Arc<str>,
        member: Member,
    ) -> bool {
        let new = !self.groups.contains_key(whole);
        let group = self.groups.entry(whole.clone()).or_default();
        group.lasting += usize::from(member.lasts);
        let before = group.members.insert(client.clone(), member);
        group.lasting -= usize::from(before.is_some_and(|before| before.lasts));
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
        group.lasting -= usize::from(left.is_some_and(|left| left.lasts));
        self.settle(whole, client);
        let is_empty = |group: &Group| group.members.is_empty();
        if !self.groups.get(whole).is_some_and(is_empty) {
            return false;
        }
        self.groups.remove(whole);
        self.index.remove(inner, whole);
        true
    }

    /// For each group that a topic concerns, the member whose turn it is. `connected` tells who can take it now: is there, and
    /// may have it.
    pub fn pick(&mut self, topic: &str, connected: impl Fn(&str) -> bool) -> Vec<Turn> {
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

    /// A member has messages of a group, and is away.
    pub fn owes(&mut self, whole: &Arc<str>, client: &Arc<str>) {
        if let Some(group) = self.groups.get_mut(whole) {
            group.owing.insert(client.clone());
            self.owing.insert(whole.clone());
        }
    }

    /// A member that is back, or has left, owes its group nothing any more.
    pub fn settle(&mut self, whole: &str, client: &str) {
        if let Some(group) = self.groups.get_mut(whole) {
            group.owing.remove(client);
            if group.owing.is_empty() {
                self.owing.remove(whole);
            }
        }
    }

    /// A member is back and has its part itself.
    pub fn settle_all(&mut self, client: &str) {
        for share in self.owing.clone() {
            self.settle(&share, client);
        }
    }

    /// Of the groups that a client belongs to and to which others owe messages: the group, its side of it, and one of them.
    pub fn debtors(&self, client: &str) -> Vec<(Turn, Arc<str>)> {
        let debtor = |share: &Arc<str>| {
            let group = self.groups.get(share)?;
            let (client, member) = group.members.get_key_value(client)?;
            let debtor = group.owing.iter().find(|owing| *owing != client)?;
            let turn = Turn {
                share: share.clone(),
                client: client.clone(),
                member: *member,
            };
            Some((turn, debtor.clone()))
        };
        self.owing.iter().filter_map(debtor).collect()
    }
    /// Whether a message must be on disk though the session that gets it ends with its connection: there is somebody who inherits it after
    /// a crash. At QoS 2 nobody would: its receiver may have it (MQTT-4.8.2-5).
    pub fn must_keep(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Queued {
                qos: Qos::AtLeastOnce,
                share: Some(share),
                ..
            } => self
                .groups
                .get(share)
                .is_some_and(|group| group.lasting > 0),
            _ => false,
        }
    }

    /// The member of this one group whose turn it is.
    pub fn pick_from(
        &mut self,
        whole: &Arc<str>,
        connected: impl Fn(&str) -> bool,
    ) -> Option<Turn> {
        let (client, member) = self.groups.get_mut(whole)?.take_turn(&connected)?;
        if !connected(&client) {
            self.owes(whole, &client);
        }
        Some(Turn {
            share: whole.clone(),
            client,
            member,
        })
    }
}

impl Group {
    fn take_turn(&mut self, connected: &impl Fn(&str) -> bool) -> Option<(Arc<str>, Member)> {
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

    const MEMBER: Member = Member {
        qos: Qos::AtLeastOnce,
        id: None,
        lasts: false,
    };

    fn group_of(members: &[&str]) -> Shares {
        let mut shares = Shares::default();
        for member in members {
            shares.join(&"$share/g/a/#".into(), "a/#", &(*member).into(), MEMBER);
        }
        shares
    }

    fn picked(shares: &mut Shares, topic: &str, connected: &[&str]) -> Vec<String> {
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

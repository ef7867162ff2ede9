//! Tables whose entries have names of the operator's own: `[rooms.room.NAME]`,
//! `[handoff.types.NAME]` and `[handoff.capabilities.NAME]`.
//!
//! Each key in an entry is a value of its own to the layers. It is checked against the range of the
//! setting in whose place it stands, and against the limits of the section.

use super::{Config, Problem};
use crate::engine::{ApprovalConfig, RoomConfig};
use crate::wire::name::{Capability, Room, TaskType};

/// Such a table.
#[derive(Debug)]
pub(super) struct Table {
    /// Its section and its key there.
    pub(super) path: [&'static str; 2],
    /// Keys of an entry that have keys of their own.
    pub(super) parts: &'static [&'static str],
    /// Says what is wrong with a name.
    pub(super) check_name: fn(&str) -> Result<(), String>,
    /// The setting in whose place an entry's key stands: section and key.
    pub(super) stands_for: for<'a> fn(&'a str) -> Option<(&'static str, &'a str)>,
}

pub(super) const TABLES: [Table; 3] = [
    Table {
        path: ["rooms", "room"],
        parts: &[],
        check_name: |name| {
            let room = Room::new(name).map(drop);
            room.map_err(|error| format!("is no name of a room: {error}"))
        },
        stands_for: |key| RoomConfig::stands_for(key)?.split_once('.'),
    },
    Table {
        path: ["handoff", "types"],
        parts: &["approval"],
        check_name: |name| TaskType::new(name).map(drop).map_err(|e| e.to_string()),
        stands_for: |key| match key {
            "ttl" => Some(("commands", "max_ttl")),
            _ => Some(("handoff", key)),
        },
    },
    Table {
        path: ["handoff", "capabilities"],
        parts: &[],
        check_name: |name| Capability::new(name).map(drop).map_err(|e| e.to_string()),
        stands_for: |key| match key {
            "max_queued" => Some(("handoff", "max_queued_per_capability")),
            _ => Some(("handoff", key)),
        },
    },
];

/// The table that a path leads to or into.
pub(super) fn table_of(path: &[String]) -> Option<&'static Table> {
    let [section, key, ..] = path else {
        return None;
    };
    TABLES.iter().find(|table| table.path == [section, key])
}

/// What no single value shows: an entry against the limits on what tasks may ask for.
pub(super) fn check_together(config: &Config) -> Vec<Problem> {
    let mut problems = check_types(config);
    for (name, room) in &config.rooms.room {
        let mut refuse = |key: &str, words: String| {
            problems.push(Problem::of_key(&format!("rooms.room.{name}.{key}"), words));
        };
        if let Err(reason) = check_members(&room.members) {
            refuse("members", reason);
        }
        if room.lease.is_some_and(|lease| {
            lease < config.handoff.min_lease || lease > config.handoff.max_lease
        }) {
            let words = "must lie between handoff.min_lease and handoff.max_lease";
            refuse("lease", words.to_owned());
        }
        if room.max_attempts > Some(config.handoff.max_attempts_limit) {
            refuse("max_attempts", at_most("handoff.max_attempts_limit"));
        }
        if room.approval_timeout > Some(config.approve.max_timeout) {
            refuse("approval_timeout", at_most("approve.max_timeout"));
        }
    }
    problems
}

fn check_types(config: &Config) -> Vec<Problem> {
    let handoff = &config.handoff;
    let mut problems = Vec::new();
    for (name, of_type) in &handoff.types {
        let mut refuse = |key: &str, words: String| {
            problems.push(Problem::of_key(
                &format!("handoff.types.{name}.{key}"),
                words,
            ));
        };
        if let Some(lease) = of_type.lease
            && !(handoff.min_lease..=handoff.max_lease).contains(&lease)
        {
            let (least, most) = (handoff.min_lease, handoff.max_lease);
            refuse("lease", format!("must be \"{least}\" to \"{most}\""));
        }
        let initial = of_type.backoff_initial.unwrap_or(handoff.backoff_initial);
        let max = of_type.backoff_max.unwrap_or(handoff.backoff_max);
        let given = (of_type.backoff_initial, of_type.backoff_max);
        match given {
            (Some(_), _) if initial > max => refuse("backoff_initial", at_most("backoff_max")),
            (None, Some(_)) if initial > max => {
                let words = "must not be less than handoff.backoff_initial";
                refuse("backoff_max", words.to_owned());
            }
            _ => {}
        }
        if of_type.backoff_max > Some(handoff.backoff_limit) {
            refuse("backoff_max", at_most("handoff.backoff_limit"));
        }
        if of_type.max_attempts > Some(handoff.max_attempts_limit) {
            refuse("max_attempts", at_most("handoff.max_attempts_limit"));
        }
        if of_type.ttl > Some(config.commands.max_ttl) {
            refuse("ttl", at_most("commands.max_ttl"));
        }
        if let Some(approval) = &of_type.approval {
            check_approval(config, approval, &mut refuse);
        }
    }
    problems
}

/// What is wrong with an approval that tasks of a type are to wait for, if anything.
fn check_approval(
    config: &Config,
    approval: &ApprovalConfig,
    refuse: &mut dyn FnMut(&str, String),
) {
    if let Some(odd) = approval.approvers.iter().find(|one| !is_agent_or_role(one)) {
        let words = format!("{odd:?} is neither an agent, a user nor role:NAME");
        refuse("approval.approvers", words);
    }
    let most = config.approve.max_quorum;
    if approval
        .quorum
        .is_some_and(|quorum| !(1..=most).contains(&quorum))
    {
        refuse(
            "approval.quorum",
            format!("must be 1 to approve.max_quorum, {most}"),
        );
    }
    if approval.timeout > Some(config.approve.max_timeout) {
        refuse("approval.timeout", at_most("approve.max_timeout"));
    }
}

fn is_agent_or_role(listed: &str) -> bool {
    crate::wire::name::is_name(listed.strip_prefix("role:").unwrap_or(listed))
}

fn at_most(key: &str) -> String {
    format!("must not be more than {key}")
}

/// What is wrong with a list of members, if anything.
fn check_members(members: &[String]) -> Result<(), String> {
    for member in members {
        let name = member.strip_suffix('*').unwrap_or(member);
        if member != "*" && !crate::wire::name::is_name(name) {
            return Err(format!(
                "a member is an agent's name, or its beginning and a *, but {member:?} is neither"
            ));
        }
    }
    Ok(())
}

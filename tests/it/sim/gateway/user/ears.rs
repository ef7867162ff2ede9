//! What a user hears, and what it makes of it.

use std::collections::BTreeMap;

use hallward::wire::Millis;
use hallward::wire::topic::{RoomTopic, Topic};
use serde_json::{Value, json};

use super::super::super::dice::Dice;
use super::super::super::durable::ROOT;
use super::super::history::{Arrival, Kind, Outcome, What};
use super::super::machine::unset;
use super::super::network::Publish;
use super::plain::{JOBS, PLAIN};
use super::{Ask, Intent, ROOM, User};

impl User {
    /// A publish leaves.
    pub(in super::super) fn leaves(&mut self, publish: &Publish) {
        if publish.retain {
            return self.writes(publish);
        }
        if publish.topic.starts_with(JOBS) {
            let (n, qos, dup) = (publish.mark, publish.qos.level(), publish.dup);
            return self.notes.push(What::Posts { n, qos, dup });
        }
        let body: Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
        let token = body["correlationId"].as_str().unwrap_or_default();
        if let Some(Ask::Look(n, whose)) = self.asks.get(token) {
            let (n, whose) = (*n, whose.clone());
            self.notes.push(What::Looks { n, whose });
        }
        if let Some((n, copies)) = self.board_sent.get_mut(token) {
            if *copies > 0 {
                self.notes.push(What::Repeated { n: *n });
            }
            *copies += 1;
        }
        if let Some((to, _)) = letter_of(&publish.topic)
            && let Ok(n) = publish.text().parse()
        {
            let qos = publish.qos.level();
            let ttl = publish.expiry.map(|seconds| Millis::from(seconds) * 1000);
            self.notes.push(What::Sent { to, n, qos, ttl });
        }
    }

    /// A publish was taken or refused.
    pub(in super::super) fn answered(&mut self, publish: &Publish, taken: bool) {
        if publish.topic.starts_with(JOBS) && taken {
            self.notes.push(What::Posted { n: publish.mark });
        }
        if publish.retain && taken {
            self.notes.push(What::Wrote { n: publish.mark });
        }
        if let Some((to, _)) = letter_of(&publish.topic)
            && let Ok(n) = publish.text().parse()
        {
            self.notes.push(match taken {
                true => What::Taken { to, n },
                false => What::Full { to, n },
            });
        }
    }

    /// The gateway knows that a message arrived.
    pub(in super::super) fn settled(&mut self, publish: &Publish) {
        if let Some((_, from)) = letter_of(&publish.topic)
            && let Ok(n) = publish.text().parse()
        {
            self.notes.push(What::Settled { from, n });
        }
    }

    /// A message arrives.
    pub(in super::super) fn hears(&mut self, now: Millis, publish: &Publish, dice: &mut Dice) {
        let how = Arrival {
            qos: publish.qos.level(),
            dup: publish.dup,
            clean: self.client.clean,
        };
        if self.reading.is_some() {
            return self.reads(publish);
        }
        if publish.topic.starts_with(PLAIN) {
            return self.hears_plain(publish, how);
        }
        if let Some(whose) = publish.topic.strip_prefix(JOBS) {
            let (whose, n) = (whose.to_owned(), publish.text().parse().unwrap_or_default());
            return self.notes.push(What::Works { whose, n, how });
        }
        let Some(Ok(RoomTopic { room, topic })) = RoomTopic::parse(ROOT, &publish.topic) else {
            return;
        };
        let room = room.to_string();
        let body: Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let pause = dice.between(1, 300);
        match topic {
            Topic::Inbox { me: from, .. } => {
                let n = publish.text().parse().unwrap_or_default();
                let from = from.to_string();
                self.notes.push(What::Got { from, n, how });
            }
            Topic::Reply { .. } => self.told(now, &body, dice),
            Topic::HandoffWork { .. } => {
                let attempt = body["attempt"].as_u64().unwrap_or_default();
                if dice.percent(85) {
                    self.later
                        .push((pause, Intent::Finish(room, text("task"), attempt)));
                }
            }
            Topic::ToolsRun { .. } if dice.percent(85) => {
                self.later.push((pause, Intent::Return(room, text("call"))));
            }
            Topic::ApprovePending { id } => {
                let mine = text("requester") == self.name();
                if !mine && !publish.payload.is_empty() && dice.percent(40) {
                    self.later
                        .push((pause, Intent::Decide(room, id.to_string())));
                }
            }
            Topic::HandoffResult { .. } => {
                let yes = text("status") == "succeeded";
                self.ended(Kind::Task, text("task"), yes, publish.text(), how);
            }
            Topic::ApproveDecision { .. } => {
                let yes = body["approved"] == json!(true);
                self.ended(Kind::Approval, text("id"), yes, publish.text(), how);
            }
            Topic::ToolsResult { .. } => {
                let yes = text("status") == "success";
                self.ended(Kind::Call, text("call"), yes, publish.text(), how);
            }
            _ => {}
        }
    }

    fn ended(&mut self, kind: Kind, id: String, yes: bool, words: &str, how: Arrival) {
        let words = words.to_owned();
        self.notes.push(What::Ended {
            kind,
            id,
            yes,
            words,
            how,
        });
    }

    /// A reply arrives; the same one may come again.
    fn told(&mut self, now: Millis, reply: &Value, dice: &mut Dice) {
        let token = reply["correlationId"].as_str().unwrap_or_default();
        let Some(ask) = self.asks.remove(token) else {
            return;
        };
        let accepted = reply["status"] == json!("accepted");
        match ask {
            Ask::Ends(kind, id) if accepted => self.notes.push(What::Asked { kind, id }),
            Ask::Purge(whose) if accepted => {
                let count = reply["data"]["purged"].as_u64().unwrap_or_default();
                self.notes.push(What::Purged { whose, count });
            }
            Ask::Look(n, _) if accepted => {
                let mail = reply["data"]["mail"].as_array().into_iter().flatten();
                let named = mail.filter_map(|one| {
                    let (_, from) = letter_of(one["topic"].as_str()?)?;
                    Some((from, one["bytes"].as_u64()?))
                });
                let mail = named.collect();
                self.notes.push(What::Listed { n, mail });
            }
            Ask::Board(n, key) => {
                let outcome = self.outcome(reply, accepted, key);
                self.notes.push(What::Answered { n, outcome });
            }
            Ask::Lock if accepted => {
                let token = reply["lock"]["token"].as_u64().unwrap_or_default();
                let until = reply["lock"]["expiresAt"].as_u64().unwrap_or_default();
                let until = unset(until, now);
                self.holds = true;
                self.notes.push(What::Locked { token, until });
                let pause = dice.between(1, until.saturating_sub(now).max(2) / 2 + 100);
                self.later.push((pause, Intent::Use(token)));
            }
            Ask::Fenced(token) => {
                let version = reply["version"].as_u64().filter(|_| accepted);
                self.notes.push(What::Fenced { token, version });
                // From the moment at which it says so it does not hold the lock any more.
                self.notes.push(What::Unlocked { token });
                self.holds = false;
                let me = self.name().to_owned();
                let unlock = json!({"token": token});
                self.ask(
                    ROOM,
                    &format!("blackboard/unlock/{me}/press"),
                    unlock,
                    Ask::Other,
                    dice,
                );
            }
            Ask::Room(what) if accepted => self.notes.push(What::Room(what)),
            Ask::Room(_)
            | Ask::Ends(..)
            | Ask::Purge(_)
            | Ask::Look(..)
            | Ask::Lock
            | Ask::Other => {}
        }
    }

    fn outcome(&mut self, reply: &Value, accepted: bool, key: Option<String>) -> Outcome {
        if !accepted {
            return Outcome::Refused;
        }
        if let Some(entries) = reply["data"]["entries"].as_array() {
            let entry = |entry: &Value| {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                (
                    text("key"),
                    (entry["version"].as_u64().unwrap_or_default(), text("value")),
                )
            };
            let found: BTreeMap<_, _> = entries.iter().map(entry).collect();
            self.seen
                .extend(found.values().map(|(version, _)| *version));
            return Outcome::Found(found);
        }
        let mut written = BTreeMap::new();
        for one in reply["versions"].as_array().into_iter().flatten() {
            let key = one["key"].as_str().unwrap_or_default().to_owned();
            written.insert(key, one["version"].as_u64().unwrap_or_default());
        }
        self.seen.extend(written.values());
        if let (Some(version), Some(key)) = (reply["version"].as_u64(), key) {
            self.seen.push(version);
            written.insert(key, version);
        }
        Outcome::Written(written)
    }
}

/// To whom and from whom, if it is somebody's inbox.
fn letter_of(topic: &str) -> Option<(String, String)> {
    match RoomTopic::parse(ROOT, topic)?.ok()?.topic {
        Topic::Inbox { to, me } => Some((to.to_string(), me.to_string())),
        _ => None,
    }
}

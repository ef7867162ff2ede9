//! Ordinary MQTT: retained messages, and those who come to read one.

use hallward::wire::Millis;
use hallward::wire::message::Qos;

use super::super::super::dice::Dice;
use super::super::super::durable::ROOT;
use super::super::client::Client;
use super::super::history::{Arrival, What};
use super::super::network::{LastWill, LinkId, Publish};
use super::{Intent, MEMBERS, ROOM, User};

/// Longer than any way through the network.
const SOON_MS: Millis = 200;

/// What topics outside the rooms begin with.
pub(super) const PLAIN: &str = "plain/";

/// What the topics of jobs begin with.
pub(super) const JOBS: &str = "jobs/";

/// What a reader is here for.
#[derive(Debug)]
pub(super) struct Reading {
    topic: String,
    asked: bool,
    granted: bool,
}

/// Where something is retained: two topics that all write, and each one's own in a room.
fn topics(writer: &str) -> [String; 3] {
    let own = format!("{ROOT}/{ROOM}/observe/events/{writer}/state");
    ["plain/red".to_owned(), "plain/blue".to_owned(), own]
}

fn will_topic(me: &str) -> String {
    format!("{PLAIN}wills/{me}")
}

impl User {
    /// Somebody who hears everything outside the rooms, in a session that lasts.
    pub(super) fn ear(dice: &mut Dice) -> User {
        let mut user = User::new(MEMBERS.end, dice);
        user.client = Client::new("ear", false, Qos::ExactlyOnce, vec![format!("{PLAIN}#")]);
        user
    }

    /// One of a group, which shares what is posted.
    pub(super) fn member(number: usize, dice: &mut Dice) -> User {
        let mut user = User::new(MEMBERS.end, dice);
        let qos = dice.weighted(&[(25, Qos::AtLeastOnce), (75, Qos::ExactlyOnce)]);
        let filters = vec![format!("$share/crew/{JOBS}#")];
        user.client = Client::new(&format!("m{number}"), dice.percent(25), qos, filters);
        user.is_member = true;
        user
    }

    /// Posts a job for one of the group.
    pub(super) fn post(&mut self, me: &str, dice: &mut Dice) {
        let mark = self.serial;
        self.client.publish(Publish {
            qos: *dice.pick(&[Qos::AtLeastOnce, Qos::ExactlyOnce]),
            topic: format!("{JOBS}{me}"),
            payload: mark.to_string().into(),
            mark,
            ..Publish::default()
        });
    }

    /// What a new connection leaves behind, perhaps; no other says the same.
    pub(in super::super) fn last_will(&self, link: LinkId, dice: &mut Dice) -> Option<LastWill> {
        let publish = Publish {
            qos: *dice.pick(&[Qos::AtLeastOnce, Qos::ExactlyOnce]),
            topic: will_topic(self.name()),
            payload: format!("will-{link}").into(),
            retain: dice.percent(40),
            ..Publish::default()
        };
        let delay = dice.weighted(&[(50, 0), (20, 1), (20, 2), (10, 3)]);
        dice.maybe(70, |_| LastWill { publish, delay })
    }

    /// Something outside the rooms arrives. What was retained before is no news.
    pub(super) fn hears_plain(&mut self, publish: &Publish, how: Arrival) {
        if !publish.retain {
            let (topic, words) = (publish.topic.clone(), publish.text().to_owned());
            self.notes.push(What::Heard { topic, words, how });
        }
    }

    /// Somebody new, who subscribes to one topic and leaves when it knows what is retained there.
    pub(in super::super) fn reader(number: usize, dice: &mut Dice) -> User {
        let mut user = User::new(number, dice);
        let topic = match dice.percent(25) {
            true => will_topic("u1"),
            false => dice.pick(&topics("u1")).clone(),
        };
        let qos = *dice.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
        let name = format!("reader-{number}");
        let is_clean = qos == Qos::AtMostOnce;
        user.client = Client::new(&name, is_clean, qos, vec![topic.clone()]);
        user.client.only_new = true;
        user.reading = Some(Reading {
            topic,
            asked: false,
            granted: false,
        });
        user
    }

    /// Retains something, or clears it.
    pub(super) fn write_down(&mut self, me: &str, dice: &mut Dice) {
        let mark = self.serial;
        let payload = dice.maybe(75, |_| format!("{me}-{mark}"));
        self.client.publish(Publish {
            qos: *dice.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]),
            topic: dice.pick(&topics(me)).clone(),
            expiry: dice.maybe(20, |dice| *dice.pick(&[1, 2, 600])),
            payload: payload.unwrap_or_default().into(),
            retain: true,
            mark,
            ..Publish::default()
        });
    }

    /// What is to be retained leaves.
    pub(super) fn writes(&mut self, publish: &Publish) {
        let value = (!publish.payload.is_empty()).then(|| publish.text().to_owned());
        self.notes.push(What::Writes {
            n: publish.mark,
            topic: publish.topic.clone(),
            value,
            qos: publish.qos.level(),
            ttl: publish.expiry.map(|seconds| Millis::from(seconds) * 1000),
            dup: publish.dup,
        });
    }

    /// A subscription leaves.
    pub(in super::super) fn asks_for(&mut self) {
        if let Some(reading) = &mut self.reading
            && !reading.asked
        {
            reading.asked = true;
            let topic = reading.topic.clone();
            self.notes.push(What::Reads { topic });
        }
    }

    /// It is subscribed.
    pub(in super::super) fn granted(&mut self) {
        self.notes.push(What::Granted);
        if self.is_member {
            let (qos, clean) = (self.client.qos.level(), self.client.clean);
            self.notes.push(What::Joins { qos, clean });
        }
        if let Some(reading) = &mut self.reading {
            reading.granted = true;
            self.later.push((SOON_MS, Intent::Conclude));
        }
    }

    /// A reader hears of what is retained.
    pub(super) fn reads(&mut self, publish: &Publish) {
        if publish.retain && !self.client.is_gone {
            let value = Some(publish.text().to_owned());
            self.has_read(value, true);
        }
    }

    fn has_read(&mut self, value: Option<String>, sure: bool) {
        self.notes.push(What::Read { value, sure });
        self.client.is_gone = true;
    }

    /// Nothing came with the subscription, and the connection still stands. One that has lost it
    /// waits, or if its session ended will never know.
    pub(super) fn is_sure_of_nothing(&mut self) {
        let Some(_) = self.reading.as_ref().filter(|_| !self.client.is_gone) else {
            return;
        };
        if self.client.losses == 0 {
            self.has_read(None, true);
        } else if self.client.clean {
            self.client.is_gone = true;
        }
    }

    /// Nothing came at all.
    pub(in super::super) fn concludes(&mut self) {
        let granted = self.reading.as_ref().is_some_and(|own| own.granted);
        if granted && !self.client.is_gone && !self.client.clean {
            self.has_read(None, false);
        }
    }
}

//! Between agents and desk: connections, packets and letters, each on its way for some time and
//! none overtaking another.

use hallward::engine::{DirectedKind, Input};
use hallward::wire::Millis;
use hallward::wire::reply::{Code, Rejection};
use hallward::wire::topic::Offer;

use super::super::agenda::{Action, LinkId, Who};
use super::super::agents::{Content, Doing, Intent, Surroundings};
use super::super::desk::Receipt;
use super::{Outcome, World};

impl World {
    pub(super) fn connect(&mut self, who: Who) -> Outcome {
        if self.everybody[who].connected {
            return Ok(());
        }
        if !self.desk.is_up() {
            let at = self.now + self.dice.between(50, 500);
            self.agenda.plan(at, Action::Connect(who));
            return Ok(());
        }
        let one = &mut self.everybody[who];
        one.connected = true;
        one.link += 1;
        one.last_arrival = self.now;
        one.last_delivery = self.now;
        let resumed = self.desk.connect(self.now, &one.name, one.persistent);
        let standing = self.desk.durable.sessions.get(&one.name);
        let missing: Vec<Offer> = one
            .wants()
            .into_iter()
            .filter(|offer| !resumed || !standing.is_some_and(|offers| offers.contains(offer)))
            .collect();
        let unacked: Vec<u64> = one.outbox.iter().map(|packet| packet.number).collect();
        for offer in missing {
            self.send(who, Content::Subscribe(offer));
        }
        let around = Surroundings {
            dice: &mut self.dice,
            durable: &self.desk.durable,
            others: &self.names,
            calm: self.calm,
        };
        let doings = self.everybody[who].greet(resumed, around);
        self.carry_out(who, doings);
        for packet in unacked {
            self.plan_arrival(who, packet);
        }
        self.send_letters(who);
        self.batched()
    }

    pub(super) fn hang_up(&mut self, who: Who, link: LinkId) -> Outcome {
        let one = &mut self.everybody[who];
        if !one.connected || one.link != link {
            return Ok(());
        }
        one.disconnected();
        let agent = one.name.clone();
        // Now and then in good order.
        let gives_back = !one.persistent && self.dice.percent(10);
        self.hand_in(Input::Disconnected {
            agent,
            why: "",
            gives_back,
        })
    }

    pub(super) fn end_session(&mut self, who: Who, link: LinkId) -> Outcome {
        let one = &self.everybody[who];
        if one.connected || one.link != link || !self.desk.is_up() {
            return Ok(());
        }
        let agent = one.name.clone();
        self.hand_in(Input::SessionEnded { agent })
    }

    pub(super) fn send(&mut self, who: Who, content: Content) {
        let packet = self.everybody[who].enqueue(content);
        if self.everybody[who].connected {
            self.plan_arrival(who, packet);
        }
    }

    pub(super) fn plan_arrival(&mut self, who: Who, packet: u64) {
        let one = &mut self.everybody[who];
        let at = (self.now + self.dice.below(15)).max(one.last_arrival);
        one.last_arrival = at;
        self.agenda.plan(at, Action::Arrive(who, one.link, packet));
    }

    pub(super) fn arrive(&mut self, who: Who, link: LinkId, number: u64) -> Outcome {
        let one = &mut self.everybody[who];
        if !one.connected || one.link != link {
            return Ok(());
        }
        let Some(packet) = one.packet(number).cloned() else {
            return Ok(());
        };
        let agent = one.name.clone();
        let input = match packet.content {
            Content::Publish { command, .. } => Input::Command(command),
            Content::Subscribe(offer) => Input::Offered { agent, offer },
            Content::Unsubscribe(offer) => Input::Withdrawn { agent, offer },
            Content::Trespass(room) => Input::Refused {
                from: agent,
                room,
                command: "presence/agent".to_owned(),
                rejection: Rejection::new(Code::Forbidden, "only the gateway writes there"),
            },
        };
        self.desk.owe(Receipt {
            who,
            link,
            packet: number,
        });
        self.hand_in(input)
    }

    pub(super) fn acked(&mut self, who: Who, link: LinkId, packet: u64) {
        let one = &mut self.everybody[who];
        if one.connected && one.link == link {
            one.outbox.retain(|other| other.number != packet);
        }
    }

    /// Sends what waits and is not on its way yet, in order.
    pub(super) fn send_letters(&mut self, who: Who) {
        let one = &mut self.everybody[who];
        let Some(mailbox) = self.desk.durable.mailboxes.get(&one.name) else {
            return;
        };
        if !one.connected {
            return;
        }
        let mut dropped = false;
        let (sent, waiting): (Vec<_>, Vec<_>) = mailbox
            .letters()
            .partition(|letter| self.desk.is_sent(&one.name, letter.number));
        let window = one.window.saturating_sub(sent.len());
        let letters = waiting.into_iter().map(|letter| {
            let unique = letter.class.clone().filter(DirectedKind::is_unique);
            let too_large = unique.filter(|_| self.desk.is_too_large(&one.name, letter));
            (letter.number, too_large)
        });
        for (number, too_large) in letters.take(window).collect::<Vec<_>>() {
            if too_large.is_none() {
                dropped |= self.desk.send(self.now, &one.name, number);
            }
            if let Some(class) = too_large {
                // Whoever gets these is to have all of them.
                self.desk.drop_too_large(self.now, &one.name, &class);
                dropped = true;
            } else {
                let at = (self.now + self.dice.between(1, 15)).max(one.last_delivery);
                one.last_delivery = at;
                let action = Action::Deliver(who, one.link, number);
                self.agenda.plan(at, action);
            }
        }
        if dropped {
            self.plan_seal();
        }
    }

    pub(super) fn deliver(&mut self, who: Who, link: LinkId, number: u64) {
        let one = &mut self.everybody[who];
        if !one.connected || one.link != link {
            return;
        }
        let mailbox = self.desk.durable.mailboxes.get(&one.name);
        let Some(letter) = mailbox.and_then(|mailbox| mailbox.letter(number)).cloned() else {
            return;
        };
        // Most readers acknowledge at once, some take their time.
        let slowest = self.dice.weighted(&[(80, 30), (15, 1_500), (5, 6_000)]);
        let at = self.now + self.dice.between(1, slowest);
        self.agenda.plan(at, Action::Settle(who, link, number));
        if letter.expires_at.is_none_or(|at| at > self.now) {
            let around = Surroundings {
                dice: &mut self.dice,
                durable: &self.desk.durable,
                others: &self.names,
                calm: self.calm,
            };
            let doings = one.receive(letter, around);
            self.carry_out(who, doings);
        }
    }

    pub(super) fn settle(&mut self, who: Who, link: LinkId, letter: u64) {
        let one = &self.everybody[who];
        if one.connected && one.link == link {
            self.desk.settle(&one.name, letter);
            self.plan_seal();
        }
    }

    pub(super) fn wake(&mut self, who: Who, intent: Intent) {
        let around = Surroundings {
            dice: &mut self.dice,
            durable: &self.desk.durable,
            others: &self.names,
            calm: self.calm,
        };
        let doings = self.everybody[who].wake(intent, around);
        self.carry_out(who, doings);
    }

    pub(super) fn carry_out(&mut self, who: Who, doings: Vec<Doing>) {
        for doing in doings {
            match doing {
                // What has no id is sent now or never: a repeat would be another command.
                Doing::Publish {
                    repeatable: false, ..
                } if !self.everybody[who].connected => {}
                Doing::Publish {
                    command,
                    repeatable,
                } => self.send(
                    who,
                    Content::Publish {
                        command,
                        repeatable,
                    },
                ),
                Doing::Offer(offer) if self.everybody[who].connected => {
                    self.send(who, Content::Subscribe(offer));
                }
                Doing::Withdraw(offer) if self.everybody[who].connected => {
                    self.send(who, Content::Unsubscribe(offer));
                }
                Doing::Trespass(room) if self.everybody[who].connected => {
                    self.send(who, Content::Trespass(room));
                }
                Doing::Offer(_) | Doing::Withdraw(_) | Doing::Trespass(_) => {}
                Doing::Later(after, intent) => self
                    .agenda
                    .plan(self.now + after, Action::Wake(who, intent)),
                Doing::HangUp { back_after } => self.plan_absence(who, back_after),
            }
        }
    }

    pub(super) fn plan_absence(&mut self, who: Who, back_after: Millis) {
        if self.calm {
            return;
        }
        let link = self.everybody[who].link;
        self.agenda.plan(self.now, Action::HangUp(who, link));
        self.agenda
            .plan(self.now + 1 + back_after, Action::Connect(who));
        if back_after > 500 && self.dice.percent(15) {
            let at = self.now + self.dice.between(1, 500);
            self.agenda.plan(at, Action::EndSession(who, link + 1));
        }
    }
}

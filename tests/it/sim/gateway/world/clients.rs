//! The clients' side of the world: they dial, send, listen, and lose their connections.

use hallward::wire::Millis;

use super::super::client::News;
use super::super::history::{Event, Promise, What};
use super::super::network::{Down, Link, LinkId, Up, Who};
use super::super::user::{Intent, User};
use super::{Action, USERS, World};

/// Longer than any way through the network.
const SLOWEST_MS: Millis = 200;

impl World {
    pub(super) fn dial(&mut self, who: Who) {
        let client = &self.users[who].client;
        if client.link.is_some() || client.is_gone {
            return;
        }
        self.dialled += 1;
        let link = self.dialled;
        self.links.insert(link, Link::new(who));
        self.users[who].client.link = Some(link);
        let will = match who < USERS {
            true => self.users[who].last_will(link, &mut self.dice),
            false => None,
        };
        let client = &self.users[who].client;
        let (who, clean) = (client.name.clone(), client.clean);
        let promise = will.as_ref().map(|will| Promise {
            qos: will.publish.qos.level(),
            retain: will.publish.retain,
            delay_ms: u64::from(if clean { 0 } else { will.delay }) * 1000,
        });
        self.tell(&who, What::Dials { link, promise });
        self.send(link, Up::Connect(will.map(Box::new)));
    }

    /// A client finds that its connection is gone.
    pub(super) fn lost(&mut self, who: Who) {
        let client = &mut self.users[who].client;
        client.disconnected();
        let name = client.name.clone();
        self.tell(&name, What::Lost);
    }

    /// A client says DISCONNECT, and comes back when that must have arrived.
    pub(super) fn hang_up(&mut self, who: Who) {
        let client = &self.users[who].client;
        let Some(link) = client.link else {
            return;
        };
        let name = client.name.clone();
        self.send(link, Up::Disconnect(None));
        if let Some(known) = self.links.get_mut(&link) {
            known.client_has_it = false;
        }
        self.users[who].client.disconnected();
        self.tell(&name, What::HangsUp);
        let back = self.dice.between(SLOWEST_MS, 3_000);
        self.plan(back, Action::Dial(who));
    }

    pub(super) fn send(&mut self, link: LinkId, packet: Up) {
        let delay = self.dice.weighted(&[(80, 3), (15, 20), (5, 150)]);
        let at = self.now + self.dice.below(delay);
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        let (number, at) = known.up.send(at);
        self.plan(at - self.now, Action::Up(link, number, packet));
    }

    pub(super) fn act(&mut self, who: Who, intent: Intent) {
        if matches!(intent, Intent::Stroll) {
            if self.calm {
                return;
            }
            let pause = self.dice.between(20, 300);
            self.plan(pause, Action::Act(who, Intent::Stroll));
        }
        let user = &mut self.users[who];
        let again = matches!(intent, Intent::Greet).then(|| user.client.subscribe_again());
        user.act(self.now, intent, &self.names, &mut self.dice);
        self.flush(who, again.flatten().into_iter().collect(), Vec::new());
    }

    pub(super) fn delivers(&mut self, link: LinkId, number: u64, packet: Down) {
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        if !known.down.arrives(number) || !known.client_has_it {
            return;
        }
        let who = known.who;
        if matches!(packet, Down::End) {
            known.client_has_it = false;
            self.lost(who);
            let back = if self.calm { 200 } else { 1_500 };
            let after = self.dice.below(back);
            self.plan(after, Action::Dial(who));
            return;
        }
        let mut news = Vec::new();
        let answers = self.users[who].client.receive(packet, &mut news);
        self.flush(who, answers, news);
    }

    /// Lets a user hear the news and sends what can leave.
    pub(super) fn flush(&mut self, who: Who, mut packets: Vec<Up>, mut news: Vec<News>) {
        let user = &mut self.users[who];
        let mut heard = 0;
        loop {
            for one in &news[heard..] {
                match one {
                    News::Message(publish) => user.hears(self.now, publish, &mut self.dice),
                    News::Leaves(publish) => user.leaves(publish),
                    News::Answered(publish, taken) => user.answered(publish, *taken),
                    News::Settled(publish) => user.settled(publish),
                    News::Asks => user.asks_for(),
                    News::Granted => user.granted(),
                    News::Open => user.opened(&mut self.dice),
                }
            }
            heard = news.len();
            let leaving = user.client.leaving(&mut news);
            packets.extend(leaving);
            if news.len() == heard {
                break;
            }
        }
        let (at, name) = (self.now, user.client.name.clone());
        for what in user.notes.drain(..) {
            let who = name.clone();
            self.history.push(Event { at, who, what });
        }
        let (later, link) = (std::mem::take(&mut user.later), user.client.link);
        for (after, intent) in later {
            self.plan(after, Action::Act(who, intent));
        }
        for packet in packets {
            if let Some(link) = link {
                self.send(link, packet);
            }
        }
        if self.users[who].client.is_gone {
            self.leave(who);
        }
    }

    /// Says DISCONNECT and ends the session, which nothing acknowledges.
    fn leave(&mut self, who: Who) {
        let Some(link) = self.users[who].client.link else {
            return;
        };
        self.send(link, Up::Disconnect(Some(0)));
        if let Some(known) = self.links.get_mut(&link) {
            known.client_has_it = false;
        }
        self.users[who].client.disconnected();
    }

    /// Somebody comes who wants to know what a topic's retained message is.
    pub(super) fn send_reader(&mut self) {
        let reader = User::reader(self.users.len(), &mut self.dice);
        let who = self.users.len();
        if !reader.client.clean && self.dice.percent(40) {
            let after = self.dice.below(200);
            self.plan(after, Action::Cut(who));
        }
        self.users.push(reader);
        self.dial(who);
    }

    /// Whoever has been told that it is subscribed, and of nothing retained, says so in the end.
    pub(super) fn readers_give_up(&mut self) {
        for user in &mut self.users {
            user.concludes();
            let who = user.client.name.clone();
            for what in user.notes.drain(..) {
                let (at, who) = (self.now, who.clone());
                self.history.push(Event { at, who, what });
            }
        }
    }

    /// The client loses its connection; the gateway knows at once, later, or when the client is
    /// back.
    pub(super) fn cut(&mut self, who: Who) {
        if self.calm {
            return;
        }
        if !self.users[who].client.is_gone {
            let after = self.dice.between(300, 4_000);
            self.plan(after, Action::Cut(who));
        }
        let Some(link) = self.users[who].client.link else {
            return;
        };
        self.lost(who);
        let up = self.dice.below(101);
        if let Some(known) = self.links.get_mut(&link) {
            known.client_has_it = false;
            known.up.cut(up);
        }
        let noticed = self.dice.weighted(&[(50, 1), (50, 3_000)]);
        let noticed = self.dice.below(noticed);
        self.plan(noticed, Action::Notice(link));
        let back = self.dice.weighted(&[(60, 100), (30, 1_500), (10, 5_000)]);
        let back = self.dice.below(back);
        self.plan(back, Action::Dial(who));
    }
}

//! What the simulated desk tells the engine of mailboxes: what is committed, and what the open
//! batch makes of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use hallward::desk::Journal;
use hallward::engine::{DirectedKind, Mailboxes, Past, VisitMail};
use hallward::wire::name::{Agent, Room};

use super::durable::{Change, Letter, Mailbox, Sent};
use super::rules::Rules;

/// What the open batch adds to a mailbox.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Incoming {
    pub(super) mail: usize,
    pub(super) results: usize,
}

/// What the engine may know of mailboxes: the committed letters, and those of the open batch.
pub(super) struct Mailroom<'a> {
    pub(super) rules: &'a Rules,
    pub(super) mailboxes: &'a BTreeMap<Agent, Mailbox>,
    pub(super) incoming: &'a BTreeMap<Agent, Incoming>,
    pub(super) changes: &'a [Change],
    pub(super) sent: &'a Sent,
    pub(super) journal: &'a Journal,
}

impl Mailboxes for Mailroom<'_> {
    fn free_messages(&self, agent: &Agent) -> usize {
        let waiting = self.mailboxes.get(agent).map_or(0, Mailbox::mail);
        let incoming = self.incoming.get(agent).map_or(0, |incoming| incoming.mail);
        let most = self.rules.mailbox_letters;
        most.saturating_sub(waiting + incoming)
    }

    fn free_results(&self, agent: &Agent) -> usize {
        let waiting = self.mailboxes.get(agent).map_or(0, Mailbox::results);
        let incoming = self.incoming.get(agent);
        let incoming = incoming.map_or(0, |incoming| incoming.results);
        let most = self.rules.mailbox_results;
        most.saturating_sub(waiting + incoming)
    }

    fn free_result_bytes(&self, agent: &Agent) -> usize {
        self.free_results(agent) * 65_536
    }

    fn free_bytes(&self, agent: &Agent) -> usize {
        self.free_messages(agent) * 65_536
    }

    fn holds(&self, agent: &Agent, class: &DirectedKind) -> bool {
        let mailbox = self.mailboxes.get(agent);
        let committed = mailbox.and_then(|mailbox| mailbox.number_of(class));
        let mut holds = committed.is_some();
        for change in self.changes {
            match change {
                Change::Put(to, letter) if to == agent && letter.class.as_ref() == Some(class) => {
                    holds = true;
                }
                Change::Revoke(of, revoked) if of == agent && revoked == class => holds = false,
                Change::Settle(of, number) if of == agent && Some(*number) == committed => {
                    holds = false;
                }
                Change::Discard(of, numbers)
                    if of == agent && committed.is_some_and(|number| numbers.contains(&number)) =>
                {
                    holds = false;
                }
                _ => {}
            }
        }
        holds
    }

    /// What is committed and has not been taken out: a letter has its number from the commit on.
    fn mail(&self, agent: &Agent, room: &Room, after: u64, visit: VisitMail<'_>) {
        let is_out = |letter: &Letter| {
            self.changes.iter().any(|change| match change {
                Change::Settle(of, number) => of == agent && *number == letter.number,
                Change::Discard(of, numbers) => of == agent && numbers.contains(&letter.number),
                Change::Revoke(of, class) => of == agent && letter.class.as_ref() == Some(class),
                _ => false,
            })
        };
        let sent = self.sent.get(agent);
        let letters = self.mailboxes.get(agent).into_iter();
        for letter in letters.flat_map(Mailbox::letters) {
            let is_meant = letter.topic.room == *room && letter.number > after;
            let is_sent = sent.is_some_and(|sent| sent.contains(&letter.number));
            if is_meant && !is_out(letter) && visit(letter.mail(is_sent)) == ControlFlow::Break(())
            {
                return;
            }
        }
    }

    fn past(&self) -> &dyn Past {
        self.journal
    }
}

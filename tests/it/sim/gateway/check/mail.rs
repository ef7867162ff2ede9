//! Inbox mail: what was acknowledged arrives or is explained, and a list of what waits shows what
//! can wait, and all that must.

use std::collections::{BTreeMap, BTreeSet};

use hallward::wire::Millis;

use super::super::history::{Counts, Event, What};

/// How long what left may take to be looked at, and what left then to arrive: two commits that fail
/// and two slow ways.
const SLACK_MS: Millis = 1_000;

/// From whom, to whom, which.
type Name<'a> = (&'a str, &'a str, u64);

/// One message from one to another.
#[derive(Debug, Default)]
struct Letter {
    sent: u64,
    first_sent_at: Millis,
    last_sent_at: Millis,
    /// Where its sender was told that it waits.
    taken: Option<usize>,
    ttl: Option<Millis>,
    got: u64,
    /// Arrivals that do not say that they may be repeats.
    fresh: u64,
    /// At QoS 2, by a session that lasts.
    exactly: u64,
    /// Where the gateway said that it knows of its arrival.
    settled: Option<usize>,
}

impl Letter {
    /// Whether it may be over by then.
    fn may_be_over(&self, now: Millis) -> bool {
        self.ttl.is_some_and(|ttl| self.first_sent_at + ttl <= now)
    }

    /// When it is over at the latest, if it ever is.
    fn over_at(&self) -> Option<Millis> {
        self.ttl.map(|ttl| self.last_sent_at + ttl + SLACK_MS)
    }
}

/// A question for what waits for somebody.
#[derive(Debug)]
struct Look<'a> {
    whose: &'a str,
    /// Where and when it left first.
    asked: usize,
    at: Millis,
    asker: &'a str,
    copies: u64,
}

/// What is known by now.
#[derive(Default)]
struct Mail<'a> {
    letters: BTreeMap<Name<'a>, Letter>,
    newest: BTreeMap<(&'a str, &'a str), u64>,
    purged: BTreeMap<&'a str, u64>,
    /// Whose mail somebody wanted to be taken out.
    purges: BTreeSet<&'a str>,
    /// Who has been here at all.
    dialled: BTreeSet<&'a str>,
    /// By reader: what it acknowledged on the connection that it has, and where.
    acknowledged: BTreeMap<&'a str, BTreeMap<Name<'a>, usize>>,
    looks: BTreeMap<(&'a str, u64), Look<'a>>,
}

/// What was acknowledged arrives, in the order in which it was sent, as often as QoS allows; what
/// an operator purged and what became too old may not. What was listed is what waited.
pub(super) fn check(history: &[Event], counts: &mut Counts) -> Result<(), String> {
    let mut mail = Mail::default();
    for (at, event) in history.iter().enumerate() {
        mail.learn(at, event)?;
    }
    mail.counts()?;
    mail.losses(history.last().map_or(0, |event| event.at), counts)
}

impl<'a> Mail<'a> {
    fn learn(&mut self, place: usize, event: &'a Event) -> Result<(), String> {
        let who = event.who.as_str();
        match &event.what {
            What::Sent { to, n, ttl, .. } => {
                let letter = self.letters.entry((who, to, *n)).or_default();
                if letter.sent == 0 {
                    letter.first_sent_at = event.at;
                }
                letter.sent += 1;
                letter.last_sent_at = event.at;
                letter.ttl = *ttl;
            }
            What::Taken { to, n } => {
                let letter = self.letters.entry((who, to, *n)).or_default();
                letter.taken = Some(place);
            }
            What::Settled { from, n } => {
                let letter = self.letters.entry((from, who, *n)).or_default();
                letter.settled = Some(place);
            }
            What::Purges { whose } => {
                self.purges.insert(whose);
            }
            What::Purged { whose, count } => *self.purged.entry(whose).or_default() += count,
            What::Dials { .. } => {
                self.dialled.insert(who);
                self.acknowledged.remove(who);
            }
            What::Looks { n, whose } => {
                let look = Look {
                    whose,
                    asked: place,
                    at: event.at,
                    asker: who,
                    copies: 0,
                };
                self.looks.entry((who, *n)).or_insert(look).copies += 1;
            }
            What::Got { .. } => return self.got(place, event),
            What::Listed { n, mail } => {
                let look = self.looks.get(&(who, *n));
                let look = look.ok_or_else(|| format!("a list nobody asked for: {event:?}"))?;
                let listed = self.shows_what_may_wait(look, mail);
                let whole = listed.and_then(|()| self.shows_what_must_wait(look, mail, event.at));
                return whole.map_err(|words| format!("{words}, in {event:?} for {look:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn got(&mut self, place: usize, event: &'a Event) -> Result<(), String> {
        let What::Got { from, n, how } = &event.what else {
            return Ok(());
        };
        let who = event.who.as_str();
        let letter = self.letters.entry((from, who, *n)).or_default();
        letter.got += 1;
        letter.fresh += u64::from(!how.may_repeat());
        letter.exactly += u64::from(how.qos == 2 && !how.clean);
        if !how.dup && letter.over_at().is_some_and(|at| at < event.at) {
            return Err(format!("{event:?} came when it was over: {letter:?}"));
        }
        let newest = self.newest.entry((from, who)).or_default();
        if letter.got == 1 && *n < *newest && letter.sent == 1 {
            return Err(format!("{who} got {from}'s {n} after {newest}"));
        }
        *newest = (*newest).max(*n);
        let here = self.acknowledged.entry(who).or_default();
        here.insert((from, who, *n), place);
        Ok(())
    }

    /// Everything that is listed was sent and is not known to be gone: acknowledged before the
    /// question on its connection, or, as the gateway confirmed, on any; or too old for a reader
    /// who never was here. (What was sent once may wait for longer.)
    fn shows_what_may_wait(&self, look: &Look<'_>, mail: &[(String, u64)]) -> Result<(), String> {
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for (from, n) in mail {
            let letter = self.letters.get(&(from.as_str(), look.whose, *n));
            let letter = letter.filter(|letter| letter.sent > 0);
            let letter = letter.ok_or_else(|| format!("{from}'s {n} was never sent"))?;
            let copy = letter.sent > 1;
            if newest.insert(from, *n).is_some_and(|before| before >= *n) && !copy {
                return Err(format!("{from}'s {n} stands behind a later one"));
            }
            if letter.settled.is_some_and(|place| place < look.asked) && !copy {
                return Err(format!("{from}'s {n} has arrived: {letter:?}"));
            }
            let here = self.acknowledged.get(look.whose);
            let acknowledged = here.and_then(|here| here.get(&(from.as_str(), look.whose, *n)));
            let before = acknowledged.is_some_and(|place| *place < look.asked);
            if look.whose == look.asker && look.copies == 1 && before && !copy {
                return Err(format!("its reader has acknowledged {from}'s {n}"));
            }
            let over = letter.over_at().is_some_and(|at| at < look.at);
            if over && !self.dialled.contains(look.whose) {
                return Err(format!("{from}'s {n} is over: {letter:?}"));
            }
        }
        Ok(())
    }

    /// What was taken before the question and has neither arrived nor become too old is listed, if
    /// nobody took mail out there.
    fn shows_what_must_wait(
        &self,
        look: &Look<'_>,
        mail: &[(String, u64)],
        now: Millis,
    ) -> Result<(), String> {
        if self.purges.contains(look.whose) {
            return Ok(());
        }
        let here = self.letters.iter().filter(|((_, to, _), letter)| {
            let waits = letter.taken.is_some_and(|place| place < look.asked) && letter.got == 0;
            *to == look.whose && waits && !letter.may_be_over(now)
        });
        for ((from, _, n), letter) in here {
            if !mail.iter().any(|(of, number)| of == from && number == n) {
                return Err(format!("{from}'s {n} is missing: {letter:?}"));
            }
        }
        Ok(())
    }

    fn counts(&self) -> Result<(), String> {
        for ((from, to, n), letter) in &self.letters {
            if letter.sent == 0 {
                return Err(format!("{to} got {n} of {from}, who never sent it"));
            }
            // A repeat at QoS 1 is a message of its own to the gateway, and so is one of a session
            // that did not last.
            if letter.fresh > letter.sent || (letter.sent == 1 && letter.exactly > 1) {
                return Err(format!("{to} got {n} of {from} too often: {letter:?}"));
            }
        }
        Ok(())
    }

    fn losses(&self, end: Millis, counts: &mut Counts) -> Result<(), String> {
        let mut lost: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        for ((from, to, n), letter) in &self.letters {
            if letter.taken.is_none() || letter.got > 0 {
                continue;
            }
            if letter.may_be_over(end) {
                *counts.entry("expired unread").or_default() += 1;
            } else {
                lost.entry(to).or_default().push((from, *n));
            }
        }
        for (to, lost) in lost {
            let purged = self.purged.get(to).copied().unwrap_or_default();
            if lost.len() as u64 > purged {
                return Err(format!(
                    "acknowledged, and {to} never got it (of which {purged} were purged): {lost:?}"
                ));
            }
        }
        Ok(())
    }
}

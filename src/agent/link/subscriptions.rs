//! What the agent is subscribed to, or will be once there is a connection. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;

use super::Level;
use crate::agent::error::Error;
use crate::wire::filter;

type Granted = oneshot::Sender<Result<(), Error>>;

/// All filters, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct FilterBook {
    wanted: BTreeMap<String, Wish>,
    /// SUBSCRIBEs that were not answered yet.
    asked: BTreeMap<u16, Vec<String>>,
    /// Wanted, and not asked for at present.
    aside: BTreeSet<String>,
    /// To be unsubscribed from, where the session remembers them.
    unwanted: BTreeSet<String>,
}

#[derive(Debug)]
struct Wish {
    level: Level,
    is_granted: bool,
    is_asked: bool,
    waiting: Vec<Granted>,
}

impl FilterBook {
    /// Somebody wants it. Who has it already asks again: for what is retained.
    pub(super) fn want(&mut self, filter: String, level: Level, done: Granted) {
        self.unwanted.remove(&filter);
        let wish = self.wanted.entry(filter).or_insert(Wish {
            level,
            is_granted: false,
            is_asked: false,
            waiting: Vec::new(),
        });
        wish.is_asked = false;
        wish.is_granted = false;
        wish.waiting.push(done);
    }

    /// Nobody wants it any more.
    pub(super) fn forget(&mut self, filter: String) {
        self.wanted.remove(&filter);
        self.aside.remove(&filter);
        self.unwanted.insert(filter);
    }

    /// A new connection: what was asked for on the last one is asked for again.
    pub(super) fn reconnected(&mut self, resumed: bool) {
        self.asked.clear();
        for wish in self.wanted.values_mut() {
            wish.is_asked = false;
            wish.is_granted &= resumed;
        }
        if !resumed {
            self.unwanted.clear();
        }
    }

    /// What comes on these topics is not wanted for a while. Whether there is any such filter.
    pub(super) fn set_aside(&mut self, is_it: impl Fn(&str) -> bool) -> bool {
        for (filter, wish) in self.wanted.iter_mut().filter(|(filter, _)| is_it(filter)) {
            wish.is_granted = false;
            wish.is_asked = false;
            self.aside.insert(filter.clone());
            self.unwanted.insert(filter.clone());
        }
        !self.aside.is_empty()
    }

    /// Whether what comes on a topic is not wanted for a while.
    pub(super) fn is_aside(&self, topic: &str) -> bool {
        let mut aside = self.aside.iter();
        aside.any(|filter| filter::matches(filter, topic))
    }

    /// It is wanted again.
    pub(super) fn take_back(&mut self) {
        self.aside.clear();
    }

    /// What is to be asked for now; answered under the identifier.
    pub(super) fn ask(
        &mut self,
        take_id: impl FnOnce() -> u16,
    ) -> Option<(u16, Vec<(&str, Level)>)> {
        let mut due = Vec::new();
        let mut names = Vec::new();
        for (filter, wish) in &mut self.wanted {
            let is_due = !wish.is_granted && !wish.is_asked && !self.aside.contains(filter);
            if is_due && due.len() < MOST_AT_ONCE {
                wish.is_asked = true;
                due.push((filter.as_str(), wish.level));
                names.push(filter.clone());
            }
        }
        if due.is_empty() {
            return None;
        }
        let id = take_id();
        self.asked.insert(id, names);
        Some((id, due))
    }

    /// What is to be unsubscribed from.
    pub(super) fn take_unwanted(&mut self) -> Option<String> {
        self.unwanted.pop_first()
    }

    /// A SUBACK: for each filter nothing, or why not.
    pub(super) fn answered(&mut self, id: u16, refused: Vec<Option<Error>>) {
        let filters = self.asked.remove(&id).unwrap_or_default();
        for (filter, refused) in filters.into_iter().zip(refused) {
            let Some(wish) = self.wanted.get_mut(&filter).filter(|wish| wish.is_asked) else {
                continue;
            };
            wish.is_granted = refused.is_none();
            for done in wish.waiting.drain(..) {
                // Who does not wait any more takes its route away by itself.
                let _ = done.send(refused.clone().map_or(Ok(()), Err));
            }
            if refused.is_some() {
                self.wanted.remove(&filter);
            }
        }
    }

    pub(super) fn end(&mut self, error: &Error) {
        for done in self
            .wanted
            .values_mut()
            .flat_map(|wish| wish.waiting.drain(..))
        {
            let _ = done.send(Err(error.clone()));
        }
    }
}

/// Filters in one SUBSCRIBE.
const MOST_AT_ONCE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(book: &mut FilterBook, id: u16) -> Vec<String> {
        let due = book.ask(|| id).map(|(_, due)| due).unwrap_or_default();
        due.into_iter()
            .map(|(filter, _)| filter.to_owned())
            .collect()
    }

    fn want(book: &mut FilterBook, filter: &str) -> oneshot::Receiver<Result<(), Error>> {
        let (done, granted) = oneshot::channel();
        book.want(filter.to_owned(), Level::Certain, done);
        granted
    }

    #[test]
    fn a_new_session_is_asked_for_everything_and_an_old_one_for_what_is_missing() {
        let mut book = FilterBook::default();
        let mut first = want(&mut book, "a");
        assert_eq!(asked(&mut book, 1), ["a"]);
        assert!(asked(&mut book, 2).is_empty(), "it is on its way");
        book.answered(1, vec![None]);
        assert!(matches!(first.try_recv(), Ok(Ok(()))));
        let _second = want(&mut book, "b");
        book.reconnected(true);
        assert_eq!(asked(&mut book, 3), ["b"]);
        book.reconnected(false);
        assert_eq!(asked(&mut book, 4), ["a", "b"]);
    }

    #[test]
    fn what_is_refused_is_told_and_not_asked_for_again() {
        let mut book = FilterBook::default();
        let mut granted = want(&mut book, "a");
        asked(&mut book, 1);
        book.answered(1, vec![Some(Error::Disconnected)]);
        assert!(matches!(granted.try_recv(), Ok(Err(Error::Disconnected))));
        book.reconnected(false);
        assert!(asked(&mut book, 2).is_empty());
    }

    #[test]
    fn what_was_forgotten_meanwhile_is_unsubscribed_from_if_the_session_knows_it() {
        let mut book = FilterBook::default();
        let _granted = want(&mut book, "a");
        book.forget("a".to_owned());
        book.reconnected(true);
        assert_eq!(book.take_unwanted().as_deref(), Some("a"));
        book.forget("b".to_owned());
        book.reconnected(false);
        assert_eq!(book.take_unwanted(), None);
    }
}

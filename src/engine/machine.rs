//! State machines on paper: for each pattern one table of every transition that there is.
//!
//! The tables stand beside the states that they are about. Whatever changes a state tells so, and
//! what is told is looked up here: in a debug build a transition that no table holds is a panic.
//! `docs/patterns.md` is drawn from them. They decide nothing.

/// One row: in which state, what happens, which state then, and the event that tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// `None`: there is no such thing yet.
    pub from: Option<&'static str>,
    /// In words.
    pub happens: &'static str,
    /// `None`: there is no such thing any more.
    pub to: Option<&'static str>,
    /// `pattern.transition`, as in an event's `what`.
    pub event: &'static str,
}

/// All rows of one kind of thing.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// What kind of thing: the word for it in the documentation.
    pub name: &'static str,
    /// Every transition, in the order of a life.
    pub transitions: &'static [Transition],
}

impl Transition {
    pub(super) const fn begins(
        happens: &'static str,
        to: &'static str,
        event: &'static str,
    ) -> Transition {
        Transition {
            from: None,
            happens,
            to: Some(to),
            event,
        }
    }

    pub(super) const fn moves(
        from: &'static str,
        happens: &'static str,
        to: &'static str,
        event: &'static str,
    ) -> Transition {
        Transition {
            from: Some(from),
            happens,
            to: Some(to),
            event,
        }
    }

    /// Something happens that leaves the state as it is.
    pub(super) const fn stays(
        at: &'static str,
        happens: &'static str,
        event: &'static str,
    ) -> Transition {
        Transition::moves(at, happens, at, event)
    }

    pub(super) const fn ends(
        from: &'static str,
        happens: &'static str,
        event: &'static str,
    ) -> Transition {
        Transition {
            from: Some(from),
            happens,
            to: None,
            event,
        }
    }

    /// Whether an event tells of this. One that names no state to come from tells of something that
    /// leaves the state as it is.
    fn is_told_as(&self, what: &str, from: Option<&str>, to: Option<&str>) -> bool {
        let same = self.from == from && self.to == to;
        let stays = self.from.is_some() && self.from == self.to && from.is_none();
        self.event == what && (same || stays)
    }
}

impl Machine {
    /// The row that an event tells of, if it is about a thing of this kind.
    pub fn row(&self, what: &str, from: Option<&str>, to: Option<&str>) -> Option<&Transition> {
        let mut rows = self.transitions.iter();
        rows.find(|row| row.is_told_as(what, from, to))
    }
}

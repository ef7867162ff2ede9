//! A second way in, beside the thread that commits: the database's own, under what is not in it
//! yet.

use std::ops::ControlFlow;

use super::super::store::{Space, StoreError, StoreReader, Visit, VisitKey};
use super::overlay::{Over, visit_merged};

/// `over` says what is not in the database of the keys from one on and below another.
pub(super) struct LoggedReader<F> {
    over: F,
    base: Box<dyn StoreReader>,
}

impl<F> LoggedReader<F>
where
    F: Fn(Space, &[u8], Option<&[u8]>) -> Over,
{
    pub(super) fn new(over: F, base: Box<dyn StoreReader>) -> LoggedReader<F> {
        LoggedReader { over, base }
    }
}

// What is pending is taken first: what goes to the database meanwhile is then seen twice, and not
// missed.
impl<F> StoreReader for LoggedReader<F>
where
    F: Fn(Space, &[u8], Option<&[u8]>) -> Over + Send,
{
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let over = (self.over)(space, from, Some(to));
        visit_merged(over, |visit| self.base.range(space, from, to, visit), visit)
    }

    fn keys(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: VisitKey<'_>,
    ) -> Result<(), StoreError> {
        let over = (self.over)(space, from, Some(to));
        let keys = |visit: Visit<'_>| {
            let each = &mut |key: &[u8]| -> ControlFlow<()> { visit(key, &[]) };
            self.base.keys(space, from, to, each)
        };
        visit_merged(over, keys, &mut |key, _| visit(key))
    }
}

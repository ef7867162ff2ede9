//! A second way in, beside the thread that commits: the database's own, under what is not in it yet.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::store::{Reader, Space, StoreError, Visit, VisitKey};
use super::overlay::visit_merged;
use super::pending::Pending;

pub(super) struct LoggedReader {
    pending: Arc<Pending>,
    base: Box<dyn Reader>,
}

impl LoggedReader {
    pub(super) fn new(pending: Arc<Pending>, base: Box<dyn Reader>) -> LoggedReader {
        LoggedReader { pending, base }
    }
}

// What is pending is taken first: what goes to the database meanwhile is then seen twice, and not missed.
impl Reader for LoggedReader {
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let over = self.pending.over(space, from, Some(to));
        visit_merged(over, |visit| self.base.range(space, from, to, visit), visit)
    }

    fn keys(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: VisitKey<'_>,
    ) -> Result<(), StoreError> {
        let over = self.pending.over(space, from, Some(to));
        let keys = |visit: Visit<'_>| {
            let each = &mut |key: &[u8]| -> ControlFlow<()> { visit(key, &[]) };
            self.base.keys(space, from, to, each)
        };
        visit_merged(over, keys, &mut |key, _| visit(key))
    }
}

//! What the desk knows of the disk: whether it takes anything, and up to where it shows what is retained.

use std::collections::VecDeque;

/// What the desk knows of the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// It takes nothing at present.
    pub is_stalled: bool,
    /// The newest stamp in each batch that is sealed and not on disk: as many as are under way.
    sealed: VecDeque<(u64, u64)>,
    /// The newest stamp of a retained message on disk.
    pub durable: u64,
}

impl Disk {
    /// All that has a stamp by now is on disk.
    pub(super) fn begin(&mut self, stamp: u64) {
        self.durable = stamp;
    }

    /// A batch goes to disk, with stamps up to this.
    pub(super) fn sealed(&mut self, number: u64, stamp: u64) {
        self.sealed.push_back((number, stamp));
    }

    /// A batch is on disk.
    pub(super) fn committed(&mut self, number: u64) {
        while let Some((_, stamp)) = self.sealed.pop_front_if(|(sealed, _)| *sealed <= number) {
            self.durable = stamp;
        }
    }
}

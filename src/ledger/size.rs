//! How much of the disk the data directory takes. It looks at sizes only, and at nothing deeper
//! than the log's own directory.

use std::fmt;
use std::fs::{self, DirEntry, Metadata};
use std::path::Path;

use super::log::LOG_DIRECTORY;
use super::sqlite::DATABASE_FILE;
use crate::metrics::{MetricSet, Scrape};

/// Bytes that the file system has set aside for what is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// The database, with its own log and index of that.
    pub database: u64,
    /// The commit log.
    pub log: u64,
    /// Everything else.
    pub other: u64,
}

impl MetricSet for DiskUse {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let help = "Bytes of the disk that the data directory takes: the database with its own log, the commit log, the rest.";
        let parts = [
            ("database", self.database),
            ("log", self.log),
            ("other", self.other),
        ];
        scrape.gauge("data_bytes", help, &("part", parts))
    }
}

impl DiskUse {
    /// As it is now. A file that comes or goes meanwhile is in it or not; what cannot be read is
    /// not.
    pub fn of(data: &Path) -> DiskUse {
        let mut found = DiskUse::default();
        for (entry, metadata) in entries(data) {
            let name = entry.file_name();
            if name == LOG_DIRECTORY {
                let files = entries(&entry.path());
                found.log += files.map(|(_, file)| taken(&file)).sum::<u64>();
            } else if name.to_string_lossy().starts_with(DATABASE_FILE) {
                found.database += taken(&metadata);
            } else {
                found.other += taken(&metadata);
            }
        }
        found
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = (DirEntry, Metadata)> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok().map(|metadata| (entry, metadata)))
}

/// What a file takes, which need not be its length.
fn taken(metadata: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    #[cfg(not(unix))]
    metadata.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts_once_where_it_belongs() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(DiskUse::of(&data.path().join("none")), DiskUse::default());
        fs::create_dir(data.path().join(LOG_DIRECTORY)).unwrap();
        let write = |name: &str, bytes: usize| {
            let file = fs::File::create(data.path().join(name)).unwrap();
            std::io::Write::write_all(&mut &file, &vec![7; bytes]).unwrap();
            file.sync_all().unwrap();
        };
        write(DATABASE_FILE, 1 << 20);
        write(&format!("{DATABASE_FILE}-wal"), 2 << 20);
        write(&format!("{LOG_DIRECTORY}/1.log"), 4 << 20);
        write("control", 1);
        let found = DiskUse::of(data.path());
        let about = |bytes: u64| bytes..bytes + (128 << 10);
        assert!(about(3 << 20).contains(&found.database), "{found:?}");
        assert!(about(4 << 20).contains(&found.log), "{found:?}");
        assert!((1..128 << 10).contains(&found.other), "{found:?}");
    }
}

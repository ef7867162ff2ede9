//! The data directory: creating it so that it survives a power cut, and keeping a second instance
//! out.
//!
//! It owns the `lock` file and the directory's entries. It never opens the database as one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::log::LOG_DIRECTORY;
use super::store::StoreError;

const LOCK_FILE: &str = "lock";

/// Makes sure that `dir` exists; a new one is readable by its owner alone, since it holds
/// everybody's messages.
pub(super) fn create(dir: &Path) -> Result<(), StoreError> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(StoreError::NotADirectory { path: dir.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(refused(dir, error)),
    }
    let parent = parent(dir);
    create(parent)?;
    match private_directory().create(dir) {
        Ok(()) => sync(parent),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => create_raced(dir),
        Err(error) => Err(refused(dir, error)),
    }
}

/// Tries whether a store could be opened in `dir`: whether the directory, and what is there of the
/// store, can be written, or whether it can be made. Leaves nothing behind.
///
/// # Errors
/// What a start would say.
pub fn check(dir: &Path) -> Result<(), StoreError> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => check_contents(dir),
        Ok(_) => Err(StoreError::NotADirectory { path: dir.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(dir) {
            // A link that leads nowhere.
            Ok(_) => Err(StoreError::NotADirectory { path: dir.into() }),
            Err(_) => check_can_be_made(dir, parent(dir)),
        },
        Err(error) => Err(refused(dir, error)),
    }
}

fn check_contents(dir: &Path) -> Result<(), StoreError> {
    let made = probe(dir);
    let file = OpenOptions::new().create_new(true).write(true).open(&made);
    file.and_then(|_| fs::remove_file(&made))
        .map_err(|error| refused(dir, error))?;
    for path in FILES_OF_A_STORE.iter().map(|name| dir.join(name)) {
        match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(&path, error)),
            _ => {}
        }
    }
    let log = dir.join(LOG_DIRECTORY);
    if log.is_dir() { check(&log) } else { Ok(()) }
}

fn check_can_be_made(dir: &Path, above: &Path) -> Result<(), StoreError> {
    match fs::metadata(above) {
        Ok(found) if found.is_dir() => {
            let made = probe(above);
            let made = private_directory()
                .create(&made)
                .and_then(|()| fs::remove_dir(&made));
            made.map_err(|error| refused(dir, error))
        }
        Ok(_) => Err(StoreError::NotADirectory { path: above.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound && parent(above) != above => {
            check_can_be_made(dir, parent(above))
        }
        Err(error) => Err(refused(above, error)),
    }
}

/// A name that nobody else uses.
fn probe(dir: &Path) -> PathBuf {
    dir.join(format!(".hallward-check-{}", std::process::id()))
}

/// Somebody else made it between the look and the creation.
fn create_raced(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        Ok(())
    } else {
        Err(StoreError::NotADirectory { path: dir.into() })
    }
}

fn private_directory() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Takes the advisory lock; it ends with the returned handle, also when the process is killed.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| refused(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.into() }),
        Err(TryLockError::Error(error)) => Err(refused(&path, error)),
    }
}

/// The same without changing anything: where nobody ever was there is nothing to lock.
pub(super) fn lock_if_there(dir: &Path) -> Result<Option<File>, StoreError> {
    let path = dir.join(LOCK_FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| refused(&path, error))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.into() }),
        Err(TryLockError::Error(error)) => Err(refused(&path, error)),
    }
}

/// What a store makes in its directory.
pub(super) const FILES_OF_A_STORE: [&str; 4] = [
    LOCK_FILE,
    "hallward.db",
    "hallward.db-wal",
    "hallward.db-shm",
];

/// Sees that nothing is in `dir` but the lock and what is named.
pub(super) fn expect_empty(dir: &Path, but: &[&str]) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir).map_err(|error| refused(dir, error))? {
        let name = entry.map_err(|error| refused(dir, error))?.file_name();
        let may_stay = name == LOCK_FILE || but.iter().any(|but| name == *but);
        if !may_stay {
            return Err(StoreError::NotEmpty {
                path: dir.into(),
                found: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(refused(path, error)),
        _ => Ok(()),
    }
}

/// Makes the entries of the directory durable: a synced file without a name is lost too.
pub(super) fn sync(dir: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| refused(dir, error))?;
    }
    Ok(())
}

/// A second handle of the database, for syncing alone.
pub(super) fn open_for_sync(path: &Path) -> Result<Arc<File>, StoreError> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .map(Arc::new)
        .map_err(|error| refused(path, error))
}

fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

pub(super) fn refused(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::NotADirectory => StoreError::NotADirectory {
            path: file_in_the_way(path).into(),
        },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { path: path.into() },
        _ => StoreError::NotWritable {
            path: path.into(),
            source: Arc::new(error),
        },
    }
}

/// The ancestor that should be a directory and is none.
fn file_in_the_way(path: &Path) -> &Path {
    let mut ancestors = path.ancestors().skip(1);
    ancestors.find(|ancestor| ancestor.exists()).unwrap_or(path)
}

//! Changes one user's line of a password file and leaves the others as they are: `hallward passwd`.
//!
//! The file is replaced as a whole, by one that only its owner may read, so that a gateway that
//! reads it meanwhile sees the old one or the new one.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::hash::{HashError, PasswordHash};

/// Why a password file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A name that cannot stand in the file.
    #[error(
        "a user name must not be empty and must not contain a colon, a line break or spaces at its ends, but is {0:?}"
    )]
    UserName(String),
    /// An empty password.
    #[error("the password must not be empty")]
    NoPassword,
    /// Nobody to delete.
    #[error("{}: no user {user:?}", path.display())]
    NoSuchUser {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        user: String,
    },
    /// The hash could not be made.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The file cannot be read or replaced.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Gives a user a password; makes the file if there is none.
///
/// # Errors
/// If the name or password cannot be used, or the file cannot be replaced.
pub fn set_password(path: &Path, user: &str, password: &[u8]) -> Result<(), EditError> {
    check_name(user)?;
    if password.is_empty() {
        return Err(EditError::NoPassword);
    }
    let line = format!("{user}:{}", PasswordHash::create(password)?);
    let mut lines = read(path)?;
    match lines.iter_mut().find(|line| user_of(line) == Some(user)) {
        Some(old) => *old = line,
        None => lines.push(line),
    }
    replace(path, &lines)
}

/// Takes a user out.
///
/// # Errors
/// If there is no such user, or the file cannot be replaced.
pub fn remove_user(path: &Path, user: &str) -> Result<(), EditError> {
    let mut lines = read(path)?;
    let before = lines.len();
    lines.retain(|line| user_of(line) != Some(user));
    if lines.len() == before {
        return Err(EditError::NoSuchUser {
            path: path.to_owned(),
            user: user.to_owned(),
        });
    }
    replace(path, &lines)
}

fn check_name(user: &str) -> Result<(), EditError> {
    let bad = user.is_empty()
        || user.trim() != user
        || user.starts_with('#')
        || user.contains([':', '\n', '\r', '\0']);
    if bad {
        Err(EditError::UserName(user.to_owned()))
    } else {
        Ok(())
    }
}

fn user_of(line: &str) -> Option<&str> {
    let (user, _) = line.split_once(':')?;
    (!line.starts_with('#')).then_some(user.trim())
}

fn read(path: &Path) -> Result<Vec<String>, EditError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(EditError::Io {
            path: path.to_owned(),
            error,
        }),
    }
}

fn replace(path: &Path, lines: &[String]) -> Result<(), EditError> {
    let new = temporary(path);
    let written = write_new(path, &new, lines);
    if written.is_err() {
        // It may not be there; the first error is the one to tell.
        let _ = fs::remove_file(&new);
    }
    written.map_err(|error| EditError::Io {
        path: path.to_owned(),
        error,
    })
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    name.into()
}

fn write_new(path: &Path, new: &Path, lines: &[String]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(new)?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    if let Ok(old) = fs::metadata(path) {
        // Root edits for the user that the gateway runs as; anybody else keeps what is theirs
        // anyway.
        let _ = std::os::unix::fs::chown(new, Some(old.uid()), Some(old.gid()));
    }
    file.sync_all()?;
    fs::rename(new, path)?;
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::file::PasswordFile;
    use super::*;

    #[test]
    fn users_are_added_changed_and_removed_without_touching_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords");
        set_password(&path, "ann", b"one").unwrap();
        fs::write(
            &path,
            format!("# ours\n{}", fs::read_to_string(&path).unwrap()),
        )
        .unwrap();
        set_password(&path, "bob", b"two").unwrap();
        set_password(&path, "ann", b"three").unwrap();
        let secret = std::hash::RandomState::new();
        let loaded = PasswordFile::load(&path).unwrap();
        assert!(loaded.check_of("ann", &secret).run(b"three").is_some());
        assert!(loaded.check_of("ann", &secret).run(b"one").is_none());
        assert!(loaded.check_of("bob", &secret).run(b"two").is_some());
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .starts_with("# ours\nann:$argon2id$")
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        remove_user(&path, "ann").unwrap();
        assert!(matches!(
            remove_user(&path, "ann"),
            Err(EditError::NoSuchUser { .. })
        ));
        assert!(PasswordFile::load(&path).unwrap().entry("bob").is_some());
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 1, "no temporary file is left");
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords");
        for bad in ["", "a:b", "a\nb", " a", "a ", "#a"] {
            let refused = set_password(&path, bad, b"x");
            assert!(matches!(refused, Err(EditError::UserName(_))), "{bad:?}");
        }
        assert!(matches!(
            set_password(&path, "a", b""),
            Err(EditError::NoPassword)
        ));
        assert!(!path.exists());
    }
}

//! What is wrong with a file of users, passwords, rights or keys: where, what was expected, what
//! came.

use std::fmt;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes: some hundred thousand users.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// One fault in one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileProblem {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What was expected and what came.
    pub message: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.message),
            None => write!(f, "{}: {}", self.path.display(), self.message),
        }
    }
}

impl FileProblem {
    /// A fault of the file as a whole.
    pub(super) fn whole(path: &Path, message: impl Into<String>) -> FileProblem {
        FileProblem {
            path: path.to_owned(),
            line: None,
            message: message.into(),
        }
    }

    /// A fault of one line.
    pub(super) fn at(path: &Path, line: usize, message: impl Into<String>) -> FileProblem {
        FileProblem {
            line: Some(line),
            ..FileProblem::whole(path, message)
        }
    }
}

/// All of them in one line.
pub fn list_problems(problems: &[FileProblem]) -> String {
    let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
    words.join("; ")
}

/// Reads a whole file of text.
pub(super) fn read_text(path: &Path) -> Result<String, FileProblem> {
    let cannot = |error: std::io::Error| FileProblem::whole(path, format!("cannot read: {error}"));
    let bytes = std::fs::metadata(path).map_err(cannot)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(FileProblem::whole(
            path,
            format!("must be at most {MAX_FILE_BYTES} bytes, but has {bytes}"),
        ));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

/// The line, from 1, of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

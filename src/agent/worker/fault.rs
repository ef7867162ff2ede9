//! Why a handler comes to nothing.

use std::error::Error as StdError;

use crate::agent::error::Error;
use crate::wire::handoff::TaskError;
use crate::wire::tools::ToolError;

/// The longest reason that is told, in bytes; the gateway takes 2 KiB.
const MAX_WORDS: usize = 1_800;

/// Why a handler failed. Any error becomes one with `?`, and another attempt may help then;
/// [`Fault::fatal`] says that none will.
#[derive(Debug)]
pub struct Fault {
    code: Option<String>,
    message: String,
    is_retryable: bool,
}

impl Fault {
    /// Another attempt may help.
    pub fn retry(message: impl Into<String>) -> Fault {
        Fault {
            code: None,
            message: message.into(),
            is_retryable: true,
        }
    }

    /// No other attempt will help: the task is dead.
    pub fn fatal(message: impl Into<String>) -> Fault {
        Fault {
            is_retryable: false,
            ..Fault::retry(message)
        }
    }

    /// With a short name, by which programs know it.
    #[must_use]
    pub fn code(self, code: impl Into<String>) -> Fault {
        Fault {
            code: Some(code.into()),
            ..self
        }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// At most as long as the gateway takes.
    fn words(mut self) -> String {
        if self.message.len() > MAX_WORDS {
            let end = self.message.floor_char_boundary(MAX_WORDS);
            self.message.truncate(end);
            self.message.push('…');
        }
        self.message
    }

    pub(super) fn into_task_error(self) -> TaskError {
        TaskError {
            code: self.code.clone(),
            retryable: Some(self.is_retryable),
            message: self.words(),
        }
    }

    pub(super) fn into_tool_error(self) -> ToolError {
        ToolError {
            code: self.code.clone(),
            message: self.words(),
            data: None,
        }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Fault {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !message.ends_with(&words) {
                message = format!("{message}: {words}");
            }
            cause = inner.source();
        }
        // What does not fit the handler will not fit next time.
        let is_misfit = (&error as &(dyn StdError + 'static))
            .downcast_ref::<Error>()
            .is_some_and(|error| matches!(error, Error::Payload(_)));
        Fault {
            is_retryable: !is_misfit,
            ..Fault::retry(message)
        }
    }
}

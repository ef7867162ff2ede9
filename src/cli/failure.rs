//! How commands fail: a line for people, a code for scripts.

use crate::agent;
use crate::config::Problems;
use crate::runtime;

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// One line: what was expected, what came, where.
    pub message: String,
}

impl Failure {
    /// It ran and failed.
    pub const RUNTIME: u8 = 1;
    /// The arguments or the configuration are wrong; the same again will fail again (`EX_USAGE` of
    /// sysexits.h).
    pub const USAGE: u8 = 64;
    /// Something is busy; the same again may succeed (`EX_TEMPFAIL` of sysexits.h).
    pub const TRY_AGAIN: u8 = 75;

    /// A failure while running.
    pub fn runtime(message: impl Into<String>) -> Failure {
        Failure {
            code: Failure::RUNTIME,
            message: message.into(),
        }
    }

    /// A failure of usage or configuration.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure {
            code: Failure::USAGE,
            message: message.into(),
        }
    }

    /// A failure that may pass.
    pub fn try_again(message: impl Into<String>) -> Failure {
        Failure {
            code: Failure::TRY_AGAIN,
            message: message.into(),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure::usage(problems.to_string())
    }
}

impl From<agent::Error> for Failure {
    fn from(error: agent::Error) -> Failure {
        Failure::runtime(error.to_string())
    }
}

impl From<runtime::GatewayError> for Failure {
    fn from(error: runtime::GatewayError) -> Failure {
        let message = error.to_string();
        match error {
            runtime::GatewayError::Configuration(_) => Failure::usage(message),
            runtime::GatewayError::Busy(_) => Failure::try_again(message),
            runtime::GatewayError::Failed(_) => Failure::runtime(message),
        }
    }
}

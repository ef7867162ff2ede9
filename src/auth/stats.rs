//! What authentication and authorisation count.

use crate::count::Count;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A wrong password, an unknown user, a token that is none.
    Credentials,
    /// A client that brought nothing to prove who it is.
    Anonymous,
    /// A client id that is not the user's.
    ClientId,
    /// A session or mailbox of another user.
    Owner,
    /// A will on a topic that the client may not write.
    Will,
    /// A publish.
    Publish,
    /// A subscription.
    Subscribe,
    /// A delivery.
    Receive,
    /// A session whose user was removed or changed.
    Removed,
    /// A session whose token is over.
    Expired,
}

impl Refused {
    /// Every kind.
    pub const ALL: [Refused; 10] = [
        Refused::Credentials,
        Refused::Anonymous,
        Refused::ClientId,
        Refused::Owner,
        Refused::Will,
        Refused::Publish,
        Refused::Subscribe,
        Refused::Receive,
        Refused::Removed,
        Refused::Expired,
    ];

    /// As metrics and log lines name it.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Credentials => "credentials",
            Refused::Anonymous => "anonymous",
            Refused::ClientId => "client_id",
            Refused::Owner => "owner",
            Refused::Will => "will",
            Refused::Publish => "publish",
            Refused::Subscribe => "subscribe",
            Refused::Receive => "receive",
            Refused::Removed => "removed",
            Refused::Expired => "expired",
        }
    }
}

/// Counters, and gauges of password checks.
#[derive(Debug, Default)]
pub struct Stats {
    refused: [Count; Refused::ALL.len()],
    /// Clients that proved who they are.
    pub logins: Count,
    /// Password checks that run now.
    pub checks_running: Count,
    /// Clients whose password check waits now.
    pub checks_waiting: Count,
    /// Times that the files were read anew.
    pub reloads: Count,
    /// Times that they were and changed nothing, because something was wrong with them.
    pub reloads_failed: Count,
}

impl Stats {
    pub(super) fn count(&self, kind: Refused) {
        self.refused[kind as usize].add_one();
    }

    /// Counts a delivery that was refused.
    pub fn count_delivery(&self) {
        self.count(Refused::Receive);
    }

    /// Refusals of one kind.
    pub fn refused(&self, kind: Refused) -> u64 {
        self.refused[kind as usize].value()
    }
}

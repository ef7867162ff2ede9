//! What authentication and authorisation count.

use crate::metrics::{Count, Per, labelled, labels, metrics};

labels! {
    /// What was refused.
    pub enum AuthRefusal by "kind" {
        /// A wrong password, an unknown user, a token that is none.
        Credentials = "credentials",
        /// A client that brought nothing to prove who it is.
        Anonymous = "anonymous",
        /// A client id that is not the user's.
        ClientId = "client_id",
        /// A session or mailbox of another user.
        Owner = "owner",
        /// A will on a topic that the client may not write.
        Will = "will",
        /// A publish.
        Publish = "publish",
        /// A subscription.
        Subscribe = "subscribe",
        /// A delivery.
        Receive = "receive",
        /// A session whose user was removed or changed.
        Removed = "removed",
        /// A session whose token is over.
        Expired = "expired",
    }
}

labelled! {
    /// Times that users, rights and keys were read anew.
    pub struct Reloads by "outcome" {
        /// They hold now.
        done,
        /// Something was wrong with them, and nothing changed.
        failed,
    }
}

metrics! {
    /// Counters, and gauges of password checks.
    #[derive(Debug, Default)]
    pub struct AuthStats {
        /// Clients that proved who they are.
        counter logins: Count = "auth_logins",
        /// What clients were refused.
        counter refused: Per<AuthRefusal> = "auth_refusals",
        /// Password checks that run now.
        gauge checks_running: Count = "auth_password_checks",
        /// Clients whose password check waits for others.
        gauge checks_waiting: Count = "auth_password_checks_waiting",
        /// Times that users, rights and keys were read anew.
        counter reloads: Reloads = "auth_reloads",
    }
}

impl AuthStats {
    pub(super) fn count(&self, kind: AuthRefusal) {
        self.refused.of(kind).add_one();
    }

    /// Counts a delivery that was refused.
    pub fn count_delivery(&self) {
        self.count(AuthRefusal::Receive);
    }
}

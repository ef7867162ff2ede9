//! Everything that the files say, read at one moment; never changed, only replaced as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::acl::Acl;
use super::client_id::ClientIds;
use super::identity::{ClientIdentity, Proof};
use super::password::PasswordFile;
use super::problem::FileProblem;
use super::rights::Rights;
use super::settings::AuthSettings;
use super::stats::AuthRefusal;
use super::token::TokenVerifier;
use super::users::{Grants, UsersFile};

/// Users, rights and keys.
#[derive(Debug)]
pub struct Rules {
    pub(super) settings: AuthSettings,
    pub(super) passwords: Option<PasswordFile>,
    pub(super) tokens: Option<TokenVerifier>,
    pub(super) acl: Option<Acl>,
    users: UsersFile,
    client_ids: ClientIds,
    /// Everybody who is named in a file.
    known: BTreeSet<Arc<str>>,
}

impl Rules {
    /// Reads all files.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(settings: &AuthSettings) -> Result<Rules, Vec<FileProblem>> {
        let mut problems = Vec::new();
        let mut keep = |result: Result<(), Vec<FileProblem>>| {
            problems.extend(result.err().unwrap_or_default());
        };
        let (mut passwords, mut users) = (None, UsersFile::default());
        let (mut acl, mut tokens) = (None, None);
        if let Some(path) = &settings.password_file {
            keep(PasswordFile::load(path).map(|file| passwords = Some(file)));
        }
        if let Some(path) = &settings.users_file {
            let loaded = UsersFile::load(path).map(|file| users = file);
            keep(loaded.map_err(|problem| vec![problem]));
        }
        if let Some(path) = &settings.acl_file {
            keep(Acl::load(path).map(|file| acl = Some(file)));
        }
        keep(TokenVerifier::load(&settings.tokens).map(|found| tokens = found));
        if !problems.is_empty() {
            return Err(problems);
        }
        let client_ids = ClientIds::new(&settings.client_ids)
            .map_err(|error| vec![FileProblem::whole("client_ids".as_ref(), error.to_string())])?;
        let mut known: BTreeSet<Arc<str>> = users.users().map(Arc::from).collect();
        known.extend(passwords.iter().flat_map(PasswordFile::users).cloned());
        known.extend(acl.iter().flat_map(Acl::users).map(Arc::from));
        known.extend(settings.anonymous.as_deref().map(Arc::from));
        Ok(Rules {
            settings: settings.clone(),
            passwords,
            tokens,
            acl,
            users,
            client_ids,
            known,
        })
    }

    /// What an identity may do under a client id, if it may have that id and is still somebody.
    ///
    /// # Errors
    /// What stands against it.
    pub fn rights(
        self: &Arc<Rules>,
        identity: &Arc<ClientIdentity>,
        client_id: &Arc<str>,
    ) -> Result<Rights, AuthRefusal> {
        if !self.still_holds(identity) {
            return Err(AuthRefusal::Removed);
        }
        if !self
            .client_ids
            .allow(&identity.user, client_id, &self.known)
        {
            return Err(AuthRefusal::ClientId);
        }
        let grants = self.grants(identity);
        Ok(Rights::new(
            self.clone(),
            identity.clone(),
            client_id.clone(),
            grants,
        ))
    }

    /// Somebody of this name, proved by nothing, to ask what they might do.
    pub fn suppose(&self, user: &str) -> Arc<ClientIdentity> {
        let anonymous = self.settings.anonymous.as_deref() == Some(user);
        Arc::new(ClientIdentity {
            user: user.into(),
            proof: if anonymous {
                Proof::Anonymous
            } else {
                Proof::Supposed
            },
        })
    }

    fn still_holds(&self, identity: &ClientIdentity) -> bool {
        match &identity.proof {
            Proof::Anonymous => self.settings.anonymous.as_deref() == Some(&identity.user),
            Proof::Password(text) => self
                .passwords
                .as_ref()
                .and_then(|file| file.entry(&identity.user))
                .is_some_and(|entry| entry.text == *text),
            Proof::Token { key, .. } => {
                let tokens = self.tokens.as_ref();
                tokens.is_some_and(|tokens| tokens.has_key(key))
            }
            Proof::Certificate => self.settings.certificate,
            Proof::Supposed => true,
        }
    }

    /// Roles and rooms: the token's, where it has the claims, else the file's.
    fn grants(&self, identity: &ClientIdentity) -> Arc<Grants> {
        let grants = self.users.grants(&identity.user);
        let Proof::Token { roles, rooms, .. } = &identity.proof else {
            return grants.clone();
        };
        Arc::new(Grants {
            roles: roles.unwrap_or(grants.roles),
            rooms: rooms.clone().unwrap_or_else(|| grants.rooms.clone()),
        })
    }

    /// An id for a client of this user that brought none; `None` if the rule of client ids has no
    /// room for new ones.
    pub fn assign_id(&self, identity: &ClientIdentity, fresh: &str) -> Option<String> {
        self.client_ids.assign(&identity.user, fresh)
    }
}

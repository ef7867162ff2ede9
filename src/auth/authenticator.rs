//! The one authenticator of a running gateway: lets clients prove who they are, holds the rules in
//! force, and has them read anew.
//!
//! Connections share it. What it decides for one of them stands in the [`Rights`] that it gives
//! out; when the rules change it says so, and everybody asks for new ones.

use std::hash::RandomState;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Semaphore, watch};

use super::identity::{ClientIdentity, Proof};
use super::problem::FileProblem;
use super::rights::Rights;
use super::rules::Rules;
use super::settings::AuthSettings;
use super::stats::{AuthRefusal, AuthStats};
use super::token::{TokenVerifier, Verified};
use crate::log_limiter::{About, LogLimiter, limited, shortened};

/// What a client brings to prove who it is.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// User Name of CONNECT.
    pub user: Option<&'a str>,
    /// Password of CONNECT: a password, or a token.
    pub password: Option<&'a [u8]>,
    /// The name in a certificate that TLS has verified.
    pub certificate: Option<&'a Arc<str>>,
}

/// See the module.
#[derive(Debug)]
pub struct Authenticator {
    rules: RwLock<Arc<Rules>>,
    changes: watch::Sender<()>,
    checks: Arc<Semaphore>,
    /// Decides whose hash stands in for that of somebody unknown.
    secret: RandomState,
    stats: Arc<AuthStats>,
    log_limiter: Arc<LogLimiter>,
}

impl Authenticator {
    /// Reads the files. Refusals go into the log limiter.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn open(
        settings: AuthSettings,
        log_limiter: Arc<LogLimiter>,
    ) -> Result<Arc<Authenticator>, Vec<FileProblem>> {
        let rules = Rules::load(&settings)?;
        warn_of_open_files(&settings);
        Ok(Arc::new(Authenticator {
            rules: RwLock::new(Arc::new(rules)),
            changes: watch::Sender::new(()),
            checks: Arc::new(Semaphore::new(settings.max_password_checks.max(1))),
            secret: RandomState::new(),
            stats: Arc::default(),
            log_limiter,
        }))
    }

    /// Reads the files that these settings name, and changes nothing yet. Blocks.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(&self, settings: &AuthSettings) -> Result<Rules, Vec<FileProblem>> {
        Rules::load(settings).inspect_err(|_| self.stats.reloads.failed.add_one())
    }

    /// From now on these rules count.
    pub fn adopt(&self, rules: Rules) {
        warn_of_open_files(&rules.settings);
        let mut place = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(rules);
        self.changes.send_replace(());
        // Under the lock: whoever sees the count sees the rules too. Sessions look for news before
        // each decision.
        self.stats.reloads.done.add_one();
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.clone()
    }

    /// Tells when the rules have changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// What it counts.
    pub fn stats(&self) -> Arc<AuthStats> {
        self.stats.clone()
    }

    /// Finds out who a client is. A password check may wait for others, and runs on a thread that
    /// may block.
    ///
    /// # Errors
    /// If it proves nothing; counted by whoever refuses it.
    pub async fn login(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<Arc<ClientIdentity>, AuthRefusal> {
        let rules = self.rules();
        let identity = match credentials {
            Credentials {
                certificate: Some(name),
                ..
            } if rules.settings.certificate => ClientIdentity {
                user: name.clone(),
                proof: Proof::Certificate,
            },
            Credentials {
                user: None,
                password: None,
                ..
            } => anonymous(&rules.settings)?,
            Credentials {
                password: Some(token),
                ..
            } if TokenVerifier::looks_like_one(token) && rules.tokens.is_some() => {
                by_token(&rules, token)?
            }
            Credentials {
                user: Some(user),
                password: Some(password),
                ..
            } => self.by_password(&rules, user, password).await?,
            _ => return Err(AuthRefusal::Credentials),
        };
        self.stats.logins.add_one();
        Ok(Arc::new(identity))
    }

    async fn by_password(
        &self,
        rules: &Rules,
        user: &str,
        password: &[u8],
    ) -> Result<ClientIdentity, AuthRefusal> {
        let file = rules.passwords.as_ref().ok_or(AuthRefusal::Credentials)?;
        let check = file.check_of(user, &self.secret);
        let waiting = self.stats.checks_waiting.raise();
        let permit = self.checks.clone().acquire_owned().await;
        drop(waiting);
        let stats = self.stats.clone();
        let password = password.to_vec();
        // A client that goes away does not end its check, so the check itself holds the place.
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let _running = stats.checks_running.raise();
            check.run(&password)
        });
        match checked.await {
            Ok(Some(entry)) => Ok(ClientIdentity {
                user: user.into(),
                proof: Proof::Password(entry.text.clone()),
            }),
            _ => Err(AuthRefusal::Credentials),
        }
    }

    /// Counts a refusal, and logs it unless the client had such a line this minute.
    pub fn refused(
        &self,
        about: About,
        kind: AuthRefusal,
        client_id: &str,
        what: &dyn std::fmt::Display,
    ) {
        self.stats.count(kind);
        let client = shortened(client_id);
        let admitted = self.log_limiter.admits(about, kind.name(), client);
        limited!(
            warn,
            admitted,
            client,
            kind = kind.name(),
            "refused: {what}"
        );
    }

    /// The same rights under the rules that are in force now.
    ///
    /// # Errors
    /// If the identity or its client id is not what it was.
    pub fn renew(&self, rights: &Rights) -> Result<Rights, AuthRefusal> {
        self.rules().rights(rights.identity(), rights.client_id())
    }
}

fn anonymous(settings: &AuthSettings) -> Result<ClientIdentity, AuthRefusal> {
    let user = settings
        .anonymous
        .as_deref()
        .ok_or(AuthRefusal::Anonymous)?;
    Ok(ClientIdentity {
        user: user.into(),
        proof: Proof::Anonymous,
    })
}

fn by_token(rules: &Rules, token: &[u8]) -> Result<ClientIdentity, AuthRefusal> {
    let tokens = rules.tokens.as_ref().ok_or(AuthRefusal::Credentials)?;
    match tokens.verify(token) {
        Ok(Verified {
            user,
            roles,
            rooms,
            expires_at,
            key,
        }) => Ok(ClientIdentity {
            user,
            proof: Proof::Token {
                key,
                expires_at,
                roles,
                rooms,
            },
        }),
        Err(error) => {
            tracing::debug!(%error, "token refused");
            Err(AuthRefusal::Credentials)
        }
    }
}

/// Secrets that everybody on the machine may read are worth a word.
fn warn_of_open_files(settings: &AuthSettings) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = |path: &Path| {
        let metadata = std::fs::metadata(path);
        metadata.is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
    };
    let files = [&settings.password_file, &settings.tokens.key_file];
    for path in files.into_iter().flatten().filter(|path| open(path)) {
        tracing::warn!("{}: everybody on this machine may read it", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticator(settings: AuthSettings) -> Arc<Authenticator> {
        let settings = AuthSettings {
            client_ids: vec!["%u".to_owned()],
            ..settings
        };
        Authenticator::open(settings, Arc::default()).unwrap()
    }

    #[tokio::test]
    async fn a_verified_certificate_is_a_login_where_it_is_meant_to_be() {
        let name: Arc<str> = "sensor-7".into();
        let credentials = Credentials {
            user: Some("somebody"),
            password: Some(b"else"),
            certificate: Some(&name),
        };
        let on = authenticator(AuthSettings {
            certificate: true,
            ..AuthSettings::default()
        });
        let identity = on.login(credentials).await.unwrap();
        assert_eq!(identity.user, name);
        assert!(on.rules().rights(&identity, &name).is_ok());
        assert_eq!(
            on.login(Credentials::default()).await,
            Err(AuthRefusal::Anonymous)
        );
        let off = authenticator(AuthSettings::default());
        assert_eq!(off.login(credentials).await, Err(AuthRefusal::Credentials));
        let rights = off.rules().rights(&identity, &name);
        assert_eq!(
            rights.err(),
            Some(AuthRefusal::Removed),
            "not after a change of mind"
        );
    }

    #[tokio::test]
    async fn checks_wait_for_one_another_and_a_client_that_leaves_gives_up_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords");
        crate::auth::set_password(&path, "ann", b"right").unwrap();
        let authenticator = authenticator(AuthSettings {
            password_file: Some(path),
            max_password_checks: 1,
            ..AuthSettings::default()
        });
        let place = authenticator.checks.clone().acquire_owned().await.unwrap();
        let login = |password| Credentials {
            user: Some("ann"),
            password: Some(password),
            certificate: None,
        };
        {
            let mut waiting = std::pin::pin!(authenticator.login(login(b"right")));
            let polled =
                std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
            assert_eq!(authenticator.stats.checks_waiting.value(), 1);
        }
        assert_eq!(authenticator.stats.checks_waiting.value(), 0);
        drop(place);
        let (good, bad) = tokio::join!(
            authenticator.login(login(b"right")),
            authenticator.login(login(b"wrong"))
        );
        assert_eq!(&*good.unwrap().user, "ann");
        assert_eq!(bad, Err(AuthRefusal::Credentials));
        assert_eq!(authenticator.stats.checks_running.value(), 0);
    }
}

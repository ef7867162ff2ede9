//! TLS: one set of certificates for all listeners that encrypt, read again when an operator says
//! so.
//!
//! It owns the rustls configuration and swaps it whole: a handshake uses the one that was current
//! when it began, and connections that stand are not touched. A set of files that does not fit
//! leaves the old one in use. It never decides who may come in: it hands on the name from a
//! certificate that it has verified.

mod files;
mod identity;
mod names;

use std::fmt;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::metrics::{MetricSet, Scrape, labelled};

use super::config::{CertificatePair, ClientCertificate, Identity, MinVersion, TlsConfig};
pub use files::TlsError;
use files::{CertificateSummary, ConfiguredFile, is_stale, summary};
use names::ByName;

/// A handshake that takes longer goes on without being counted: its client is slow, and others need
/// not wait for that.
const TURN: Duration = Duration::from_millis(500);

labelled! {
    /// Times that the files of certificates were read again.
    pub struct CertificateReloads by "outcome" {
        /// They are in use.
        done,
        /// Something was wrong with them.
        failed,
    }
}

/// The certificates in use.
pub struct TlsServer {
    current: RwLock<InUse>,
    /// Of the certificate that expires first, in Unix seconds.
    not_after: AtomicI64,
    /// Times that the files were read again.
    pub reloads: CertificateReloads,
    turns: Semaphore,
}

#[derive(Clone)]
struct InUse {
    config: Arc<ServerConfig>,
    identity: Identity,
}

/// Certificates that were read and are not in use yet.
pub struct Prepared {
    in_use: InUse,
    not_after: i64,
    loaded: LoadedCertificates,
}

/// What was loaded, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedCertificates {
    /// Who each certificate is for, and until when.
    pub certificates: String,
    /// What is usable and will not please everybody: an expired certificate, a stale revocation
    /// list.
    pub warnings: Vec<String>,
}

impl MetricSet for TlsServer {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating-point in the format"
    )]
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let help = "When the first of the gateway's certificates expires, in Unix time.";
        let not_after = self.not_after() as f64;
        scrape.gauge("tls_certificate_not_after_seconds", help, &not_after)?;
        let help = "Times that the files were read again.";
        scrape.counter("tls_reloads", help, &self.reloads)
    }
}

impl TlsServer {
    /// Reads the files.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn load(settings: &TlsConfig) -> Result<(TlsServer, LoadedCertificates), TlsError> {
        let Prepared {
            in_use,
            not_after,
            loaded,
        } = build(settings)?;
        let tls = TlsServer {
            turns: Semaphore::new(settings.max_handshakes),
            current: RwLock::new(in_use),
            not_after: AtomicI64::new(not_after),
            reloads: CertificateReloads::default(),
        };
        Ok((tls, loaded))
    }

    /// Reads the files that these settings name, and changes nothing yet.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn read(&self, settings: &TlsConfig) -> Result<Prepared, TlsError> {
        build(settings).inspect_err(|_| self.reloads.failed.add_one())
    }

    /// Handshakes that begin from now on use these.
    pub fn adopt(&self, prepared: Prepared) -> LoadedCertificates {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = prepared.in_use;
        self.not_after.store(prepared.not_after, Ordering::Relaxed);
        // Under the lock: whoever sees the count shakes hands with the new ones.
        self.reloads.done.add_one();
        prepared.loaded
    }

    /// When the first of the gateway's certificates expires, in Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.not_after.load(Ordering::Relaxed)
    }

    /// Shakes hands, and says who the client is if its certificate does.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<Arc<str>>)> {
        let InUse { config, identity } = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // If all went on at once, a storm of clients would make each so slow that none is done
        // before its deadline. Whoever says nothing takes no turn.
        stream.readable().await?;
        let turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let mut handshake = pin!(TlsAcceptor::from(config).accept(stream));
        let begun = timeout(TURN, &mut handshake).await;
        drop(turn);
        let stream = match begun {
            Ok(done) => done?,
            Err(_) => handshake.await?,
        };
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let name = certificate.and_then(|own| identity::identity(own, identity));
        Ok((stream, name.map(Arc::from)))
    }
}

fn build(settings: &TlsConfig) -> Result<Prepared, TlsError> {
    let provider = Arc::new(default_provider());
    let mut warnings = Vec::new();
    let mut summaries = Vec::new();
    let mut load = |files: PairFiles<'_>| {
        let (certified, summary) = certified(files, &provider)?;
        if let Some(warning) = summary.warning {
            let ConfiguredFile { key, path } = files.certificate;
            warnings.push(format!("{key}: {} {warning}", path.display()));
        }
        summaries.push(summary);
        Ok(certified)
    };
    let own = load(PairFiles::own(settings))?;
    let mut certificates = ByName::new(own);
    for other in &settings.others {
        let files = PairFiles::other(other);
        certificates
            .add(load(files)?)
            .map_err(|reason| files.certificate.unusable(reason))?;
    }
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| PairFiles::own(settings).certificate.unusable(error))?;
    let verifier = verifier(settings, provider, &mut warnings)?;
    let asks_clients = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    if asks_clients {
        // A resumed session would not be checked again: its certificate may have been revoked or
        // have expired meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    let described =
        |own: &CertificateSummary| format!("{}, valid until {}", own.subject, own.not_after_text);
    let described: Vec<String> = summaries.iter().map(described).collect();
    let loaded = LoadedCertificates {
        certificates: described.join("; "),
        warnings,
    };
    let not_after = summaries.iter().map(|own| own.not_after).min();
    Ok(Prepared {
        in_use: InUse {
            config: Arc::new(config),
            identity: settings.identity,
        },
        not_after: not_after.unwrap_or_default(),
        loaded,
    })
}

/// The files of a pair, with the keys that name them.
#[derive(Clone, Copy)]
struct PairFiles<'a> {
    certificate: ConfiguredFile<'a>,
    key: ConfiguredFile<'a>,
}

impl PairFiles<'_> {
    fn own(settings: &TlsConfig) -> PairFiles<'_> {
        let TlsConfig {
            certificate, key, ..
        } = settings;
        PairFiles {
            certificate: ConfiguredFile::new("tls.certificate", certificate),
            key: ConfiguredFile::new("tls.key", key),
        }
    }

    fn other(pair: &CertificatePair) -> PairFiles<'_> {
        PairFiles {
            certificate: ConfiguredFile::new("tls.others", &pair.certificate),
            key: ConfiguredFile::new("tls.others", &pair.key),
        }
    }
}

fn certified(
    files: PairFiles<'_>,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, CertificateSummary), TlsError> {
    let PairFiles { certificate, key } = files;
    let chain = certificate.certificates()?;
    let summary = summary(&chain[0]);
    match CertifiedKey::from_der(chain, key.private_key()?, provider) {
        Ok(certified) => Ok((certified, summary)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
            key_of: key.key,
            key: key.path.to_owned(),
            certificate_of: certificate.key,
            certificate: certificate.path.to_owned(),
        }),
        Err(error) => Err(key.unusable(error)),
    }
}

fn verifier(
    settings: &TlsConfig,
    provider: Arc<CryptoProvider>,
    warnings: &mut Vec<String>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let given = |path: &Path| !path.as_os_str().is_empty();
    if settings.client_certificate == ClientCertificate::None || !given(&settings.client_ca) {
        return Ok(None);
    }
    let source = ConfiguredFile::new("tls.client_ca", &settings.client_ca);
    let roots = roots(source, source.authorities()?)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let crl = Some(ConfiguredFile::new("tls.crl", &settings.crl)).filter(|_| given(&settings.crl));
    if let Some(crl) = crl {
        builder = builder
            .with_crls(revocations(crl, warnings)?)
            .only_check_end_entity_revocation();
    }
    if settings.client_certificate == ClientCertificate::Optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build();
    let verifier = verifier.map_err(|error| crl.unwrap_or(source).unusable(error))?;
    Ok(Some(verifier))
}

fn roots(
    source: ConfiguredFile<'_>,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority)
            .map_err(|error| source.unusable(error))?;
    }
    Ok(roots)
}

fn revocations(
    source: ConfiguredFile<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<rustls::pki_types::CertificateRevocationListDer<'static>>, TlsError> {
    let lists = source.revocations()?;
    if lists.iter().any(is_stale) {
        let path = source.path.display();
        warnings.push(format!(
            "tls.crl: {path} should have been replaced by now; it is used all the same"
        ));
    }
    Ok(lists)
}

#[cfg(test)]
mod tests;

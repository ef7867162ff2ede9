//! Reads the PEM files that TLS needs and says exactly what is wrong with one that does not fit.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{
    CertificateRevocationList, FromDer, GeneralName, X509Certificate, X509Version,
};

/// What is wrong with the files that TLS was given. `key` is the configuration's, such as
/// `tls.certificate`.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there, or may not be read.
    #[error("{key}: cannot read {path}: {error}")]
    Unreadable {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file holds something else.
    #[error("{key}: {path}: expected {expected}, but found {found}")]
    Unexpected {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What belongs into it.
        expected: &'static str,
        /// What is in it.
        found: String,
    },
    /// The private key is not the certificate's.
    #[error(
        "{key_of}: {key} does not belong to the certificate in {certificate} ({certificate_of})"
    )]
    Mismatch {
        /// The configuration's key for the key's file.
        key_of: &'static str,
        /// The key's file.
        key: PathBuf,
        /// The configuration's key for the certificate's file.
        certificate_of: &'static str,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The files are well formed, and TLS cannot work with them.
    #[error("{key}: {path}: cannot be used: {reason}")]
    Unusable {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A configured file, with the key that names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfiguredFile<'a> {
    pub(super) key: &'static str,
    pub(super) path: &'a Path,
}

impl<'a> ConfiguredFile<'a> {
    pub(super) fn new(key: &'static str, path: &'a Path) -> ConfiguredFile<'a> {
        ConfiguredFile { key, path }
    }

    pub(super) fn unusable(self, reason: impl ToString) -> TlsError {
        TlsError::Unusable {
            key: self.key,
            path: self.path.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn unexpected(self, expected: &'static str, found: impl Into<String>) -> TlsError {
        TlsError::Unexpected {
            key: self.key,
            path: self.path.to_owned(),
            expected,
            found: found.into(),
        }
    }

    fn read(self) -> Result<Vec<u8>, TlsError> {
        std::fs::read(self.path).map_err(|error| TlsError::Unreadable {
            key: self.key,
            path: self.path.to_owned(),
            error,
        })
    }

    /// All sections of one kind; at least one.
    fn sections<T: PemObject>(self, expected: &'static str) -> Result<Vec<T>, TlsError> {
        let text = self.read()?;
        let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.unexpected(expected, contents(&text))),
            Err(error) => Err(self.unexpected(expected, format!("broken PEM: {error}"))),
        }
    }

    /// A chain of certificates, the gateway's own first.
    pub(super) fn certificates(self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain: Vec<CertificateDer<'static>> =
            self.sections("a certificate (-----BEGIN CERTIFICATE-----)")?;
        for certificate in &chain {
            self.parse(certificate)?;
        }
        Ok(chain)
    }

    /// Certificates of authorities: what clients' certificates are checked against.
    pub(super) fn authorities(self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let authorities = self.certificates()?;
        for certificate in &authorities {
            let parsed = self.parse(certificate)?;
            // Version 1 has no extensions to say it with.
            if parsed.version() != X509Version::V1 && !parsed.is_ca() {
                return Err(self.unexpected(
                    "certificates of authorities (CA:TRUE)",
                    format!(
                        "one that is not allowed to sign others: {}",
                        parsed.subject()
                    ),
                ));
            }
        }
        Ok(authorities)
    }

    pub(super) fn private_key(self) -> Result<PrivateKeyDer<'static>, TlsError> {
        const EXPECTED: &str = "a private key (PKCS#8, PKCS#1 or SEC1)";
        let text = self.read()?;
        match PrivateKeyDer::from_pem_slice(&text) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(self.unexpected(EXPECTED, contents(&text))),
            Err(error) => Err(self.unexpected(EXPECTED, format!("broken PEM: {error}"))),
        }
    }

    pub(super) fn revocations(
        self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        self.sections("a revocation list (-----BEGIN X509 CRL-----)")
    }

    fn parse<'c>(
        self,
        certificate: &'c CertificateDer<'_>,
    ) -> Result<X509Certificate<'c>, TlsError> {
        match X509Certificate::from_der(certificate) {
            Ok((_, parsed)) => Ok(parsed),
            Err(error) => Err(self.unusable(format!("not an X.509 certificate: {error}"))),
        }
    }
}

/// What a PEM file holds, by its headings.
fn contents(text: &[u8]) -> String {
    const HEAD: &str = "-----BEGIN ";
    let text = String::from_utf8_lossy(text);
    let mut headings: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(HEAD)?.strip_suffix("-----"))
        .collect();
    headings.dedup();
    match &headings[..] {
        _ if text.trim().is_empty() => "an empty file".to_owned(),
        [] => "no PEM at all".to_owned(),
        ["ENCRYPTED PRIVATE KEY"] => "one that is encrypted: decrypt it first".to_owned(),
        [..] => {
            headings.truncate(4);
            headings.join(", ")
        }
    }
}

/// Who a certificate is for, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateSummary {
    pub(super) subject: String,
    /// Unix seconds.
    pub(super) not_after: i64,
    pub(super) not_after_text: String,
    /// What is odd about it today, in words.
    pub(super) warning: Option<&'static str>,
}

/// Describes a certificate that has been parsed before.
pub(super) fn summary(certificate: &CertificateDer<'_>) -> CertificateSummary {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return CertificateSummary {
            subject: String::new(),
            not_after: 0,
            not_after_text: String::new(),
            warning: None,
        };
    };
    let validity = parsed.validity();
    let (begin, end) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let now = now();
    let warning = if now > end {
        Some("has expired: clients will refuse it")
    } else if now < begin {
        Some("is not valid yet: clients will refuse it")
    } else {
        None
    };
    CertificateSummary {
        subject: parsed.subject().to_string(),
        not_after: end,
        not_after_text: validity.not_after.to_string(),
        warning,
    }
}

/// The DNS names that a certificate is for, as it has them: `*.example.org` among them.
pub(super) fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// Whether a revocation list should have been replaced by now.
pub(super) fn is_stale(list: &CertificateRevocationListDer<'_>) -> bool {
    CertificateRevocationList::from_der(list).is_ok_and(|(_, list)| {
        list.next_update()
            .is_some_and(|next| next.timestamp() < now())
    })
}

/// Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

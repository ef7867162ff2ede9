//! What a bridge shows and trusts: read from files at each connect, so that what was renewed is
//! used.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::config::BridgeConfig;

/// A user's name and password, and TLS if it is spoken.
#[derive(Debug, Clone, Default)]
pub(super) struct BridgeCredentials {
    pub(super) login: Option<(String, String)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl BridgeCredentials {
    /// Reads all files that the configuration names. Blocks.
    ///
    /// # Errors
    /// Which file is not as it must be; never what is in it.
    pub(super) fn read(config: &BridgeConfig) -> Result<BridgeCredentials, String> {
        let login = match config.username.as_str() {
            "" => None,
            user => Some((user.to_owned(), password(&config.password_file)?)),
        };
        let tls = config.tls.then(|| tls(config)).transpose()?;
        Ok(BridgeCredentials {
            login,
            tls: tls.map(Arc::new),
        })
    }
}

fn password(path: &Path) -> Result<String, String> {
    if path.as_os_str().is_empty() {
        return Ok(String::new());
    }
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn tls(config: &BridgeConfig) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&config.ca_file)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("{}: {error}", config.ca_file.display()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut tls = if config.certificate.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_file(&config.key);
        let key = key.map_err(|error| format!("{}: {error}", config.key.display()))?;
        let shown = certificates(&config.certificate)?;
        let with_key = builder.with_client_auth_cert(shown, key);
        with_key.map_err(|error| format!("{}: {error}", config.certificate.display()))?
    };
    if !config.alpn.is_empty() {
        tls.alpn_protocols = vec![config.alpn.clone().into_bytes()];
    }
    Ok(tls)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |words: String| format!("{}: {words}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    match found.is_empty() {
        true => Err(wrong("no certificate in it".to_owned())),
        false => Ok(found),
    }
}

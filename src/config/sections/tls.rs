//! Sections about how MQTT gets here: encrypted, or in WebSocket frames.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::units::{optional_address, words};

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// They are not asked.
    #[default]
    None,
    /// They are asked and may have none.
    Optional,
    /// They must.
    Required,
}

/// Where in its certificate a client's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// The subject's common name.
    #[default]
    Cn,
    /// The first subject alternative name: DNS name, URI or e-mail address.
    San,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificatePair {
    /// The certificate, with intermediate ones after it (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// `[tls]`: encryption, for MQTT and for WebSocket. The files are read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Where MQTT clients connect with TLS; nowhere, if none.
    #[serde(with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// The gateway's certificate, with intermediate ones after it (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Further certificates with their keys, each for the DNS names that are in it.
    pub others: Vec<CertificatePair>,
    /// Authorities whose certificates are good for clients (PEM).
    pub client_ca: PathBuf,
    /// Whether clients must show a certificate.
    pub client_certificate: ClientCertificate,
    /// Where in it their name is.
    pub identity: Identity,
    /// Revoked clients' certificates (PEM).
    pub crl: PathBuf,
    /// The oldest version of TLS that is spoken.
    pub min_version: MinVersion,
    /// Handshakes that go on at once; more wait for their turn.
    pub max_handshakes: usize,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            listen: None,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            others: Vec::new(),
            client_ca: PathBuf::new(),
            client_certificate: ClientCertificate::None,
            identity: Identity::Cn,
            crl: PathBuf::new(),
            min_version: MinVersion::Tls12,
            max_handshakes: 256,
        }
    }
}

/// `[websocket]`: MQTT in WebSocket frames (MQTT 5 section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocket {
    /// Where clients connect with `ws://`; nowhere, if none.
    #[serde(with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// Where clients connect with `wss://`, with the files of `[tls]`; nowhere, if none.
    #[serde(with = "optional_address")]
    pub tls_listen: Option<SocketAddr>,
    /// The path that they ask for.
    pub path: String,
    /// Web origins whose pages may connect, besides those of this machine; `*` for all.
    #[serde(with = "words")]
    pub origins: Vec<String>,
}

impl Default for WebSocket {
    fn default() -> WebSocket {
        WebSocket {
            listen: None,
            tls_listen: None,
            path: "/mqtt".to_owned(),
            origins: Vec::new(),
        }
    }
}

//! How MQTT gets here: encrypted, or in WebSocket frames.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::setting::{Listen, Words, settings};

settings! {
    /// Encryption, for MQTT (here) and for WebSocket (below). `hallward certs dev` makes files to
    /// try with. The files are read again on SIGHUP; connections that stand are not disturbed.
    pub struct TlsConfig;

    /// IP address and port for MQTT over TLS, by custom "127.0.0.1:8883". "": nowhere.
    #[restart("sockets are opened at the start")]
    listen: Listen = Listen(None);
    /// The gateway's certificate (PEM), intermediate ones after it. Paths are relative to the
    /// directory where the gateway starts.
    certificate: PathBuf = PathBuf::new();
    /// Its private key (PEM, not encrypted).
    key: PathBuf = PathBuf::new();
    /// Further certificates, each for clients that ask for a DNS name in it:
    /// `[{ certificate = "b.crt", key = "b.key" }]`.
    others: Vec<CertificatePair> = Vec::new();
    /// Authorities whose certificates are good for clients (PEM).
    client_ca: PathBuf = PathBuf::new();
    /// "none": clients are not asked for a certificate; "optional": they may have one; "required":
    /// they must.
    client_certificate: ClientCertificate = ClientCertificate::None;
    /// Where a client's name is in its certificate: "cn" (common name) or "san" (first DNS name,
    /// URI or e-mail address).
    identity: Identity = Identity::Cn;
    /// Revoked client certificates (PEM). A client whose authority has no list in the file is
    /// refused.
    crl: PathBuf = PathBuf::new();
    /// The oldest version of TLS: "1.2" or "1.3".
    min_version: MinVersion = MinVersion::Tls12;
    /// TLS handshakes that go on at once; more wait for their turn, in order, within
    /// mqtt.connect_timeout.
    #[restart("they go by the machine")]
    max_handshakes: usize = 256, 1..=100_000
        => "further TLS handshakes wait for their turn, in order";
}

settings! {
    /// MQTT in WebSocket frames, for browsers.
    pub struct WebSocketConfig;

    /// IP address and port for ws://, by custom "127.0.0.1:8083". "": nowhere.
    #[restart("sockets are opened at the start")]
    listen: Listen = Listen(None);
    /// IP address and port for wss://, by custom "127.0.0.1:8084", with the files of
    /// `[tls]`. "": nowhere.
    #[restart("sockets are opened at the start")]
    tls_listen: Listen = Listen(None);
    /// The path that clients ask for: ws://HOST:PORT/mqtt.
    path: String = "/mqtt".to_owned();
    /// Web pages that may connect, by origin: `["https://app.example.org"]`; `["*"]`: all. Pages
    /// from this machine always may.
    origins: Words = Words::default();
}

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

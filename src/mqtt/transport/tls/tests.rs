//! TLS: certificates, their reload, and clients that have none.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;

/// An authority, a certificate for the gateway and one for a client named `agent-7`,
/// `spiffe://lab/seven`.
struct Files {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Files {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let files = Files {
            folder: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(params, key),
        };
        files.put("ca.crt", &authority.pem());
        files.renew();
        let mut client = CertificateParams::default();
        client
            .distinguished_name
            .push(DnType::CommonName, "agent-7");
        client.subject_alt_names = vec![SanType::URI("spiffe://lab/seven".try_into().unwrap())];
        files.sign("client", client, ExtendedKeyUsagePurpose::ClientAuth);
        files
    }

    fn renew(&self) {
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        self.sign("server", server, ExtendedKeyUsagePurpose::ServerAuth);
    }

    fn sign(&self, name: &str, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) {
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.put(&format!("{name}.crt"), &certificate.pem());
        self.put(&format!("{name}.key"), &key.serialize_pem());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn settings(&self, client_certificate: ClientCertificate) -> TlsConfig {
        TlsConfig {
            certificate: self.path("server.crt"),
            key: self.path("server.key"),
            client_ca: self.path("ca.crt"),
            client_certificate,
            max_handshakes: 1,
            ..TlsConfig::default()
        }
    }

    /// A client that shows its certificate, or none.
    fn client(&self, shows: bool) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.path("ca.crt")).unwrap();
        roots.add(authority).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(if shows {
            let own = CertificateDer::from_pem_file(self.path("client.crt")).unwrap();
            let key = PrivateKeyDer::from_pem_file(self.path("client.key")).unwrap();
            builder.with_client_auth_cert(vec![own], key).unwrap()
        } else {
            builder.with_no_client_auth()
        })
    }
}

/// Shakes hands over a socket; returns what the gateway learnt, and how the client found it.
async fn shake(
    tls: &TlsServer,
    client: Arc<ClientConfig>,
) -> (io::Result<Option<Arc<str>>>, HandshakeKind) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let dial = async {
        let mut stream = TlsConnector::from(client)
            .connect(name, near)
            .await
            .unwrap();
        // With TLS 1.3 tickets come after the handshake.
        let _ = stream.read(&mut [0; 1]).await;
        stream.get_ref().1.handshake_kind().unwrap()
    };
    let answer = async {
        let (_, identity) = tls.accept(far).await?;
        Ok(identity)
    };
    tokio::join!(answer, dial)
}

fn load(settings: TlsConfig) -> TlsServer {
    TlsServer::load(&settings).expect("good files").0
}

#[tokio::test]
async fn a_verified_certificate_says_who_the_client_is() {
    let files = Files::new();
    for (field, name) in [
        (Identity::Cn, "agent-7"),
        (Identity::San, "spiffe://lab/seven"),
    ] {
        let tls = load(TlsConfig {
            identity: field,
            ..files.settings(ClientCertificate::Optional)
        });
        let (identity, _) = shake(&tls, files.client(true)).await;
        assert_eq!(identity.unwrap().as_deref(), Some(name));
        let (identity, _) = shake(&tls, files.client(false)).await;
        assert_eq!(identity.unwrap(), None);
    }
}

#[tokio::test]
async fn a_certificate_that_was_not_asked_for_says_nothing() {
    let files = Files::new();
    let tls = load(files.settings(ClientCertificate::None));
    let (identity, _) = shake(&tls, files.client(true)).await;
    assert_eq!(identity.unwrap(), None);
}

#[tokio::test]
async fn sessions_resume_unless_certificates_must_be_checked_each_time() {
    let files = Files::new();
    let open = load(files.settings(ClientCertificate::None));
    let client = files.client(false);
    let (_, first) = shake(&open, Arc::clone(&client)).await;
    let (_, second) = shake(&open, client).await;
    assert_eq!(
        (first, second),
        (HandshakeKind::Full, HandshakeKind::Resumed)
    );

    let asking = load(files.settings(ClientCertificate::Required));
    let client = files.client(true);
    for _ in 0..2 {
        let (identity, kind) = shake(&asking, Arc::clone(&client)).await;
        assert_eq!(identity.unwrap().as_deref(), Some("agent-7"));
        assert_eq!(kind, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    let files = Files::new();
    let settings = files.settings(ClientCertificate::None);
    let tls = load(settings.clone());
    let before = tls.not_after();
    files.put("server.key", "nonsense");
    let error = tls
        .read(&settings)
        .map(drop)
        .expect_err("no key")
        .to_string();
    assert!(
        error.contains("tls.key") && error.contains("no PEM at all"),
        "{error}"
    );
    assert_eq!(tls.not_after(), before);
    let (identity, _) = shake(&tls, files.client(false)).await;
    identity.expect("the old pair still works");
    files.renew();
    tls.adopt(tls.read(&settings).expect("a good pair again"));
    assert_eq!(
        (tls.reloads.done.value(), tls.reloads.failed.value()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_client_that_stalls_keeps_its_turn_for_a_moment_only() {
    let files = Files::new();
    let tls = load(files.settings(ClientCertificate::None));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut stalled = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    stalled.write_all(b"\x16\x03\x01").await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    // There is one turn, and the stalled one has it first.
    tokio::select! {
        biased;
        _ = tls.accept(far) => panic!("it says no more"),
        (identity, _) = shake(&tls, files.client(false)) => drop(identity.unwrap()),
    }
}

//! A TLS client with the handshake in the test's hands; MQTT above it is a few bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::pki::Pki;
use crate::harness::DEADLINE;

/// CONNECT of MQTT 3.1.1: a clean session, no keep-alive, a client id of three bytes.
pub(super) const CONNECT: &[u8] = &[
    0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 3, b't', b'l', b's',
];
pub(super) const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const PINGREQ: &[u8] = &[0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

pub(super) struct TlsClient(StreamOwned<ClientConnection, TcpStream>);

/// How to shake hands.
#[derive(Clone, Copy)]
pub(super) struct Hello<'a> {
    pub(super) pki: &'a Pki,
    /// The name of a certificate to show.
    pub(super) show: Option<&'a str>,
    /// What it calls the gateway.
    pub(super) name: &'a str,
    /// The one version that it speaks; none is all.
    pub(super) only: Option<&'static SupportedProtocolVersion>,
}

impl<'a> Hello<'a> {
    pub(super) fn trusting(pki: &'a Pki) -> Hello<'a> {
        Hello {
            pki,
            show: None,
            name: "localhost",
            only: None,
        }
    }

    pub(super) fn showing(self, name: &'a str) -> Hello<'a> {
        Hello {
            show: Some(name),
            ..self
        }
    }

    pub(super) fn calling(self, name: &'a str) -> Hello<'a> {
        Hello { name, ..self }
    }

    pub(super) fn speaking(self, version: &'static SupportedProtocolVersion) -> Hello<'a> {
        Hello {
            only: Some(version),
            ..self
        }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.pki.read("ca.crt").as_bytes());
        roots.add(authority.expect("PEM")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(match &self.only {
                None => rustls::ALL_VERSIONS,
                Some(only) => std::slice::from_ref(only),
            })
            .expect("versions")
            .with_root_certificates(roots);
        match self.show {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let certificate = self.pki.read(&format!("{name}.crt"));
                let key = self.pki.read(&format!("{name}.key"));
                builder
                    .with_client_auth_cert(
                        vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
                        PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
                    )
                    .expect("a pair")
            }
        }
    }

    /// The certificate that is shown at an address, whatever is spoken there after the handshake.
    pub(super) fn certificate_at(self, address: SocketAddr) -> Vec<u8> {
        let mut client = self.dial(address).expect("it listens");
        while client.0.conn.is_handshaking() {
            let (session, socket) = (&mut client.0.conn, &mut client.0.sock);
            session.complete_io(socket).expect("shaken hands");
        }
        client.certificate()
    }

    fn dial(self, address: SocketAddr) -> std::io::Result<TlsClient> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        let name = ServerName::try_from(self.name.to_owned()).expect("a name");
        let session = ClientConnection::new(Arc::new(self.config()), name).expect("a client");
        Ok(TlsClient(StreamOwned::new(session, socket)))
    }

    /// Shakes hands and connects as an MQTT client. With TLS 1.3 a refused certificate is only seen
    /// after the handshake.
    pub(super) fn connect(self, address: SocketAddr) -> std::io::Result<TlsClient> {
        let mut client = self.dial(address)?;
        // Two clients of a test must not take over one another's session.
        static NUMBER: AtomicU8 = AtomicU8::new(0);
        let mut connect = CONNECT.to_vec();
        let number = format!("{:03}", NUMBER.fetch_add(1, Ordering::Relaxed));
        connect.splice(CONNECT.len() - 3.., number.into_bytes());
        client.0.write_all(&connect)?;
        let mut answer = [0; 4];
        client.0.read_exact(&mut answer)?;
        assert_eq!(answer, CONNACK);
        Ok(client)
    }
}

impl TlsClient {
    /// Sees that the connection still answers.
    pub(super) fn ping(&mut self) {
        self.0.write_all(PINGREQ).expect("it stands");
        let mut answer = [0; 2];
        self.0.read_exact(&mut answer).expect("it stands");
        assert_eq!(answer, PINGRESP);
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.0.conn.protocol_version().expect("agreed on")
    }

    /// The certificate that the gateway showed.
    pub(super) fn certificate(&self) -> Vec<u8> {
        let chain = self.0.conn.peer_certificates().expect("shown");
        chain[0].to_vec()
    }
}

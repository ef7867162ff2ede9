//! Certificates for tests: an authority, what it signs and what it revokes, in a directory of their
//! own.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A directory with `ca.crt`, `server.crt` and `server.key`.
pub(crate) struct Pki {
    folder: TempDir,
    authority: Authority,
}

impl Pki {
    pub(crate) fn new() -> Pki {
        let pki = Pki {
            folder: tempfile::tempdir().expect("a temporary directory"),
            authority: Authority::new("Test authority"),
        };
        pki.put("ca.crt", &pki.authority.certificate);
        pki.renew_server(1);
        pki
    }

    /// Where a file of this name is, or would be.
    pub(crate) fn path(&self, name: &str) -> &str {
        let path = self.folder.path().join(name);
        let text = path.to_str().expect("a UTF-8 path").to_owned();
        // A handful of short strings for the time of a test.
        Box::leak(text.into_boxed_str())
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writable");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("readable")
    }

    /// A new certificate and key for the gateway, told apart by its serial number.
    pub(crate) fn renew_server(&self, serial: u64) {
        self.put_server(serial, 30);
    }

    /// The same, expired.
    pub(crate) fn let_server_expire(&self) {
        self.put_server(7, 0);
    }

    fn put_server(&self, serial: u64, days: u32) {
        let mut params = named("server", days);
        params.serial_number = Some(SerialNumber::from(serial));
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().expect("a name")),
            SanType::IpAddress("127.0.0.1".parse().expect("an address")),
        ];
        self.authority
            .sign(self, "server", params, ExtendedKeyUsagePurpose::ServerAuth);
    }

    /// `FILE.crt` and `FILE.key` for the gateway under another name.
    pub(crate) fn server(&self, file: &str, name: &str, serial: u64) {
        let mut params = named(file, 30);
        params.serial_number = Some(SerialNumber::from(serial));
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))];
        self.authority
            .sign(self, file, params, ExtendedKeyUsagePurpose::ServerAuth);
    }

    /// `NAME.crt` and `NAME.key` for a client.
    pub(crate) fn client(&self, name: &str, serial: u64) {
        let mut params = named(name, 30);
        params.serial_number = Some(SerialNumber::from(serial));
        self.authority
            .sign(self, name, params, ExtendedKeyUsagePurpose::ClientAuth);
    }

    /// The same from an authority that nobody trusts.
    pub(crate) fn foreign_client(&self, name: &str) {
        let params = named(name, 30);
        Authority::new("Somebody else").sign(
            self,
            name,
            params,
            ExtendedKeyUsagePurpose::ClientAuth,
        );
    }

    /// Writes `revoked.crl` with these serial numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) {
        let now = SystemTime::now();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: (now - DAY).into(),
            next_update: (now + DAY).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.authority.issuer).expect("signed");
        self.put("revoked.crl", &list.pem().expect("PEM"));
    }
}

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = named(name, 30);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed").pem();
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    fn sign(
        &self,
        pki: &Pki,
        file: &str,
        mut params: CertificateParams,
        purpose: ExtendedKeyUsagePurpose,
    ) {
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        pki.put(&format!("{file}.crt"), &certificate.pem());
        pki.put(&format!("{file}.key"), &key.serialize_pem());
    }
}

fn named(name: &str, days: u32) -> CertificateParams {
    let now = SystemTime::now();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = (now - 2 * DAY).into();
    // No days: it ended yesterday.
    params.not_after = (now - DAY + DAY * days).into();
    params
}

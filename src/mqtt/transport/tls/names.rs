//! Chooses among the gateway's certificates by the name that a client asks for (Server Name
//! Indication, RFC 6066).
//!
//! The names are those in the certificates; nobody lists them a second time. rustls asks it in each
//! handshake.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::dns_names;

/// The certificates in use.
#[derive(Debug)]
pub(super) struct ByName {
    /// For clients that ask for no name, or for one that no other certificate has.
    own: Arc<CertifiedKey>,
    /// In the order in which they were added. A name may have several, for clients that cannot
    /// check each kind of signature.
    others: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl ByName {
    pub(super) fn new(own: CertifiedKey) -> ByName {
        ByName {
            own: Arc::new(own),
            others: HashMap::new(),
        }
    }

    /// One more certificate.
    ///
    /// # Errors
    /// If it has no name to be chosen by.
    pub(super) fn add(&mut self, other: CertifiedKey) -> Result<(), &'static str> {
        let other = Arc::new(other);
        let names = other.cert.first().map(dns_names).unwrap_or_default();
        if names.is_empty() {
            return Err("it has no DNS name among its subject alternative names to be chosen by");
        }
        for name in names {
            self.others
                .entry(name)
                .or_default()
                .push(Arc::clone(&other));
        }
        Ok(())
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let fits = |name: &str| {
            let mut with_name = self.others.get(name).into_iter().flatten();
            with_name.find(|other| other.key.choose_scheme(schemes).is_some())
        };
        let other = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            // A * stands for one whole label, the first (RFC 6125, 6.4.3).
            let wildcard = || fits(&format!("*.{}", name.split_once('.')?.1));
            fits(&name).or_else(wildcard)
        });
        other.unwrap_or(&self.own)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.choose(hello.server_name(), hello.signature_schemes());
        Some(Arc::clone(chosen))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::SignatureScheme::{ECDSA_NISTP256_SHA256, ED25519};
    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn certified(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> CertifiedKey {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        CertifiedKey::from_der(vec![certificate.der().clone()], key, &default_provider()).unwrap()
    }

    fn add(all: &mut ByName, names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) {
        all.add(certified(names, algorithm)).unwrap();
    }

    /// The first name of the certificate that is chosen.
    fn chosen(all: &ByName, name: Option<&str>, schemes: &[SignatureScheme]) -> String {
        dns_names(&all.choose(name, schemes).cert[0])[0].clone()
    }

    #[test]
    fn a_name_is_answered_by_its_certificate_and_any_other_by_the_gateways_own() {
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        let mut all = ByName::new(certified(&["own.org"], ecdsa));
        add(&mut all, &["a.org", "b.org"], ecdsa);
        add(&mut all, &["*.wild.org"], ecdsa);
        add(&mut all, &["exact.wild.org"], ecdsa);
        let asks = |name| chosen(&all, Some(name), &[ECDSA_NISTP256_SHA256]);
        assert_eq!(asks("a.org"), "a.org");
        assert_eq!(asks("B.ORG"), "a.org");
        assert_eq!(asks("any.wild.org"), "*.wild.org");
        assert_eq!(asks("exact.wild.org"), "exact.wild.org");
        for unknown in [
            "own.org",
            "c.org",
            "wild.org",
            "two.labels.wild.org",
            "org",
            "",
        ] {
            assert_eq!(asks(unknown), "own.org", "{unknown:?}");
        }
        assert_eq!(chosen(&all, None, &[ECDSA_NISTP256_SHA256]), "own.org");
    }

    #[test]
    fn of_several_the_first_counts_that_the_client_can_check() {
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        let mut all = ByName::new(certified(&["own.org"], ecdsa));
        add(&mut all, &["modern.a.org", "a.org"], &rcgen::PKCS_ED25519);
        add(&mut all, &["plain.a.org", "a.org"], ecdsa);
        let asks = |schemes| chosen(&all, Some("a.org"), schemes);
        assert_eq!(asks(&[ED25519, ECDSA_NISTP256_SHA256]), "modern.a.org");
        assert_eq!(asks(&[ECDSA_NISTP256_SHA256]), "plain.a.org");
        assert_eq!(asks(&[]), "own.org");
    }

    #[test]
    fn without_a_name_a_further_certificate_is_of_no_use() {
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        let mut all = ByName::new(certified(&["own.org"], ecdsa));
        assert!(all.add(certified(&[], ecdsa)).is_err());
        assert!(all.add(certified(&["127.0.0.1"], ecdsa)).is_err());
    }
}

//! Finds the name of a client in its certificate. TLS has verified the certificate by then; nothing
//! is trusted here that the authority did not sign.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::mqtt::transport::config::Identity;

/// The longest name that is taken, in bytes.
const MAX_BYTES: usize = 256;

/// The name that the certificate gives its holder; none if it has none, or one that is no plain
/// text.
pub(super) fn identity(certificate: &CertificateDer<'_>, field: Identity) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = match field {
        Identity::Cn => parsed.subject().iter_common_name().next()?.as_str().ok()?,
        Identity::San => alternative_name(&parsed)?,
    };
    // A NUL or a line break in a name is somebody's trick, whether or not the authority noticed.
    let plain = !name.is_empty() && name.len() <= MAX_BYTES && !name.contains(char::is_control);
    plain.then(|| name.to_owned())
}

fn alternative_name<'a>(certificate: &X509Certificate<'a>) -> Option<&'a str> {
    let extension = certificate.subject_alternative_name().ok()??;
    extension
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
                Some(*name)
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_names: &[&str], alternatives: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    #[test]
    fn the_common_name_is_the_subjects() {
        let named = certificate(&["writer-1"], vec![dns("elsewhere")]);
        let found = identity(&named, Identity::Cn);
        assert_eq!(found.as_deref(), Some("writer-1"));
        assert_eq!(identity(&certificate(&[], vec![]), Identity::Cn), None);
    }

    #[test]
    fn the_first_alternative_name_with_a_text_counts() {
        let address = SanType::IpAddress("127.0.0.1".parse().unwrap());
        let uri = SanType::URI("spiffe://lab/writer".try_into().unwrap());
        let found = |names| identity(&certificate(&["cn"], names), Identity::San);
        assert_eq!(
            found(vec![address.clone(), uri, dns("second")]).as_deref(),
            Some("spiffe://lab/writer")
        );
        let email = SanType::Rfc822Name("ann@example.org".try_into().unwrap());
        assert_eq!(found(vec![email]).as_deref(), Some("ann@example.org"));
        assert_eq!(found(vec![address]), None);
        assert_eq!(found(vec![]), None);
    }

    #[test]
    fn names_that_are_no_plain_text_are_none() {
        for name in [
            "",
            "admin\0.example",
            "two\nlines",
            &"x".repeat(MAX_BYTES + 1),
        ] {
            let odd = certificate(&[name], vec![]);
            assert_eq!(identity(&odd, Identity::Cn), None, "{name:?}");
        }
    }
}

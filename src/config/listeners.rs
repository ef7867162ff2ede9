//! What the listeners of MQTT need from each other's sections: files for those that encrypt, a path
//! for those in WebSocket frames.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::Config;
use crate::mqtt::transport::ClientCertificate;

impl Config {
    /// Every address on which MQTT clients are listened for, with its key.
    pub fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
        let all = [
            ("mqtt.listen", self.mqtt.listen.0),
            ("tls.listen", self.tls.listen.0),
            ("websocket.listen", self.websocket.listen.0),
            ("websocket.tls_listen", self.websocket.tls_listen.0),
        ];
        all.into_iter()
            .filter_map(|(key, address)| Some((key, address?)))
    }

    /// The first of the listeners that encrypt.
    pub fn encrypts(&self) -> Option<&'static str> {
        self.listeners()
            .map(|(key, _)| key)
            .find(|key| matches!(*key, "tls.listen" | "websocket.tls_listen"))
    }
}

/// What is missing, by key.
pub(super) fn check(config: &Config) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let mut refuse = |key, message: String| problems.push((key, message));
    let Config { tls, websocket, .. } = config;
    let unset = |path: &Path| path.as_os_str().is_empty();
    if config.listeners().next().is_none() {
        refuse(
            "mqtt.listen",
            "is \"\", and no other listener for MQTT is set: nobody could connect".to_owned(),
        );
    }
    if let Some(listener) = config.encrypts() {
        for (key, path) in [("tls.certificate", &tls.certificate), ("tls.key", &tls.key)] {
            if unset(path) {
                refuse(
                    key,
                    format!(
                        "must name a PEM file, because {listener} is set: \
                         `hallward certs dev` makes one to try with"
                    ),
                );
            }
        }
    }
    for (key, address, other, taken) in clashes(config) {
        refuse(
            key,
            format!(
                "{address} cannot be listened on beside {taken} of {other}: give it another port"
            ),
        );
    }
    let asks = tls.client_certificate != ClientCertificate::None;
    if asks && unset(&tls.client_ca) {
        refuse(
            "tls.client_ca",
            "must name a PEM file, because tls.client_certificate asks for certificates".to_owned(),
        );
    }
    if !asks && !unset(&tls.crl) {
        refuse(
            "tls.crl",
            "has no effect while tls.client_certificate is \"none\"".to_owned(),
        );
    }
    let path = &websocket.path;
    if !path.starts_with('/') || path.contains(|c: char| !c.is_ascii_graphic() || "?#".contains(c))
    {
        refuse(
            "websocket.path",
            format!("must begin with / and have no spaces, ? or #, but is {path:?}"),
        );
    }
    for origin in &websocket.origins.0 {
        if origin != "*" && !is_origin(origin) {
            refuse(
                "websocket.origins",
                format!(
                    "expected an origin such as \"https://app.example.org\" or \"*\", but found {origin:?}"
                ),
            );
        }
    }
    problems
}

/// Listeners that would need a port which an earlier one has, with that one.
fn clashes(config: &Config) -> Vec<(&'static str, SocketAddr, &'static str, SocketAddr)> {
    let all: Vec<_> = config
        .listeners()
        .chain([("http.listen", config.http.listen.0)])
        .collect();
    let mut clashes = Vec::new();
    for (index, (key, address)) in all.iter().enumerate() {
        let earlier = all[..index].iter();
        let mut taken = earlier.filter(|(_, other)| is_same_place(address, other));
        clashes.extend(
            taken
                .next()
                .map(|(other, taken)| (*key, *address, *other, *taken)),
        );
    }
    clashes
}

/// Whether two sockets cannot be listened on at once. Port 0 is another one each time; `[::]` takes
/// IPv4 with it.
fn is_same_place(one: &SocketAddr, other: &SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let covers = |all: IpAddr, one: IpAddr| match all {
        IpAddr::V4(all) => all.is_unspecified() && (one.is_ipv4() || one.is_unspecified()),
        IpAddr::V6(all) => all.is_unspecified(),
    };
    let scope = |address: &SocketAddr| match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    one.port() != 0
        && one.port() == other.port()
        && (covers(a, b) || covers(b, a) || a == b && scope(one) == scope(other))
}

/// `scheme://host` or `scheme://host:port`, as browsers send it.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic());
    plain(scheme) && plain(authority) && !authority.contains(['/', '?', '#', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_same_place_where_one_socket_keeps_the_other_out() {
        for (one, other, same) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("[::]:1", "[::1]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("[fe80::1%1]:1", "[fe80::1%2]:1", false),
            ("0.0.0.0:0", "127.0.0.1:0", false),
        ] {
            let parsed = |text: &str| text.parse().expect("an address");
            assert_eq!(
                is_same_place(&parsed(one), &parsed(other)),
                same,
                "{one} {other}"
            );
            assert_eq!(
                is_same_place(&parsed(other), &parsed(one)),
                same,
                "{other} {one}"
            );
        }
    }
}

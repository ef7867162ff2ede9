//! What the listeners of MQTT need from each other's sections: files for those that encrypt, a path for those in WebSocket frames.

use std::net::SocketAddr;
use std::path::Path;

use super::{ClientCertificate, Config};

impl Config {
    /// Every address on which MQTT clients are listened for, with its key.
    pub fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
        let all = [
            ("mqtt.listen", self.mqtt.listen),
            ("tls.listen", self.tls.listen),
            ("websocket.listen", self.websocket.listen),
            ("websocket.tls_listen", self.websocket.tls_listen),
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
    for origin in &websocket.origins {
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

/// `scheme://host` or `scheme://host:port`, as browsers send it.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic());
    plain(scheme) && plain(authority) && !authority.contains(['/', '?', '#', '@'])
}

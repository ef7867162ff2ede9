//! Where to connect, and how.

use std::time::Duration;

use crate::agent::error::Error;

/// The version of MQTT to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// MQTT 5.0.
    #[default]
    V5,
    /// MQTT 3.1.1: acknowledgements say nothing but that something came, and a connection that
    /// another one takes over is not told why it ends.
    V311,
}

/// All that the driver needs to know.
#[derive(Debug, Clone)]
pub(in crate::agent) struct LinkOptions {
    pub(in crate::agent) address: Endpoint,
    pub(in crate::agent) agent: String,
    /// The first level of every room's topics.
    pub(in crate::agent) root: String,
    pub(in crate::agent) protocol: Protocol,
    pub(in crate::agent) credentials: Option<(String, String)>,
    /// How long the gateway keeps the session of a connection that is gone; zero: not at all.
    pub(in crate::agent) session: Duration,
    /// The Receive Maximum: deliveries that are not acknowledged, at most (MQTT 5).
    pub(in crate::agent) window: u16,
    /// Publishes that wait for a connection at most.
    pub(in crate::agent) offline: usize,
    pub(in crate::agent) keep_alive: Duration,
    /// For a connection to come about.
    pub(in crate::agent) deadline: Duration,
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct Endpoint {
    pub(in crate::agent) host: String,
    pub(in crate::agent) port: u16,
}

const USUAL_PORT: u16 = 1883;

impl Endpoint {
    /// Reads `mqtt://host:port`; the scheme and the port may be left out. Anything after the host
    /// is refused, and so is what this build cannot speak.
    pub(in crate::agent) fn parse(url: &str) -> Result<Endpoint, Error> {
        let fault = |why: &str| Error::Unconnected(format!("{url:?} {why}"));
        let place = match url.split_once("://") {
            Some(("mqtt" | "tcp", place)) => place,
            Some((scheme, _)) => {
                return Err(fault(&format!(
                    "asks for {scheme}; this SDK speaks mqtt://host:port"
                )));
            }
            None => url,
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '@', '?', '#', ' ']) {
            return Err(fault("has more in it than a host and a port"));
        }
        // In brackets: an address of IPv6, which has colons of its own.
        let (host, port) = match place
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = port.map_or(Ok(USUAL_PORT), str::parse);
        let port = port.map_err(|_| fault("has a port that is no number up to 65535"))?;
        if host.is_empty() {
            return Err(fault("names no host"));
        }
        Ok(Endpoint {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Option<(String, u16)> {
        let address = Endpoint::parse(url).ok()?;
        Some((address.host, address.port))
    }

    #[test]
    fn addresses_are_read_with_and_without_what_is_usual() {
        for (url, host, port) in [
            ("mqtt://localhost", "localhost", 1883),
            ("mqtt://gateway.example:18830/", "gateway.example", 18_830),
            ("127.0.0.1:1884", "127.0.0.1", 1884),
            ("tcp://[::1]:1885", "::1", 1885),
            ("[::1]", "::1", 1883),
        ] {
            assert_eq!(parsed(url), Some((host.to_owned(), port)), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_spoken_is_refused() {
        for url in [
            "mqtts://localhost",
            "ws://localhost/mqtt",
            "mqtt://user:word@localhost",
            "mqtt://localhost/room",
            "mqtt://localhost:port",
            "mqtt://localhost:70000",
            "mqtt://",
            "",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}

//! How durations, sizes, addresses and lists are written in a configuration: `"30s"`, `"256KiB"`.
//!
//! A bare number is refused as a duration or a size: its unit would be a guess.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A span of time, written `"250ms"`, `"30s"`, `"15m"`, `"24h"`, `"7d"` or a sum of such parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// In milliseconds.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// So many milliseconds.
pub const fn ms(count: u64) -> Span {
    Span(Duration::from_millis(count))
}

/// So many seconds.
pub const fn seconds(count: u64) -> Span {
    Span(Duration::from_secs(count))
}

/// So many minutes.
pub const fn minutes(count: u64) -> Span {
    seconds(60 * count)
}

/// So many hours.
pub const fn hours(count: u64) -> Span {
    minutes(60 * count)
}

/// So many days.
pub const fn days(count: u64) -> Span {
    hours(24 * count)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Span, ()> {
        humantime::parse_duration(text).map(Span).map_err(drop)
    }
}

/// A number of bytes, written `"64B"`, `"256KiB"`, `"1MiB"`, `"2GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

/// So many times 1,024 bytes.
pub const fn kib(count: usize) -> Size {
    Size(count.saturating_mul(1 << 10))
}

/// So many times 1,024 KiB.
pub const fn mib(count: usize) -> Size {
    kib(count.saturating_mul(1 << 10))
}

/// So many times 1,024 MiB.
pub const fn gib(count: usize) -> Size {
    mib(count.saturating_mul(1 << 10))
}

impl fmt::Display for Size {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size(bytes) = *self;
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole = |(unit, _): &(usize, _)| bytes >= *unit && bytes.is_multiple_of(*unit);
        let (unit, name) = units.into_iter().find(whole).unwrap_or((1, "B"));
        write!(f, "{}{name}", bytes / unit)
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Size, ()> {
        if text.parse::<u64>().is_ok() {
            return Err(());
        }
        let size: ByteSize = text.parse().map_err(drop)?;
        size.as_u64().try_into().map(Size).map_err(drop)
    }
}

/// Where to listen: an IP address and a port, `"127.0.0.1:1883"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

/// A port of this machine that others cannot reach.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Address, ()> {
        text.parse().map(Address).map_err(drop)
    }
}

/// The same where nothing may be listened on: the empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

impl FromStr for Listen {
    type Err = ();

    fn from_str(text: &str) -> Result<Listen, ()> {
        let address = (!text.is_empty()).then(|| text.parse()).transpose();
        address.map(Listen).map_err(drop)
    }
}

/// All these are texts in a file.
macro_rules! written {
    ($($type:ident: $what:literal),+) => {
        $(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                    let value = Value::deserialize(deserializer)?;
                    let parsed = value.as_str().and_then(|text| text.parse().ok());
                    parsed.ok_or_else(|| {
                        D::Error::custom(format!("expected {}, but found {value}", $what))
                    })
                }
            }
        )+
    };
}
written! {
    Span: "a duration such as \"30s\" or \"24h\"",
    Size: "a size such as \"256KiB\" or \"1MiB\"",
    Address: "an IP address and a port such as \"127.0.0.1:1883\"",
    Listen: "an IP address and a port such as \"127.0.0.1:1883\", or \"\" for none"
}

/// A list of words, written as one or, where there is nothing but text, with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Words, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parts: Option<Vec<&str>> = match &value {
            Value::String(text) => Some(text.split(',').collect()),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let words = parts.ok_or_else(|| {
            D::Error::custom(format!(
                "expected a list such as [\"one\", \"two\"], but found {value}"
            ))
        })?;
        let words = words.into_iter().map(str::trim);
        let words = words.filter(|word| !word.is_empty());
        Ok(Words(words.map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_divides_them() {
        assert_eq!(mib(1).to_string(), "1MiB");
        assert_eq!(kib(256).to_string(), "256KiB");
        assert_eq!(Size((1 << 20) + 1).to_string(), "1048577B");
        for bytes in [Size(1), Size(1000), kib(1), mib(3), gib(5)] {
            assert_eq!(bytes.to_string().parse(), Ok(bytes));
        }
    }

    #[test]
    fn numbers_without_a_unit_are_refused() {
        assert_eq!("1024".parse::<Size>(), Err(()));
        assert_eq!("30".parse::<Span>(), Err(()));
    }

    #[test]
    fn durations_read_back_as_written() {
        for span in [ms(1), ms(250), seconds(30), days(1), ms(90_061_001)] {
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}

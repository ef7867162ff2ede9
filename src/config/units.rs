//! How durations and sizes are written in a configuration: `"30s"`, `"256KiB"`.
//!
//! Serde adapters for `#[serde(with = "…")]`. A bare number is refused: its unit would be a guess.

/// A span of time, written `"250ms"`, `"30s"`, `"15m"`, `"24h"`, `"7d"` or a sum of such parts.
pub(super) mod duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::config) fn parse(text: &str) -> Option<Duration> {
        humantime::parse_duration(text).ok()
    }

    pub(in crate::config) fn format(duration: Duration) -> String {
        humantime::format_duration(duration).to_string()
    }

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        value.as_str().and_then(parse).ok_or_else(|| {
            D::Error::custom(format!(
                "expected a duration such as \"30s\" or \"24h\", but found {value}"
            ))
        })
    }
}

/// The same where it may be left out.
pub(super) mod optional_duration {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(deserializer).map(Some)
    }
}

/// A number of bytes, written `"64B"`, `"256KiB"`, `"1MiB"`, `"2GiB"`.
pub(super) mod size {
    use bytesize::ByteSize;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

    pub(in crate::config) fn parse(text: &str) -> Option<usize> {
        if text.parse::<u64>().is_ok() {
            return None;
        }
        let size: ByteSize = text.parse().ok()?;
        size.as_u64().try_into().ok()
    }

    /// In the largest unit that divides it.
    pub(in crate::config) fn format(bytes: u64) -> String {
        UNITS
            .iter()
            .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
            .map_or_else(
                || format!("{bytes}B"),
                |(unit, name)| format!("{}{name}", bytes / unit),
            )
    }

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*value as u64))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<usize, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        value.as_str().and_then(parse).ok_or_else(|| {
            D::Error::custom(format!(
                "expected a size such as \"256KiB\" or \"1MiB\", but found {value}"
            ))
        })
    }
}

/// Where to listen: an IP address and a port, `"127.0.0.1:1883"`.
pub(super) mod address {
    use std::net::SocketAddr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &SocketAddr,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SocketAddr, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "expected an IP address and a port such as \"127.0.0.1:1883\", but found {value}"
                ))
            })
    }
}

/// The same where nothing may be listened on: the empty text.
pub(super) mod optional_address {
    use std::net::SocketAddr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let parsed = value.as_str().and_then(|text| match text {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        });
        parsed.ok_or_else(|| {
            D::Error::custom(format!(
                "expected an IP address and a port such as \"127.0.0.1:1883\", or \"\" for none, but found {value}"
            ))
        })
    }
}

/// A list of words, written as one or, where there is nothing but text, with commas between them.
pub(super) mod words {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let parts: Option<Vec<&str>> = match &value {
            serde_json::Value::String(text) => Some(text.split(',').collect()),
            serde_json::Value::Array(items) => {
                items.iter().map(serde_json::Value::as_str).collect()
            }
            _ => None,
        };
        let parts = parts.ok_or_else(|| {
            D::Error::custom(format!(
                "expected a list such as [\"one\", \"two\"], but found {value}"
            ))
        })?;
        let words = parts
            .into_iter()
            .map(str::trim)
            .filter(|word| !word.is_empty());
        Ok(words.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, size};

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_divides_them() {
        assert_eq!(size::format(1 << 20), "1MiB");
        assert_eq!(size::format(256 << 10), "256KiB");
        assert_eq!(size::format((1 << 20) + 1), "1048577B");
        for bytes in [1, 1000, 1 << 10, 3 << 20, 5 << 30] {
            assert_eq!(size::parse(&size::format(bytes as u64)), Some(bytes));
        }
    }

    #[test]
    fn numbers_without_a_unit_are_refused() {
        assert_eq!(size::parse("1024"), None);
        assert_eq!(duration::parse("30"), None);
    }

    #[test]
    fn durations_read_back_as_written() {
        for millis in [1, 250, 30_000, 86_400_000, 90_061_001] {
            let span = Duration::from_millis(millis);
            assert_eq!(duration::parse(&duration::format(span)), Some(span));
        }
    }
}

//! Settings: [`settings!`](crate::setting::settings) makes a part's configuration from one row for
//! each.
//!
//! A row is all that is known of a setting: what it is, its type, its default, its range, why it
//! takes a restart, and what happens when a limit is reached. From it come the field and its
//! default, the check of its range, its lines in `config/hallward.toml`, and its places in the
//! tables of `docs/limits.md` and `docs/configuration.md`. `config` puts the parts' configurations
//! together and reads them.

mod units;

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use units::{
    Address, Listen, Size, Span, Words, days, gib, hours, kib, loopback, mib, minutes, ms, seconds,
};

/// What is known of one setting.
#[derive(Debug)]
pub struct Row {
    /// Its key in its section.
    pub key: &'static str,
    /// What it is, line by line.
    pub doc: &'static [&'static str],
    /// Says the range that a value is out of; `None` where there is none.
    pub check: Option<fn(&Value) -> Result<(), String>>,
    /// Why a change takes a restart; `None` where reading the configuration again is enough.
    pub restart: Option<&'static str>,
    /// What happens when a limit is reached, and the metrics that show it, with commas between
    /// them.
    pub reached: Option<(&'static str, &'static str)>,
}

/// What is known of one section.
#[derive(Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it is about, line by line.
    pub doc: &'static [&'static str],
    /// Its settings, in the order of `config/hallward.toml`.
    pub rows: &'static [Row],
}

/// The metric of most limits that a command can reach.
pub const REFUSED: &str = "commands_refused_total";

/// A value that may have a range.
pub trait Ranged: PartialOrd + DeserializeOwned {
    /// As a file has it.
    fn written(&self) -> String;
}

macro_rules! ranged {
    ($($type:ty: $format:literal),+) => {
        $(impl Ranged for $type {
            fn written(&self) -> String {
                format!($format, self)
            }
        })+
    };
}
ranged!(u16: "{}", u32: "{}", u64: "{}", usize: "{}", f64: "{}", Span: "\"{}\"", Size: "\"{}\"");

/// Checks a value against its range. One that is out of it is refused, never clamped: what runs is
/// what was written.
///
/// # Errors
/// The range, and what came.
pub fn within<T: Ranged>(range: &RangeInclusive<T>, value: &Value) -> Result<(), String> {
    match T::deserialize(value) {
        Ok(given) if range.contains(&given) => Ok(()),
        _ => {
            let (least, most) = (range.start().written(), range.end().written());
            Err(format!("must be {least} to {most}, but is {value}"))
        }
    }
}

/// A configuration, from one row for each setting:
///
/// ```text
/// /// What it is.
/// #[restart("why a change takes one")]
/// key: Type = default, least..=most => "what happens when the limit is reached", "metric, metric";
/// ```
///
/// Everything after the default is for those that have it.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $config:ident;
        $(
            $(#[doc = $doc:literal])+
            $(#[restart($why:expr)])?
            $key:ident: $type:ty = $default:expr $(, $range:expr)?
            $(=> $reached:literal $(, $metrics:expr)?)?;
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $config {
            $(
                $(#[doc = $doc])+
                pub $key: $type,
            )+
        }

        impl Default for $config {
            fn default() -> $config {
                $config { $($key: $default),+ }
            }
        }

        impl $config {
            /// What the section is about, line by line.
            pub const DOC: &'static [&'static str] = &[$($about),+];

            /// What is known of each setting.
            pub const ROWS: &'static [$crate::setting::Row] = &[$($crate::setting::Row {
                key: stringify!($key),
                doc: &[$($doc),+],
                check: $crate::setting::settings!(
                    @option $(|value: &serde_json::Value| {
                        $crate::setting::within::<$type>(&($range), value)
                    })?
                ),
                restart: $crate::setting::settings!(@option $($why)?),
                reached: $crate::setting::settings!(@reached $($reached $(, $metrics)?)?),
            }),+];
        }
    };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
    (@reached) => { None };
    (@reached $reached:literal) => { Some(($reached, "")) };
    (@reached $reached:literal, $metrics:expr) => { Some(($reached, $metrics)) };
}
pub(crate) use settings;

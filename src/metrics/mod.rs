//! What the gateway counts, and how `/metrics` shows it.
//!
//! A part declares each of its numbers once: [`metrics!`] makes the struct that it counts with, and
//! the documentation of a field is the help that a scraper reads. Nothing is formatted between
//! scrapes; what a part counts without sharing it is copied with each batch ([`Latest`]).

mod count;
mod encode;

pub use count::{Count, Latency, Latest, Raised, Seconds};
pub use encode::{MetricLabel, MetricSet, Out, Per, Scrape, Values, collector};

/// Declares the numbers of one part: a struct, and how it is shown.
///
/// A row is a kind, a field with its type, and the name that `/metrics` shows (`hallward_` goes in
/// front, `_total` behind a counter). The kinds are `counter`, `gauge` and `histogram`; `part` is a
/// field with metrics of its own, `hidden` one that is not shown.
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $vis:vis struct $set:ident {
            $( $(#[doc = $help:literal])+ $kind:ident $field:ident : $type:ty $(= $name:literal)?, )*
        }
    ) => {
        $(#[$meta])*
        $vis struct $set {
            $( $(#[doc = $help])+ pub $field: $type, )*
        }

        impl $crate::metrics::MetricSet for $set {
            fn encode(&self, scrape: &mut $crate::metrics::Scrape<'_>) -> ::std::fmt::Result {
                $( $crate::metrics::metrics!(@ $kind scrape, &self.$field, concat!($($help),+) $(, $name)?); )*
                Ok(())
            }
        }
    };
    (@ hidden $scrape:ident, $field:expr, $help:expr) => {};
    (@ part $scrape:ident, $field:expr, $help:expr) => {
        $crate::metrics::MetricSet::encode($field, $scrape)?
    };
    (@ $kind:ident $scrape:ident, $field:expr, $help:expr, $name:literal) => {
        $scrape.$kind($name, $help, $field)?
    };
}

/// Declares counters that one label tells apart: a struct whose fields are named as the label's
/// values.
macro_rules! labelled {
    (
        $(#[$meta:meta])*
        $vis:vis struct $set:ident by $key:literal {
            $( $(#[$doc:meta])+ $field:ident, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $vis struct $set {
            $( $(#[$doc])+ pub $field: $crate::metrics::Count, )*
        }

        impl $crate::metrics::Values for $set {
            fn encode(&self, out: &mut $crate::metrics::Out<'_>) -> ::std::fmt::Result {
                $( out.labelled($key, stringify!($field), &self.$field)?; )*
                Ok(())
            }
        }
    };
}

/// Declares an enum that is a label's values, for [`Per`].
macro_rules! labels {
    (
        $(#[$meta:meta])*
        $vis:vis enum $label:ident by $key:literal {
            $( $(#[$doc:meta])+ $case:ident = $name:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $label {
            $( $(#[$doc])+ $case, )*
        }

        impl $label {
            /// As metrics and log lines name it.
            $vis fn name(self) -> &'static str {
                match self {
                    $( $label::$case => $name, )*
                }
            }
        }

        impl $crate::metrics::MetricLabel for $label {
            const KEY: &'static str = $key;
            const ALL: &'static [$label] = &[$( $label::$case ),*];

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                self.name()
            }
        }
    };
}

pub(crate) use {labelled, labels, metrics};

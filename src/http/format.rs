//! Which text format a scraper gets, and the older of the two.
//!
//! A Prometheus server asks for OpenMetrics first, and says with weights what else it takes;
//! whoever has no preference, a person with curl for instance, gets Prometheus' own text format,
//! which everything reads.

use std::cmp::Reverse;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use mediatype::names::{_STAR, PLAIN, TEXT};
use mediatype::{MediaType, MediaTypeList, Name, ReadParams};

/// How the numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus.
    Prometheus,
}

const APPLICATION: Name<'_> = Name::new_unchecked("application");
const OPENMETRICS_TEXT: Name<'_> = Name::new_unchecked("openmetrics-text");
const WEIGHT: Name<'_> = Name::new_unchecked("q");
const VERSION: Name<'_> = Name::new_unchecked("version");

/// How well a range of media types fits a format: better is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Anything,
    OfItsKind,
    Named,
    NamedWithVersion,
}

impl Format {
    const ALL: [Format; 2] = [Format::OpenMetrics, Format::Prometheus];

    /// As HTTP names it.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What these headers of a request ask for (RFC 9110 section 12.5.1). Of formats that are
    /// wanted as much, the one that is named more exactly, then the one that is named first.
    /// Whoever takes neither gets Prometheus' format all the same.
    pub(super) fn negotiate(headers: &HeaderMap) -> Format {
        let accepted = headers.get_all(ACCEPT).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        // A range that cannot be read asks for nothing.
        let ranges: Vec<MediaType<'_>> = accepted
            .flat_map(|list| MediaTypeList::new(list).flatten())
            .collect();
        let wanted = Format::ALL
            .into_iter()
            .filter_map(|format| Some((format.wanted(&ranges)?, format)));
        let best = wanted.max_by_key(|(wanted, format)| (*wanted, *format == Format::Prometheus));
        best.map_or(Format::Prometheus, |(_, format)| format)
    }

    /// How much it is wanted, by the range that fits it best: in thousandths, how well that fits,
    /// where it stands.
    fn wanted(self, ranges: &[MediaType<'_>]) -> Option<(u16, Fit, Reverse<usize>)> {
        let fitting = ranges
            .iter()
            .enumerate()
            .filter_map(|(at, range)| Some((self.fit(range)?, weight(range), Reverse(at))));
        let (fit, weight, at) = fitting.max()?;
        (weight > 0).then_some((weight, fit, at))
    }

    fn fit(self, range: &MediaType<'_>) -> Option<Fit> {
        let (ty, subty, version) = match self {
            Format::OpenMetrics => (APPLICATION, OPENMETRICS_TEXT, "1.0.0"),
            Format::Prometheus => (TEXT, PLAIN, "0.0.4"),
        };
        if (range.ty, range.subty) == (_STAR, _STAR) {
            return Some(Fit::Anything);
        }
        if range.ty != ty {
            return None;
        }
        if range.subty == _STAR {
            return Some(Fit::OfItsKind);
        }
        if range.subty != subty || range.suffix.is_some() {
            return None;
        }
        match range.get_param(VERSION) {
            None => Some(Fit::Named),
            Some(asked) if asked.unquoted_str() == version => Some(Fit::NamedWithVersion),
            Some(_) => None,
        }
    }
}

/// The weight of a range, in thousandths; one that makes no sense counts as none.
fn weight(range: &MediaType<'_>) -> u16 {
    let Some(weight) = range.get_param(WEIGHT) else {
        return 1000;
    };
    let weight = weight.unquoted_str().parse().ok();
    let weight = weight.filter(|weight: &f32| weight.is_finite());
    let weight = weight.unwrap_or(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1000"
    )]
    let thousandths = (weight.clamp(0.0, 1.0) * 1000.0).round() as u16;
    thousandths
}

/// Rewrites OpenMetrics as the text format 0.0.4. What differs in what we write: the name of a
/// counter has its `_total` everywhere, and there is no end mark.
pub(super) fn of_prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len() + openmetrics.len() / 8);
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, words)) = help.take() {
                text.extend(["# HELP ", name, suffix, " ", words, "\n"]);
            }
            text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            text.extend([line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn given(accept: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in accept {
            let value = HeaderValue::from_str(value).expect("a header");
            headers.append(ACCEPT, value);
        }
        Format::negotiate(&headers)
    }

    #[test]
    fn a_prometheus_server_gets_openmetrics_in_every_version() {
        for accept in [
            // 2.42, 2.53, 3.5; with native histograms in front, which we do not have.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
        ] {
            assert_eq!(given(&[accept]), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn whoever_has_no_preference_gets_what_everything_reads() {
        for accept in [
            &[][..],
            &[""],
            &["*/*"],
            &["text/*"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
            &["application/json"],
            &["nonsense", "; ;,"],
        ] {
            assert_eq!(given(accept), Format::Prometheus, "{accept:?}");
        }
    }

    #[test]
    fn weights_decide_then_how_exactly_it_is_named_then_the_order() {
        for (accept, format) in [
            (
                "text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.9",
                Format::Prometheus,
            ),
            ("text/plain;q=0.1,*/*;q=0.5", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.3",
                Format::Prometheus,
            ),
            ("application/openmetrics-text, */*", Format::OpenMetrics),
            (
                "application/openmetrics-text, text/plain",
                Format::OpenMetrics,
            ),
            (
                "text/plain, application/openmetrics-text",
                Format::Prometheus,
            ),
            (
                "text/plain;q=0, application/openmetrics-text;q=0.001",
                Format::OpenMetrics,
            ),
            ("text/plain;q=0,*/*", Format::OpenMetrics),
            (
                "application/openmetrics-text;q=0,*/*;q=0.1",
                Format::Prometheus,
            ),
            ("application/*", Format::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"",
                Format::OpenMetrics,
            ),
            // Another version than ours is another format.
            (
                "application/openmetrics-text;version=0.0.1,text/plain;q=0.1",
                Format::Prometheus,
            ),
        ] {
            assert_eq!(given(&[accept]), format, "{accept}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        let accept = ["text/plain;q=0.5", "application/openmetrics-text;q=0.6"];
        assert_eq!(given(&accept), Format::OpenMetrics);
    }
}

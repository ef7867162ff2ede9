//! What a session asks the live plane for, given what its client subscribes to.
//!
//! The plane keeps a log per filter and puts every message into each log that it matches. A client
//! with a thousand filters that all match the same topic would multiply every message by a
//! thousand, for everybody. So a session listens to few filters that overlap: beyond that it takes
//! one wider filter for all of them. What that lets through too many, the session drops. It does no
//! I/O; `opening` and `subscribing` carry out what it says.

use std::collections::HashMap;
use std::sync::Arc;

use crate::wire::filter::{covers, join, overlap};

/// Filters that a new one may overlap before it is taken together with them.
const MAX_OVERLAPS: usize = 4;
/// Filters that it may overlap before one is taken that covers all there can be.
const MAX_COVERED_OVERLAPS: usize = 2 * MAX_OVERLAPS;

/// A filter on the live plane.
#[derive(Debug)]
struct Asked {
    filter: Arc<str>,
    reliable: bool,
    /// Taken for several filters of the client, and none of its own.
    wide: bool,
    /// Filters of the client for which it is there.
    serves: usize,
}

/// The live plane's filters of one session.
#[derive(Debug, Default)]
pub(in crate::mqtt) struct LiveFilters {
    asked: Vec<Asked>,
    /// By filter of the client: the one that serves it.
    served_by: HashMap<Arc<str>, Arc<str>>,
}

impl LiveFilters {
    /// The client wants a filter that it did not, or wants it reliably. Returns what is to be
    /// subscribed, if anything is.
    pub(in crate::mqtt) fn open(
        &mut self,
        filter: &Arc<str>,
        reliable: bool,
    ) -> Option<(Arc<str>, bool)> {
        let known = self.served_by.get(filter).cloned();
        let serving = known.clone().unwrap_or_else(|| self.choose(filter));
        if known.is_none() {
            self.served_by
                .insert(Arc::clone(filter), Arc::clone(&serving));
        }
        let Some(at) = self.position(&serving) else {
            self.asked.push(Asked {
                filter: Arc::clone(&serving),
                reliable,
                wide: serving != *filter,
                serves: 1,
            });
            return Some((serving, reliable));
        };
        let own = &mut self.asked[at];
        own.serves += usize::from(known.is_none());
        let stronger = reliable && !own.reliable;
        own.reliable |= reliable;
        stronger.then_some((serving, true))
    }

    /// The client no longer wants a filter. Returns what is to be unsubscribed, if anything is.
    pub(super) fn close(&mut self, filter: &str) -> Option<Arc<str>> {
        let serving = self.served_by.remove(filter)?;
        let at = self.position(&serving)?;
        self.asked[at].serves -= 1;
        (self.asked[at].serves == 0).then(|| self.asked.swap_remove(at).filter)
    }

    fn position(&self, filter: &str) -> Option<usize> {
        self.asked.iter().position(|own| *own.filter == *filter)
    }

    /// What is to serve a filter that is new.
    fn choose(&self, filter: &Arc<str>) -> Arc<str> {
        let mut wide = self.asked.iter().filter(|own| own.wide);
        if let Some(own) = wide.find(|own| covers(&own.filter, filter)) {
            return Arc::clone(&own.filter);
        }
        let overlapping = || {
            let own = self.asked.iter().map(|own| &*own.filter);
            own.filter(|own| overlap(own, filter))
        };
        match overlapping().count() {
            0..MAX_OVERLAPS => Arc::clone(filter),
            MAX_OVERLAPS..MAX_COVERED_OVERLAPS => overlapping()
                .fold(filter.to_string(), |wide, own| join(&wide, own))
                .into(),
            _ => widest(filter).into(),
        }
    }
}

/// A filter for everything that has a topic in common with this one, and more.
fn widest(filter: &str) -> String {
    match filter.split('/').next() {
        Some(first) if first.starts_with('$') => format!("{first}/#"),
        _ => "#".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::filter::matches;

    /// Filters that all match a/b/c/d/e/f/g/h/i/j.
    fn overlapping(count: u32) -> Vec<Arc<str>> {
        let level = |bits: u32, at: u8| match bits >> at & 1 {
            1 => "+".to_owned(),
            _ => char::from(b'a' + at).to_string(),
        };
        let filter = |bits| {
            (0..10)
                .map(|at| level(bits, at))
                .collect::<Vec<_>>()
                .join("/")
        };
        (0..count).map(|bits| filter(bits).into()).collect()
    }

    #[test]
    fn filters_that_do_not_overlap_are_asked_for_as_they_are() {
        let mut live_filters = LiveFilters::default();
        for n in 0..500 {
            let filter: Arc<str> = format!("a/{n}/+").into();
            assert_eq!(
                live_filters.open(&filter, false),
                Some((filter.clone(), false))
            );
            assert_eq!(live_filters.open(&filter, false), None);
            assert_eq!(
                live_filters.open(&filter, true),
                Some((filter.clone(), true))
            );
            assert_eq!(live_filters.open(&filter, true), None);
        }
        for n in 0..500 {
            let filter: Arc<str> = format!("a/{n}/+").into();
            assert_eq!(live_filters.close(&filter), Some(filter.clone()));
            assert_eq!(live_filters.close(&filter), None);
        }
    }

    #[test]
    fn filters_that_overlap_end_up_under_few_that_cover_them_all() {
        let mut live_filters = LiveFilters::default();
        let filters = overlapping(1_000);
        for filter in &filters {
            live_filters.open(filter, false);
            let served = live_filters.asked.iter();
            assert!(
                served.clone().any(|own| covers(&own.filter, filter)),
                "{filter}"
            );
        }
        let matching = |topic: &str| {
            let asked = live_filters.asked.iter();
            asked.filter(|own| matches(&own.filter, topic)).count()
        };
        let copies = matching("a/b/c/d/e/f/g/h/i/j");
        assert!(copies <= 2 * MAX_COVERED_OVERLAPS, "{copies} copies");
        for filter in &filters {
            live_filters.close(filter);
        }
        assert!(live_filters.asked.is_empty() && live_filters.served_by.is_empty());
    }

    #[test]
    fn a_wider_filter_stays_for_as_long_as_it_serves_somebody() {
        let mut live_filters = LiveFilters::default();
        // None of which is what some of them are joined to.
        let filters = overlapping(1_024).into_iter().enumerate();
        let filters = filters.filter(|(bits, _)| bits.count_ones() <= 1);
        let filters: Vec<Arc<str>> = filters.map(|(_, filter)| filter).collect();
        for filter in &filters {
            live_filters.open(filter, false);
        }
        let wide: Vec<Arc<str>> = live_filters
            .asked
            .iter()
            .filter(|own| own.wide)
            .map(|own| own.filter.clone())
            .collect();
        assert!(!wide.is_empty());
        // The client asks for one of them itself.
        assert_eq!(live_filters.open(&wide[0], false), None);
        let strengthened = live_filters.open(&wide[0], true);
        assert_eq!(strengthened, Some((wide[0].clone(), true)));
        let closed: Vec<Arc<str>> = filters
            .iter()
            .filter_map(|own| live_filters.close(own))
            .collect();
        assert!(!closed.contains(&wide[0]));
        assert_eq!(live_filters.close(&wide[0]), Some(wide[0].clone()));
    }

    #[test]
    fn topics_that_begin_with_dollar_are_not_under_what_covers_all_others() {
        let mut live_filters = LiveFilters::default();
        let filters = overlapping(100).into_iter();
        let filters: Vec<Arc<str>> = filters.map(|own| format!("$x/{own}").into()).collect();
        for filter in &filters {
            live_filters.open(filter, false);
            assert!(
                live_filters
                    .asked
                    .iter()
                    .any(|own| covers(&own.filter, filter))
            );
        }
    }
}

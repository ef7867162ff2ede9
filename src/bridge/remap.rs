//! Remapping of topics: a filter that says which, and a template that says as what.
//!
//! A template is a topic in which `{1}`, `{2}` stand for what the filter's first and second `+`
//! matched, and `{#}` at the end for what its `#` matched. Each stands for itself in a level of its
//! own, so that a mapping that uses each once can be turned round. Pure: it knows no bridge.

use std::fmt;

use crate::wire::filter;

/// A template that cannot be used with its filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemapError {
    /// The filter breaks MQTT's rules.
    #[error("is no topic filter: {0}")]
    Filter(String),
    /// Text around a capture, or an unknown one.
    #[error("{0:?}: a level is text, {{1}}, {{2}} … for what a + matched, or {{#}} for a #")]
    Level(String),
    /// More captures than wildcards.
    #[error("{{{0}}} has no + in the filter that it could stand for")]
    NoSuchCapture(usize),
    /// `{#}` without `#`, or not at the end.
    #[error("{{#}} stands at the end, and for the # of the filter")]
    MisplacedRest,
    /// Text with a wildcard or the null character.
    #[error("a template must not contain +, # or the null character outside of captures")]
    Wildcard,
    /// What comes out could be empty, or begin with a `$` that a client chose.
    #[error("must begin with text, or with what the filter begins with")]
    Beginning,
    /// Not every wildcard is used once.
    #[error("cannot be turned round: each wildcard of the filter must be used once")]
    OneWay,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplateLevel {
    Text(Box<str>),
    /// What the filter's wildcard of this place (from 0) matched.
    Plus(usize),
    Rest,
}

/// A filter and what becomes of topics that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remap {
    filter: Box<str>,
    template: Vec<TemplateLevel>,
}

impl Remap {
    /// Reads a template; an empty one leaves topics as they are.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn new(topic_filter: &str, template: &str) -> Result<Remap, RemapError> {
        filter::check_plain_filter(topic_filter)
            .map_err(|error| RemapError::Filter(error.to_string()))?;
        let template = match template {
            "" => identity(topic_filter),
            template => parse(topic_filter, template)?,
        };
        let begins_well = match &template[0] {
            TemplateLevel::Text(_) => true,
            TemplateLevel::Plus(place) => *place == 0 && topic_filter.starts_with('+'),
            TemplateLevel::Rest => topic_filter == "#",
        };
        if !begins_well {
            return Err(RemapError::Beginning);
        }
        Ok(Remap {
            filter: topic_filter.into(),
            template,
        })
    }

    /// Which topics it is for.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// What becomes of a topic; `None` if the filter does not match it.
    pub fn apply(&self, topic: &str) -> Option<String> {
        if !filter::matches(&self.filter, topic) {
            return None;
        }
        let mut levels = topic.split('/');
        let (mut captured, mut rest) = (Vec::new(), None);
        for part in self.filter.split('/') {
            match part {
                "#" => rest = Some(levels.by_ref().collect::<Vec<_>>()),
                "+" => captured.push(levels.next()?),
                _ => drop(levels.next()),
            }
        }
        let mut out: Vec<&str> = Vec::new();
        for level in &self.template {
            match level {
                TemplateLevel::Text(text) => out.push(text),
                TemplateLevel::Plus(place) => out.push(captured.get(*place)?),
                TemplateLevel::Rest => out.extend(rest.as_ref()?),
            }
        }
        Some(out.join("/"))
    }

    /// The mapping back.
    ///
    /// # Errors
    /// If something that a wildcard matched is lost or repeated on the way.
    pub fn inverse(&self) -> Result<Remap, RemapError> {
        let (mut back, mut used) = (Vec::new(), Vec::new());
        for level in &self.template {
            match level {
                TemplateLevel::Text(text) => back.push(text.to_string()),
                TemplateLevel::Plus(place) => {
                    back.push("+".to_owned());
                    used.push(*place);
                }
                TemplateLevel::Rest => back.push("#".to_owned()),
            }
        }
        let (mut template, mut pluses, mut rests) = (Vec::new(), 0, 0);
        for part in self.filter.split('/') {
            match part {
                "#" => {
                    rests += 1;
                    template.push(TemplateLevel::Rest);
                }
                "+" => {
                    let mut found = used.iter().enumerate().filter(|(_, own)| **own == pluses);
                    let (Some((place, _)), None) = (found.next(), found.next()) else {
                        return Err(RemapError::OneWay);
                    };
                    template.push(TemplateLevel::Plus(place));
                    pluses += 1;
                }
                text => template.push(TemplateLevel::Text(text.into())),
            }
        }
        let brought = self.template.contains(&TemplateLevel::Rest);
        if brought != (rests == 1) {
            return Err(RemapError::OneWay);
        }
        Ok(Remap {
            filter: back.join("/").into(),
            template,
        })
    }

    /// The fewest bytes that a topic can have that comes out.
    pub fn least_bytes(&self) -> usize {
        let text = self.template.iter().map(|level| match level {
            TemplateLevel::Text(text) => text.len(),
            TemplateLevel::Plus(_) | TemplateLevel::Rest => 0,
        });
        text.sum::<usize>() + self.least_slashes()
    }

    /// The fewest slashes that a topic can have that comes out.
    pub fn least_slashes(&self) -> usize {
        let fixed = self.template.iter();
        let fixed = fixed.filter(|level| **level != TemplateLevel::Rest).count();
        fixed.saturating_sub(1)
    }
}

impl fmt::Display for Remap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = self.template.iter().map(|level| match level {
            TemplateLevel::Text(text) => text.to_string(),
            TemplateLevel::Plus(place) => format!("{{{}}}", place + 1),
            TemplateLevel::Rest => "{#}".to_owned(),
        });
        let levels: Vec<String> = levels.collect();
        write!(f, "{} -> {}", self.filter, levels.join("/"))
    }
}

fn identity(topic_filter: &str) -> Vec<TemplateLevel> {
    let mut pluses = 0;
    let levels = topic_filter.split('/').map(|part| match part {
        "#" => TemplateLevel::Rest,
        "+" => {
            pluses += 1;
            TemplateLevel::Plus(pluses - 1)
        }
        text => TemplateLevel::Text(text.into()),
    });
    levels.collect()
}

fn parse(topic_filter: &str, template: &str) -> Result<Vec<TemplateLevel>, RemapError> {
    let pluses = topic_filter.split('/').filter(|part| *part == "+").count();
    let has_rest = topic_filter.split('/').next_back() == Some("#");
    let mut found = Vec::new();
    let mut levels = template.split('/').peekable();
    while let Some(level) = levels.next() {
        let capture = level.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
        match capture {
            Some("#") if has_rest && levels.peek().is_none() => found.push(TemplateLevel::Rest),
            Some("#") => return Err(RemapError::MisplacedRest),
            Some(number) => {
                let place = number.parse::<usize>().ok().filter(|n| *n > 0);
                let place = place.ok_or_else(|| RemapError::Level(level.to_owned()))?;
                if place > pluses {
                    return Err(RemapError::NoSuchCapture(place));
                }
                found.push(TemplateLevel::Plus(place - 1));
            }
            None if level.contains(['{', '}']) => return Err(RemapError::Level(level.to_owned())),
            None if level.contains(['+', '#', '\0']) => return Err(RemapError::Wildcard),
            None => found.push(TemplateLevel::Text(level.into())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapped(filter: &str, template: &str, topic: &str) -> Option<String> {
        Remap::new(filter, template)
            .expect("a mapping")
            .apply(topic)
    }

    #[test]
    fn templates_say_what_becomes_of_a_topic() {
        for (filter, template, topic, out) in [
            ("sensors/#", "site7/{#}", "sensors/a/b", Some("site7/a/b")),
            ("sensors/#", "site7/{#}", "sensors", Some("site7")),
            ("sensors/#", "site7/{#}", "sensors/", Some("site7/")),
            ("a/+/b/+", "x/{2}/{1}", "a/1/b/2", Some("x/2/1")),
            ("a/+", "x/{1}/{1}", "a/1", Some("x/1/1")),
            ("a/+", "", "a/1", Some("a/1")),
            ("#", "edge/{#}", "a/b", Some("edge/a/b")),
            ("#", "edge/{#}", "$SYS/x", None),
            ("a/+", "x/{1}", "b/1", None),
            ("a//+", "x/{1}", "a//", Some("x/")),
        ] {
            assert_eq!(mapped(filter, template, topic).as_deref(), out, "{filter}");
        }
    }

    #[test]
    fn templates_that_say_nothing_clear_are_refused() {
        for (filter, template, error) in [
            ("a/#", "{#}", RemapError::Beginning),
            ("a/+", "{1}/x", RemapError::Beginning),
            ("a/+", "x/{2}", RemapError::NoSuchCapture(2)),
            ("a/+", "x/{0}", RemapError::Level("{0}".into())),
            ("a/+", "x/n{1}", RemapError::Level("n{1}".into())),
            ("a/#", "x/{#}/y", RemapError::MisplacedRest),
            ("a/+", "x/{#}", RemapError::MisplacedRest),
            ("a/+", "x/+", RemapError::Wildcard),
        ] {
            assert_eq!(Remap::new(filter, template), Err(error), "{template}");
        }
        let back = |filter, template| Remap::new(filter, template).and_then(|map| map.inverse());
        for (filter, template) in [("a/+", "x"), ("a/+", "x/{1}/{1}"), ("a/#", "x")] {
            assert_eq!(
                back(filter, template),
                Err(RemapError::OneWay),
                "{template}"
            );
        }
    }

    /// A filter, and a template that uses each of its wildcards once.
    fn mapping() -> impl Strategy<Value = (String, String)> {
        let levels = prop::collection::vec("a|b||\\+", 1..5);
        (levels, any::<bool>(), any::<u64>()).prop_map(|(mut levels, rest, dice)| {
            levels.insert(0, "in".to_owned());
            let pluses = levels.iter().filter(|level| *level == "+").count();
            let mut captures: Vec<String> = (1..=pluses).map(|n| format!("{{{n}}}")).collect();
            if pluses > 1 {
                captures.rotate_left(usize::try_from(dice % pluses as u64).expect("few"));
            }
            let mut out = vec!["out".to_owned()];
            for capture in captures {
                out.push(capture);
                out.push("x".to_owned());
            }
            if rest {
                levels.push("#".to_owned());
                out.push("{#}".to_owned());
            }
            (levels.join("/"), out.join("/"))
        })
    }

    proptest! {
        #[test]
        fn what_is_mapped_comes_back_by_the_inverse(
            (filter, template) in mapping(), fill in prop::collection::vec("a|b||\\$x|long one", 8)
        ) {
            let map = Remap::new(&filter, &template).expect("a mapping");
            let inverse = map.inverse().expect("each is used once");
            prop_assert_eq!(&inverse.inverse().expect("back again"), &map);
            let mut fill = fill.into_iter();
            let mut topic: Vec<String> = Vec::new();
            for level in filter.split('/') {
                match level {
                    "#" => topic.extend(fill.by_ref().take(2)),
                    "+" => topic.extend(fill.next()),
                    text => topic.push(text.to_owned()),
                }
            }
            let topic = topic.join("/");
            let out = map.apply(&topic).expect("the filter matches");
            prop_assert!(filter::check_name(&out).is_ok() && !out.starts_with('$'));
            prop_assert!(out.len() >= map.least_bytes());
            prop_assert!(out.matches('/').count() >= map.least_slashes());
            prop_assert_eq!(inverse.apply(&out), Some(topic));
        }

        #[test]
        fn whatever_is_written_is_refused_or_makes_topics(
            filter in "[ab+#/$]{0,8}", template in "[ab+#/{}12$]{0,10}", topic in "[ab/$]{1,8}"
        ) {
            if let Ok(map) = Remap::new(&filter, &template)
                && let Some(out) = map.apply(&topic)
            {
                prop_assert!(filter::check_name(&out).is_ok(), "{map}: {topic} {out}");
                if let Ok(inverse) = map.inverse() {
                    prop_assert_eq!(inverse.apply(&out), Some(topic));
                }
            }
        }
    }
}

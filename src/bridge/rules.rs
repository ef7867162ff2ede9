//! A bridge's rules, ready for use: which messages leave, and as what.

use super::config::{BridgeConfig, RetainRule};
use super::preset::BridgePreset;
use super::remap::{Remap, RemapError};
use crate::desk::ForwardTarget;
use crate::wire::Millis;
use crate::wire::filter;
use crate::wire::message::{Message, Parts, Qos};

#[derive(Debug)]
struct OutboundRule {
    remap: Remap,
    except: Vec<Box<str>>,
    retain: bool,
    expiry_ms: u64,
}

/// All rules of a bridge; the first that matches counts.
#[derive(Debug)]
pub(super) struct OutboundRules(Vec<OutboundRule>);

impl OutboundRules {
    /// Those of a configuration.
    ///
    /// # Errors
    /// If one is not what [`super::check`] lets through.
    pub(super) fn new(
        config: &BridgeConfig,
        preset: &BridgePreset,
    ) -> Result<OutboundRules, RemapError> {
        let rules = config.rule.iter().map(|rule| {
            Ok(OutboundRule {
                remap: Remap::new(&rule.filter, &rule.template)?,
                except: rule.except.iter().map(|own| own.as_str().into()).collect(),
                retain: match rule.retain {
                    RetainRule::Preset => preset.retain,
                    RetainRule::Keep => true,
                    RetainRule::Strip => false,
                },
                expiry_ms: rule.expiry.ms(),
            })
        });
        rules.collect::<Result<_, _>>().map(OutboundRules)
    }
}

impl ForwardTarget for OutboundRules {
    fn export(&self, message: &Message, now: Millis) -> Option<Message> {
        let topic = message.topic();
        let excepted = |rule: &OutboundRule| rule.except.iter().any(|f| filter::matches(f, topic));
        let rules = self.0.iter().filter(|rule| !excepted(rule));
        let (rule, topic) = rules
            .filter_map(|rule| Some((rule, rule.remap.apply(topic)?)))
            .next()?;
        let parts = message.parts();
        let expires_at = match (rule.expiry_ms, parts.expires_at) {
            (0, own) => own,
            (longest, 0) => now + longest,
            (longest, own) => own.min(now + longest),
        };
        // A topic that grew too long for MQTT is told of when it is to be sent.
        (topic.len() <= usize::from(u16::MAX)).then(|| {
            Message::encode(&Parts {
                topic: &topic,
                qos: Qos::AtLeastOnce,
                retain: parts.retain && rule.retain,
                retained_seq: 0,
                expires_at,
                ..parts
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::config::BridgeRule;
    use crate::setting::seconds;

    fn rules(rules: Vec<BridgeRule>) -> OutboundRules {
        let config = BridgeConfig {
            rule: rules,
            ..BridgeConfig::default()
        };
        let preset = BridgePreset::named("generic").expect("a preset");
        OutboundRules::new(&config, preset).expect("mappings")
    }

    fn exported(rules: &OutboundRules, topic: &str, expires_at: Millis) -> Option<(String, u64)> {
        let message = Message::encode(&Parts {
            topic,
            qos: Qos::ExactlyOnce,
            retain: true,
            retained_seq: 7,
            expires_at,
            properties: &[1, 1],
            payload: b"x",
            ..Parts::default()
        });
        let out = rules.export(&message, 1_000)?;
        assert_eq!((out.qos(), out.retained_seq()), (Qos::AtLeastOnce, 0));
        assert_eq!(
            (out.properties(), &*out.payload()),
            (&[1, 1][..], &b"x"[..])
        );
        Some((out.topic().to_owned(), out.expires_at()))
    }

    #[test]
    fn the_first_rule_that_matches_counts_and_exceptions_do_not_match() {
        let rule = |filter: &str, template: &str| BridgeRule {
            filter: filter.into(),
            template: template.into(),
            ..BridgeRule::default()
        };
        let rules = rules(vec![
            BridgeRule {
                except: vec!["s/secret/#".into()],
                expiry: seconds(1),
                ..rule("s/#", "one/{#}")
            },
            rule("s/secret/+", "two/{1}"),
        ]);
        assert_eq!(exported(&rules, "s/a", 0), Some(("one/a".into(), 2_000)));
        assert_eq!(
            exported(&rules, "s/a", 1_500),
            Some(("one/a".into(), 1_500))
        );
        assert_eq!(exported(&rules, "s/secret/b", 0), Some(("two/b".into(), 0)));
        assert_eq!(exported(&rules, "s/secret/b/c", 0), None);
        assert_eq!(exported(&rules, "t", 0), None);
    }
}

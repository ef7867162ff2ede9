//! What a request and a decision must look like, and the digest that ties a decision to what was
//! seen.

use std::collections::BTreeSet;

use crate::wire::approve::{ApprovalRequest, Decide, OnTimeout};
use crate::wire::reply::{Code, Rejection};

use super::config::SamePerson;
use crate::engine::actor::Actor;
use crate::engine::context::Context;
use crate::engine::replies::{between, entries_at_most, json_at_most, text_at_most};
use crate::engine::tx::{expect_agents_or_roles, role_of};

pub(super) fn check_request(
    cx: &Context,
    from: Actor<'_>,
    request: &ApprovalRequest,
) -> Result<(), Rejection> {
    let settings = &cx.settings;
    let on_timeout = request.on_timeout.unwrap_or_default();
    // Nobody of the requester's own may decide.
    let from = match settings.approve.same_person {
        SamePerson::User => from,
        SamePerson::Agent => Actor { user: None, ..from },
    };
    check_escalation(from, request, settings.approve.max_approvers)?;
    if on_timeout == OnTimeout::Approve && !settings.approve.approve_on_timeout {
        let reason = "this gateway does not allow onTimeout: approve";
        return Err(Rejection::new(Code::Forbidden, reason).at("onTimeout"));
    }
    text_at_most(
        "action",
        Some(&request.action),
        settings.commands.max_reason.0,
    )?;
    json_at_most(
        "content",
        request.content.as_ref(),
        settings.handoff.max_payload.0,
    )?;
    text_at_most(
        "urgency",
        request.urgency.as_deref(),
        settings.commands.max_label.0,
    )?;
    let trace = settings.commands.max_correlation.0;
    text_at_most("traceparent", request.traceparent.as_deref(), trace)?;
    text_at_most("tracestate", request.tracestate.as_deref(), trace)?;
    entries_at_most(
        "approvers",
        request.approvers.len(),
        settings.approve.max_approvers,
    )?;
    let quorum = request.quorum.unwrap_or(1);
    between(
        "quorum",
        quorum.into(),
        1,
        settings.approve.max_quorum.into(),
    )?;
    if let Some(timeout_ms) = request.timeout_ms {
        between(
            "timeoutMs",
            timeout_ms,
            1,
            settings.approve.max_timeout.ms(),
        )?;
    }
    check_approvers("approvers", from, &request.approvers, quorum)
}

/// Whoever is to be asked after a time-out must be named, and not the requester alone.
fn check_escalation(
    from: Actor<'_>,
    request: &ApprovalRequest,
    limit: usize,
) -> Result<(), Rejection> {
    let escalates = request.on_timeout == Some(OnTimeout::Escalate);
    if escalates == request.escalate_to.is_empty() {
        let reason = "onTimeout: escalate and escalateTo belong together";
        return Err(Rejection::new(Code::Invalid, reason).at("escalateTo"));
    }
    entries_at_most("escalateTo", request.escalate_to.len(), limit)?;
    check_approvers("escalateTo", from, &request.escalate_to, 1)
}

/// Approvers must be names, and enough of them must be able to decide.
fn check_approvers(
    path: &str,
    from: Actor<'_>,
    approvers: &[String],
    quorum: u32,
) -> Result<(), Rejection> {
    let invalid = |reason| Err(Rejection::new(Code::Invalid, reason).at(path));
    let mut agents = BTreeSet::new();
    let mut roles = false;
    expect_agents_or_roles(path, approvers)?;
    for approver in approvers {
        roles |= role_of(approver).is_some();
        if !from.is_called(approver) {
            agents.insert(approver);
        }
    }
    if !approvers.is_empty() && !roles && agents.len() < quorum as usize {
        let count = agents.len();
        return invalid(format!(
            "{quorum} must approve, but only {count} of the approvers may: a requester may not decide its own request"
        ));
    }
    Ok(())
}

pub(super) fn check_decide(cx: &Context, decide: &Decide) -> Result<(), Rejection> {
    let settings = &cx.settings;
    text_at_most(
        "decision",
        Some(&decide.decision),
        settings.commands.max_label.0,
    )?;
    text_at_most(
        "reason",
        decide.reason.as_deref(),
        settings.commands.max_reason.0,
    )?;
    text_at_most(
        "digest",
        decide.digest.as_deref(),
        settings.commands.max_label.0,
    )?;
    json_at_most("edit", decide.edit.as_ref(), settings.handoff.max_payload.0)
}

#[cfg(test)]
mod tests {
    use crate::engine::digest::approval_digest;
    use crate::wire::json::Json;

    /// What `tests/goldens/digests.sh` draws its doubles from, too: SplitMix64.
    struct Draws(u64);

    impl Draws {
        fn draw(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        #[expect(clippy::cast_precision_loss, reason = "all are below 2^53")]
        fn double(&mut self) -> f64 {
            let (kind, bits) = (self.draw() % 8, self.draw());
            match kind {
                4 => (6_800_000_000_000_000 + bits % (1 << 49)) as f64 / 4.0,
                5 => (bits % 1_000_000_000_000) as f64 / 100.0,
                6 => (bits % (1 << 53)) as f64,
                7 => (bits % (1 << 53)) as f64 / 8.0,
                _ if bits >> 52 & 0x7FF == 0x7FF => f64::from_bits(bits & !(1 << 62)),
                _ => f64::from_bits(bits),
            }
        }
    }

    #[test]
    fn digests_of_numbers_are_those_of_other_libraries() {
        let goldens = include_str!("../../../tests/goldens/digests.txt");
        let mut draws = Draws(11);
        for (line, golden) in goldens.lines().enumerate() {
            let content: Vec<f64> = (0..1000).map(|_| draws.double()).collect();
            let spelt = serde_json::to_string(&content).unwrap();
            let canonical = serde_json_canonicalizer::to_string(&content).unwrap();
            for text in [spelt, canonical] {
                let content = Json::parse(&text).unwrap();
                let digest = approval_digest(&line.to_string(), Some(&content), "content");
                assert_eq!(digest.as_deref(), Ok(golden), "line {}", line + 1);
            }
        }
    }
}

//! Which web pages may connect. A browser tells the origin of the page; without this rule any page
//! that somebody opens could speak MQTT to a gateway on that machine.

use super::UpgradeRules;

/// Whether a page of this origin may connect to a gateway that it calls `host`.
pub(super) fn may_connect(origin: &str, host: Option<&str>, rules: &UpgradeRules) -> bool {
    let listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
    if rules.origins.iter().any(listed) {
        return true;
    }
    let Some((_, page)) = origin.split_once("://") else {
        return false;
    };
    // The host proves nothing by itself: a name of the attacker's may lead to this machine.
    is_this_machine(page)
        || (rules.same_host && host.is_some_and(|host| page.eq_ignore_ascii_case(host)))
}

/// Whether a host, with or without a port, is a name of the loopback interface.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(origins: &[&str], same_host: bool) -> UpgradeRules {
        UpgradeRules {
            path: "/mqtt".to_owned(),
            origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            same_host,
        }
    }

    #[test]
    fn pages_of_this_machine_may_connect() {
        let rules = rules(&[], false);
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:8080",
        ] {
            assert!(may_connect(origin, None, &rules), "{origin}");
        }
        for origin in [
            "null",
            "https://localhost.example.org",
            "http://127.0.0.1.example.org",
            "",
        ] {
            assert!(!may_connect(origin, None, &rules), "{origin}");
        }
    }

    #[test]
    fn a_name_that_leads_here_is_not_trusted_while_anybody_may_connect() {
        let page = "http://trap.example.org:8083";
        let host = Some("trap.example.org:8083");
        assert!(!may_connect(page, host, &rules(&[], false)));
        assert!(may_connect(page, host, &rules(&[], true)));
        assert!(!may_connect(
            page,
            Some("gateway.example.org:8083"),
            &rules(&[], true)
        ));
    }

    #[test]
    fn listed_pages_may_connect() {
        let page = "https://app.example.org";
        assert!(may_connect(
            page,
            None,
            &rules(&["https://app.example.org"], false)
        ));
        assert!(may_connect(page, None, &rules(&["*"], false)));
        assert!(!may_connect(
            page,
            None,
            &rules(&["https://example.org"], false)
        ));
    }
}

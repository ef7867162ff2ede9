//! A text, or with a `*` at its end whatever begins with it: how client ids and rooms are named in
//! rules.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix {
    /// What stands before the `*`.
    pub(super) text: Box<str>,
    /// Whether anything may follow.
    pub(super) open: bool,
}

impl Prefix {
    pub(super) fn read(text: &str) -> Prefix {
        match text.strip_suffix('*') {
            Some(fixed) => Prefix {
                text: fixed.into(),
                open: true,
            },
            None => Prefix {
                text: text.into(),
                open: false,
            },
        }
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        match text.strip_prefix(&*self.text) {
            Some(rest) => self.open || rest.is_empty(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prefix;

    #[test]
    fn only_a_star_at_the_end_leaves_it_open() {
        let fits = |rule, text| Prefix::read(rule).fits(text);
        assert!(fits("lab", "lab") && !fits("lab", "lab-1") && !fits("lab", "la"));
        assert!(fits("lab*", "lab") && fits("lab*", "lab-1") && !fits("lab*", "la"));
        assert!(fits("*", "") && fits("*", "x") && fits("", "") && !fits("", "x"));
        assert!(fits("a*b", "a*b") && !fits("a*b", "a-b"));
    }
}

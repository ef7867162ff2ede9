//! Reads an ACL file word by word as mosquitto does: words are parted by spaces alone, a comment
//! begins in the first column, and what follows the access (or `user`) to the end of the line is
//! one text.

use std::path::Path;

use super::{Acl, AclGrant, Line};
use crate::auth::problem::{FileProblem, read_text};
use crate::wire::filter::check_filter;

impl Acl {
    pub(in crate::auth) fn load(path: &Path) -> Result<Acl, Vec<FileProblem>> {
        let text = read_text(path).map_err(|problem| vec![problem])?;
        let mut acl = Acl {
            path: path.to_owned(),
            ..Acl::default()
        };
        let mut user: Option<Box<str>> = None;
        let mut problems = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let read = read_line(number, line.trim_end());
            match read {
                Ok(None) => {}
                Ok(Some(ParsedLine::User(name))) => {
                    acl.users.entry(name.into()).or_default();
                    user = Some(name.into());
                }
                Ok(Some(ParsedLine::Line(line))) if line.keyword == "pattern" => {
                    acl.patterns.push(line)
                }
                Ok(Some(ParsedLine::Line(line))) => acl.lines_of(user.as_deref()).push(line),
                Err(message) => problems.push(FileProblem::at(path, number, message)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for lines in acl
            .users
            .values_mut()
            .chain([&mut acl.anonymous, &mut acl.patterns])
        {
            lines.sort_by_key(|line| line.grant != AclGrant::Deny);
        }
        Ok(acl)
    }

    fn lines_of(&mut self, user: Option<&str>) -> &mut Vec<Line> {
        match user {
            Some(user) => self.users.entry(user.into()).or_default(),
            None => &mut self.anonymous,
        }
    }
}

enum ParsedLine<'a> {
    User(&'a str),
    Line(Line),
}

fn read_line(number: usize, line: &str) -> Result<Option<ParsedLine<'_>>, String> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let Some((keyword, rest)) = word(line) else {
        return Ok(None);
    };
    let keyword = match keyword {
        "user" => {
            let name = rest.trim();
            return match name {
                "" => Err("expected user NAME, but the name is missing".to_owned()),
                name => Ok(Some(ParsedLine::User(name))),
            };
        }
        "topic" => "topic",
        "pattern" => "pattern",
        other => {
            return Err(format!(
                "expected user, topic, pattern or a comment, but found {other:?}"
            ));
        }
    };
    let Some((first, rest)) = word(rest) else {
        return Err(format!(
            "expected {keyword} [read|write|readwrite|deny] FILTER, but the filter is missing"
        ));
    };
    let (grant, filter) = match (first, rest.trim()) {
        // One word alone is a filter, even if it reads like an access.
        (filter, "") => (AclGrant::ReadWrite, filter),
        ("read", filter) => (AclGrant::Read, filter),
        ("write", filter) => (AclGrant::Write, filter),
        ("readwrite", filter) => (AclGrant::ReadWrite, filter),
        ("deny", filter) => (AclGrant::Deny, filter),
        (other, _) => {
            return Err(format!(
                "expected read, write, readwrite or deny before the filter, but found {other:?}"
            ));
        }
    };
    check_filter(filter)
        .map_err(|rule| format!("expected a topic filter, but {filter:?}: {rule}"))?;
    Ok(Some(ParsedLine::Line(Line {
        number,
        keyword,
        grant,
        filter: filter.into(),
    })))
}

/// The first word and what follows it.
fn word(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(' ');
    match line.split_once(' ') {
        Some((word, rest)) => Some((word, rest)),
        None if line.is_empty() => None,
        None => Some((line, "")),
    }
}

//! The grammar of ECMA-262's patterns (section 22.2.1), with what its annex B adds where that is no
//! letter's escape.

use regex_syntax::hir::ClassUnicode;

use super::node::{Node, class_of, line_ends, negated, property, set};

/// How deep groups may be nested.
const MAX_DEPTH: usize = 50;

/// What a pattern says.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// How many groups there are, numbered from 1.
    pub(super) groups: usize,
    /// Whether there is something that no linear engine has, or that ours reads otherwise.
    pub(super) needs_trying: bool,
    /// Whether it is one with the flag `u`, too.
    pub(super) is_unicode: bool,
}

struct Parser<'a> {
    rest: &'a str,
    /// The names of the groups in their order; empty where one has none.
    names: Vec<String>,
    opened: usize,
    depth: usize,
    needs_trying: bool,
    is_unicode: bool,
}

/// What stands for one character, or several, in a class.
enum Atom {
    One(char),
    Many(ClassUnicode),
}

impl Atom {
    fn into_set(self) -> ClassUnicode {
        match self {
            Atom::One(char) => set(&[(char, char)]),
            Atom::Many(many) => many,
        }
    }
}

impl Parsed {
    pub(super) fn of(pattern: &str) -> Result<Parsed, String> {
        let mut parser = Parser {
            rest: pattern,
            names: group_names(pattern),
            opened: 0,
            depth: 0,
            needs_trying: false,
            is_unicode: true,
        };
        let node = parser.alternatives()?;
        match parser.rest.is_empty() {
            true => Ok(Parsed {
                node,
                groups: parser.opened,
                needs_trying: parser.needs_trying,
                is_unicode: parser.is_unicode,
            }),
            false => Err("a parenthesis closes what is not open".to_owned()),
        }
    }
}

/// All groups that remember, before any reference to one is read.
fn group_names(pattern: &str) -> Vec<String> {
    let (mut names, mut in_class) = (Vec::new(), false);
    let mut chars = pattern.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                let rest = &pattern[at + 1..];
                match rest.strip_prefix("?<") {
                    Some(name) if !name.starts_with(['=', '!']) => {
                        names.push(name.split('>').next().unwrap_or_default().to_owned());
                    }
                    None if !rest.starts_with('?') => names.push(String::new()),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    names
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.rest = &self.rest[char.len_utf8()..];
        Some(char)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What stands before `end`, which is taken away with it.
    fn until(&mut self, end: char) -> Result<String, String> {
        let (text, rest) = self
            .rest
            .split_once(end)
            .ok_or(format!("{end} is missing"))?;
        let text = text.to_owned();
        self.rest = rest;
        Ok(text)
    }

    fn alternatives(&mut self) -> Result<Node, String> {
        let mut all = vec![self.sequence()?];
        while self.eat("|") {
            all.push(self.sequence()?);
        }
        match all.len() {
            1 => Ok(all.remove(0)),
            _ => Ok(Node::Alt(all)),
        }
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut all = Vec::new();
        while let Some(char) = self.peek() {
            if matches!(char, '|' | ')') {
                break;
            }
            let before = self.opened;
            let node = self.term()?;
            all.push(self.quantified(node, before)?);
        }
        match all.len() {
            0 => Ok(Node::Empty),
            1 => Ok(all.remove(0)),
            _ => Ok(Node::Cat(all)),
        }
    }

    fn term(&mut self) -> Result<Node, String> {
        let one = |char| Ok(Node::Set(set(&[(char, char)])));
        match self.next() {
            Some('^') => Ok(Node::Start),
            Some('$') => Ok(Node::End),
            Some('.') => Ok(Node::Set(negated(line_ends()))),
            Some('(') => self.group(),
            Some('[') => self.class().map(Node::Set),
            Some('\\') => self.escape(),
            Some('*' | '+' | '?') => Err("there is nothing to repeat".to_owned()),
            Some(char @ ('{' | '}' | ']')) => {
                self.is_unicode = false;
                one(char)
            }
            Some(char) => one(char),
            None => Ok(Node::Empty),
        }
    }

    fn group(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!(
                "groups are nested more than {MAX_DEPTH} levels deep"
            ));
        }
        let look = [
            ("?=", false, false),
            ("?!", false, true),
            ("?<=", true, false),
            ("?<!", true, true),
        ];
        let look = look.into_iter().find(|(text, ..)| self.eat(text));
        let node = if let Some((_, behind, negative)) = look {
            self.needs_trying = true;
            let node = Box::new(self.alternatives()?);
            Node::Look {
                node,
                behind,
                negative,
            }
        } else if self.eat("?:") {
            self.alternatives()?
        } else {
            if self.eat("?<") {
                self.until('>')?;
            } else if self.rest.starts_with('?') {
                return Err("(? is followed by something unknown".to_owned());
            }
            self.opened += 1;
            let number = self.opened;
            Node::Group(number, Box::new(self.alternatives()?))
        };
        self.depth -= 1;
        match self.eat(")") {
            true => Ok(node),
            false => Err("a parenthesis is not closed".to_owned()),
        }
    }

    fn quantified(&mut self, node: Node, before: usize) -> Result<Node, String> {
        let (least, most) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.counts()? {
                Some(counts) => counts,
                None => return Ok(node),
            },
            _ => return Ok(node),
        };
        self.next();
        match &node {
            Node::Start | Node::End | Node::Edge { .. } | Node::Look { behind: true, .. } => {
                return Err("there is nothing to repeat".to_owned());
            }
            Node::Look { .. } => self.is_unicode = false,
            _ => {}
        }
        if most.is_some_and(|most| most < least) {
            return Err("a repetition has more at least than at most".to_owned());
        }
        Ok(Node::Repeat {
            node: Box::new(node),
            least,
            most,
            greedy: !self.eat("?"),
            groups: before + 1..self.opened + 1,
        })
    }

    /// `{2}`, `{2,}` or `{2,5}`, up to the closing brace; none where a brace is but a brace.
    fn counts(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        let Some((inside, _)) = self.rest[1..].split_once('}') else {
            return Ok(None);
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = |text: &str| {
            text.parse()
                .map_err(|_| format!("{text} turns are too many"))
        };
        let counts = match inside.split_once(',') {
            None if is_number(inside) => (number(inside)?, Some(number(inside)?)),
            Some((least, "")) if is_number(least) => (number(least)?, None),
            Some((least, most)) if is_number(least) && is_number(most) => {
                (number(least)?, Some(number(most)?))
            }
            _ => return Ok(None),
        };
        self.rest = &self.rest[1 + inside.len()..];
        Ok(Some(counts))
    }

    fn class(&mut self) -> Result<ClassUnicode, String> {
        let negative = self.eat("^");
        if self.rest.starts_with(']') {
            self.needs_trying = true;
        }
        let mut all = set(&[]);
        while !self.eat("]") {
            let atom = self.class_atom()?;
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            if !is_range {
                all.union(&atom.into_set());
                continue;
            }
            self.eat("-");
            match (atom, self.class_atom()?) {
                (Atom::One(from), Atom::One(to)) if from <= to => all.union(&set(&[(from, to)])),
                (Atom::One(from), Atom::One(to)) => {
                    return Err(format!("the range {from}-{to} is the wrong way round"));
                }
                (from, to) => {
                    self.is_unicode = false;
                    all.union(&from.into_set());
                    all.union(&set(&[('-', '-')]));
                    all.union(&to.into_set());
                }
            }
        }
        Ok(if negative { negated(all) } else { all })
    }

    fn class_atom(&mut self) -> Result<Atom, String> {
        match self.next() {
            None => Err("a class is not closed".to_owned()),
            Some('\\') => match self.peek() {
                Some('b') => {
                    self.next();
                    Ok(Atom::One('\u{8}'))
                }
                Some('-') => {
                    self.next();
                    Ok(Atom::One('-'))
                }
                _ => self.character(),
            },
            Some(char) => Ok(Atom::One(char)),
        }
    }

    fn escape(&mut self) -> Result<Node, String> {
        match self.peek() {
            Some(edge @ ('b' | 'B')) => {
                self.next();
                Ok(Node::Edge {
                    negative: edge == 'B',
                })
            }
            Some('1'..='9') => {
                let end = self.rest.find(|char: char| !char.is_ascii_digit());
                let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                let number = digits.parse::<usize>().unwrap_or(usize::MAX);
                self.rest = rest;
                self.reference(number)
            }
            Some('k') => {
                self.next();
                if !self.eat("<") {
                    return Err(r"\k is not followed by a name".to_owned());
                }
                let name = self.until('>')?;
                let found = self
                    .names
                    .iter()
                    .position(|own| *own == name && !name.is_empty());
                self.reference(found.map_or(usize::MAX, |index| index + 1))
            }
            _ => self.character().map(|atom| Node::Set(atom.into_set())),
        }
    }

    fn reference(&mut self, number: usize) -> Result<Node, String> {
        self.needs_trying = true;
        match number <= self.names.len() {
            true => Ok(Node::Back(number)),
            false => Err("it refers to a group that it does not have".to_owned()),
        }
    }

    /// What a backslash and the next characters stand for.
    fn character(&mut self) -> Result<Atom, String> {
        let Some(char) = self.next() else {
            return Err("a backslash is the last character".to_owned());
        };
        Ok(Atom::One(match char {
            'd' | 's' | 'w' => return Ok(Atom::Many(class_of(char))),
            'D' | 'S' | 'W' => {
                let class = class_of(char.to_ascii_lowercase());
                return Ok(Atom::Many(negated(class)));
            }
            'p' | 'P' if self.eat("{") => {
                let name = self.until('}')?;
                let class = property(&name)?;
                return Ok(Atom::Many(if char == 'P' { negated(class) } else { class }));
            }
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            '0' if !self.rest.starts_with(|next: char| next.is_ascii_digit()) => '\0',
            'c' => match self.next() {
                Some(letter @ ('a'..='z' | 'A'..='Z')) => char::from(letter as u8 % 32),
                _ => return Err(r"\c is not followed by a letter".to_owned()),
            },
            'x' => self.hexadecimal(2)?,
            'u' if self.eat("{") => {
                let digits = self.until('}')?;
                let number = u32::from_str_radix(&digits, 16).ok();
                number
                    .and_then(char::from_u32)
                    .ok_or("no character has this number")?
            }
            'u' => return self.unit(),
            other if other.is_ascii_alphanumeric() => {
                return Err(format!(r"\{other} is unknown"));
            }
            other => {
                // The standard library's kind of engine reads these as the edges of words.
                self.needs_trying |= matches!(other, '<' | '>');
                self.is_unicode &= r"^$\.*+?()[]{}|/".contains(other);
                other
            }
        }))
    }

    fn digits(&mut self, count: usize) -> Result<u32, String> {
        let digits = self.rest.get(..count);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(|| format!("{count} hexadecimal digits are expected"))?;
        let number = u32::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
        self.rest = &self.rest[count..];
        Ok(number)
    }

    fn hexadecimal(&mut self, count: usize) -> Result<char, String> {
        let number = self.digits(count)?;
        char::from_u32(number).ok_or_else(|| "no character has this number".to_owned())
    }

    /// Four digits after `\u`, and the other half of a surrogate pair; a half alone is in no text
    /// of ours.
    fn unit(&mut self) -> Result<Atom, String> {
        let high = self.digits(4)?;
        if let Some(char) = char::from_u32(high) {
            return Ok(Atom::One(char));
        }
        let before = self.rest;
        if self.eat(r"\u")
            && let Ok(low) = self.digits(4)
            && (0xD800..0xDC00).contains(&high)
            && (0xDC00..0xE000).contains(&low)
        {
            let number = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            return char::from_u32(number)
                .map(Atom::One)
                .ok_or_else(|| "no character has this number".to_owned());
        }
        self.rest = before;
        Ok(Atom::Many(set(&[])))
    }
}

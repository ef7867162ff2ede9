//! A pattern as steps, and the machine that takes them: what was left untried is tried when a step
//! fails (ECMA-262 section 22.2.2).

use regex_syntax::hir::ClassUnicode;

use super::node::Node;
use super::parse::Parsed;

/// The most steps that a pattern may be written in: repetitions are written out.
const MAX_OPS: usize = 10_000;

const NEVER: usize = usize::MAX;

#[derive(Debug)]
enum Op {
    /// One character of a set, ahead or behind.
    Set(usize, bool),
    Start,
    End,
    Edge {
        negative: bool,
    },
    /// Here first, there if that fails.
    Split(usize, usize),
    Jump(usize),
    /// The place, into a register.
    Save(usize),
    /// Registers that hold nothing from now on.
    Forget(std::ops::Range<usize>),
    /// Fails where the place is still the one in a register.
    Moved(usize),
    Back(usize, bool),
    /// Tries what follows up to a `Done`, and goes on there.
    Look {
        negative: bool,
        end: usize,
    },
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Program {
    ops: Vec<Op>,
    sets: Vec<ClassUnicode>,
    registers: usize,
    /// It matches at the beginning of the text or not at all.
    is_anchored: bool,
}

impl Program {
    pub(super) fn of(parsed: &Parsed) -> Result<Program, String> {
        let mut program = Program {
            registers: 2 * (parsed.groups + 1),
            ..Program::default()
        };
        program.write(&parsed.node, false)?;
        program.push(Op::Done)?;
        program.is_anchored = matches!(program.ops[0], Op::Start);
        Ok(program)
    }

    fn push(&mut self, op: Op) -> Result<usize, String> {
        if self.ops.len() >= MAX_OPS {
            return Err(format!(
                "it takes more than {MAX_OPS} parts, repetitions written out"
            ));
        }
        self.ops.push(op);
        Ok(self.ops.len() - 1)
    }

    fn write(&mut self, node: &Node, back: bool) -> Result<(), String> {
        match node {
            Node::Empty => {}
            Node::Set(set) => {
                let number = self.sets.iter().position(|own| own == set);
                let number = number.unwrap_or_else(|| {
                    self.sets.push(set.clone());
                    self.sets.len() - 1
                });
                self.push(Op::Set(number, back))?;
            }
            Node::Start => drop(self.push(Op::Start)?),
            Node::End => drop(self.push(Op::End)?),
            Node::Edge { negative } => drop(self.push(Op::Edge {
                negative: *negative,
            })?),
            Node::Back(group) => drop(self.push(Op::Back(*group, back))?),
            Node::Cat(all) if back => {
                for node in all.iter().rev() {
                    self.write(node, back)?;
                }
            }
            Node::Cat(all) => {
                for node in all {
                    self.write(node, back)?;
                }
            }
            Node::Alt(all) => self.write_alternatives(all, back)?,
            Node::Group(number, node) => {
                let (first, last) = (
                    2 * number + usize::from(back),
                    2 * number + usize::from(!back),
                );
                self.push(Op::Save(first))?;
                self.write(node, back)?;
                self.push(Op::Save(last))?;
            }
            Node::Look {
                node,
                behind,
                negative,
            } => {
                let look = self.push(Op::Done)?;
                self.write(node, *behind)?;
                let end = self.push(Op::Done)? + 1;
                self.ops[look] = Op::Look {
                    negative: *negative,
                    end,
                };
            }
            Node::Repeat {
                node,
                least,
                most,
                greedy,
                groups,
            } => {
                let forgotten = 2 * groups.start..2 * groups.end;
                for _ in 0..*least {
                    self.write_turn(node, &forgotten, back)?;
                }
                match most {
                    None => self.write_loop(node, &forgotten, *greedy, back)?,
                    Some(most) => {
                        self.write_options(node, &forgotten, most - least, *greedy, back)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn write_alternatives(&mut self, all: &[Node], back: bool) -> Result<(), String> {
        let mut jumps = Vec::new();
        for (index, node) in all.iter().enumerate() {
            if index + 1 == all.len() {
                self.write(node, back)?;
                break;
            }
            let split = self.push(Op::Done)?;
            self.write(node, back)?;
            jumps.push(self.push(Op::Done)?);
            self.ops[split] = Op::Split(split + 1, self.ops.len());
        }
        let end = self.ops.len();
        jumps
            .into_iter()
            .for_each(|jump| self.ops[jump] = Op::Jump(end));
        Ok(())
    }

    fn write_turn(
        &mut self,
        node: &Node,
        forgotten: &std::ops::Range<usize>,
        back: bool,
    ) -> Result<(), String> {
        if !forgotten.is_empty() {
            self.push(Op::Forget(forgotten.clone()))?;
        }
        self.write(node, back)
    }

    /// A turn that may be left out, and counts only if it got on; its `Split` is not complete.
    fn write_option(
        &mut self,
        node: &Node,
        forgotten: &std::ops::Range<usize>,
        back: bool,
    ) -> Result<usize, String> {
        let split = self.push(Op::Done)?;
        let place = self.registers;
        self.registers += 1;
        self.push(Op::Save(place))?;
        self.write_turn(node, forgotten, back)?;
        self.push(Op::Moved(place))?;
        Ok(split)
    }

    fn write_loop(
        &mut self,
        node: &Node,
        forgotten: &std::ops::Range<usize>,
        greedy: bool,
        back: bool,
    ) -> Result<(), String> {
        let split = self.write_option(node, forgotten, back)?;
        let end = self.push(Op::Jump(split))? + 1;
        self.ops[split] = choice(split + 1, end, greedy);
        Ok(())
    }

    fn write_options(
        &mut self,
        node: &Node,
        forgotten: &std::ops::Range<usize>,
        count: u32,
        greedy: bool,
        back: bool,
    ) -> Result<(), String> {
        let mut splits = Vec::new();
        for _ in 0..count {
            splits.push(self.write_option(node, forgotten, back)?);
        }
        let end = self.ops.len();
        for split in splits {
            self.ops[split] = choice(split + 1, end, greedy);
        }
        Ok(())
    }

    /// Whether it matches somewhere in the text; nothing where the steps do not suffice.
    pub(super) fn is_match(&self, text: &str, left: &mut u64) -> Option<bool> {
        let mut machine = Matcher {
            program: self,
            text,
            registers: vec![NEVER; self.registers],
            changes: Vec::new(),
            left,
        };
        let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        for start in starts {
            if machine.run(0, start)? {
                return Some(true);
            }
            if self.is_anchored {
                break;
            }
        }
        Some(false)
    }
}

/// A turn first, where it is greedy.
fn choice(turn: usize, end: usize, greedy: bool) -> Op {
    match greedy {
        true => Op::Split(turn, end),
        false => Op::Split(end, turn),
    }
}

/// What is left untried: where in the program, where in the text, and how many changes of registers
/// were made before.
type Branch = (usize, usize, usize);

struct Matcher<'a> {
    program: &'a Program,
    text: &'a str,
    registers: Vec<usize>,
    /// Registers that were changed, and what they held.
    changes: Vec<(usize, usize)>,
    left: &'a mut u64,
}

impl Matcher<'_> {
    fn set(&mut self, register: usize, value: usize) {
        let held = std::mem::replace(&mut self.registers[register], value);
        self.changes.push((register, held));
    }

    fn undo(&mut self, count: usize) {
        for (register, held) in self.changes.drain(count..).rev() {
            self.registers[register] = held;
        }
    }

    /// From here to a `Done`; nothing where the steps do not suffice. It calls itself for what
    /// looks around, which is nested as groups are.
    fn run(&mut self, mut at: usize, mut place: usize) -> Option<bool> {
        let before = self.changes.len();
        let mut untried: Vec<Branch> = Vec::new();
        loop {
            *self.left = self
                .left
                .checked_sub(1)
                .filter(|left| *left > 0)
                .unwrap_or_default();
            if *self.left == 0 {
                return None;
            }
            let next = match &self.program.ops[at] {
                Op::Done => return Some(true),
                Op::Jump(to) => Some((*to, place)),
                Op::Split(first, second) => {
                    untried.push((*second, place, self.changes.len()));
                    Some((*first, place))
                }
                Op::Look { negative, end } => {
                    let count = self.changes.len();
                    let found = self.run(at + 1, place)?;
                    if *negative {
                        self.undo(count);
                    }
                    (found != *negative).then_some((*end, place))
                }
                op => self.step(op, place).map(|place| (at + 1, place)),
            };
            (at, place) = match next {
                Some(next) => next,
                None => {
                    let Some((at, place, count)) = untried.pop() else {
                        self.undo(before);
                        return Some(false);
                    };
                    self.undo(count);
                    (at, place)
                }
            };
        }
    }

    /// Where a step that goes on with the next one leads, if it succeeds.
    fn step(&mut self, op: &Op, place: usize) -> Option<usize> {
        match op {
            Op::Set(number, back) => {
                let char = self.beside(place, *back)?;
                let is_in = has(&self.program.sets[*number], char);
                is_in.then(|| along(place, char.len_utf8(), *back))
            }
            Op::Start => (place == 0).then_some(place),
            Op::End => (place == self.text.len()).then_some(place),
            Op::Edge { negative } => {
                let is_word = |char: Option<char>| {
                    char.is_some_and(|char| char.is_ascii_alphanumeric() || char == '_')
                };
                let edge = is_word(self.beside(place, true)) != is_word(self.beside(place, false));
                (edge != *negative).then_some(place)
            }
            Op::Save(register) => {
                self.set(*register, place);
                Some(place)
            }
            Op::Forget(registers) => {
                registers
                    .clone()
                    .for_each(|register| self.set(register, NEVER));
                Some(place)
            }
            Op::Moved(register) => (self.registers[*register] != place).then_some(place),
            Op::Back(group, back) => self.again(*group, place, *back),
            _ => None,
        }
    }

    fn beside(&self, place: usize, back: bool) -> Option<char> {
        match back {
            true => self.text[..place].chars().next_back(),
            false => self.text[place..].chars().next(),
        }
    }

    /// Beyond what a group has matched, which must stand here. A group that has matched nothing is
    /// nothing.
    fn again(&mut self, group: usize, place: usize, back: bool) -> Option<usize> {
        let (from, to) = (self.registers[2 * group], self.registers[2 * group + 1]);
        if from == NEVER || to == NEVER {
            return Some(place);
        }
        let what = &self.text[from..to];
        // To compare takes time as steps do.
        *self.left = self.left.saturating_sub(what.len() as u64).max(1);
        let stands = match back {
            true => self.text[..place].ends_with(what),
            false => self.text[place..].starts_with(what),
        };
        stands.then(|| along(place, what.len(), back))
    }
}

fn along(place: usize, length: usize, back: bool) -> usize {
    match back {
        true => place - length,
        false => place + length,
    }
}

fn has(set: &ClassUnicode, char: char) -> bool {
    let ranges = set.ranges();
    let found = ranges.binary_search_by(|range| {
        if range.end() < char {
            std::cmp::Ordering::Less
        } else if range.start() > char {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    });
    found.is_ok()
}

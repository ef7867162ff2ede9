//! What a check can cost: an upper bound on its steps and on how deep it recurses, found from the
//! schema alone.
//!
//! Parts of a schema that are tried on the same value (`allOf`, `$ref`, …) add up; so do parts that
//! are tried on the same child of it. Two such references to a part that has two of its own make
//! four, and so on: a short schema can double its work at each level. So the bound is kept for each
//! level of a value apart, and a value is charged for the levels that it has. `Schema` asks it
//! before it compiles, and before each check.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{MAX_DEPTH, MAX_PATTERNS, MAX_STEPS, MAX_SUBSCHEMAS, SchemaError};

/// How many subschemas may wait for one another at once: each takes some of the stack.
const MAX_NESTED: u64 = 256;

/// Bytes of a text that count as one more step.
const BYTES_A_STEP: usize = 32;

/// The steps that one value at each level of an instance can take, the whole being level 0.
#[derive(Debug)]
pub(super) struct Cost {
    steps: Vec<u64>,
    nested: Vec<u64>,
    /// The JSON pointers of all parts that have a `pattern`.
    pub(super) patterned: Vec<String>,
    /// All regular expressions.
    pub(super) patterns: Vec<String>,
}

/// A subschema: which others it tries, and on what.
#[derive(Debug, Default)]
struct Subschema {
    /// Steps of its own.
    own: u64,
    /// How often all that it does may be repeated.
    times: u64,
    /// On the same value.
    same: Vec<usize>,
    /// On a property of it: at most one of these.
    named: Vec<usize>,
    /// On a property of it: each of these.
    properties: Vec<usize>,
    /// On the name of each property.
    names: Vec<usize>,
    /// On an item of it: at most one of these.
    placed: Vec<usize>,
    /// On an item of it: each of these.
    items: Vec<usize>,
}

/// All subschemas that can be reached, by their JSON pointers.
struct SchemaWalk<'a> {
    root: &'a Value,
    numbers: BTreeMap<String, usize>,
    waiting: Vec<(String, &'a Value)>,
    parts: Vec<Subschema>,
    patterned: Vec<String>,
    patterns: Vec<String>,
}

/// What the steps at one level below a part are, for objects and for arrays: a value is only one of
/// them.
#[derive(Debug, Clone, Copy, Default)]
struct Shapes {
    object: u64,
    array: u64,
}

impl Cost {
    pub(super) fn of(schema: &Value) -> Result<Cost, SchemaError> {
        let walk = SchemaWalk::over(schema)?;
        let parts = walk.parts;
        let order = innermost_first(&parts)?;
        let cost = Cost {
            steps: steps(&parts, &order),
            nested: nested(&parts, &order),
            patterned: walk.patterned,
            patterns: walk.patterns,
        };
        if cost.steps[0] > MAX_STEPS || cost.nested[0] > MAX_NESTED {
            return Err(SchemaError::TooCostly);
        }
        Ok(cost)
    }

    /// Refuses, with the reason, a value that would take too long.
    pub(super) fn allows(&self, value: &Value) -> Result<(), String> {
        let mut total: u64 = 0;
        let mut waiting = vec![(value, 0)];
        while let Some((value, level)) = waiting.pop() {
            if level > MAX_DEPTH || self.nested[level] > MAX_NESTED {
                return Err(format!("is nested more than {} levels deep", self.depth()));
            }
            let mut texts = 0;
            match value {
                Value::String(text) => texts = text.len(),
                Value::Array(items) => waiting.extend(items.iter().map(|item| (item, level + 1))),
                Value::Object(fields) => {
                    texts = fields.keys().map(String::len).sum();
                    waiting.extend(fields.values().map(|field| (field, level + 1)));
                }
                _ => {}
            }
            let weight = 1 + (texts / BYTES_A_STEP) as u64;
            total = total.saturating_add(self.steps[level].saturating_mul(weight));
            if total > MAX_STEPS {
                return Err(format!(
                    "would take more than {MAX_STEPS} steps to check against its schema"
                ));
            }
        }
        Ok(())
    }

    /// How deep a value may be.
    fn depth(&self) -> usize {
        let within = self
            .nested
            .iter()
            .take_while(|nested| **nested <= MAX_NESTED);
        within.count().saturating_sub(1)
    }
}

impl<'a> SchemaWalk<'a> {
    fn over(root: &'a Value) -> Result<SchemaWalk<'a>, SchemaError> {
        let mut walk = SchemaWalk {
            root,
            numbers: BTreeMap::new(),
            waiting: Vec::new(),
            parts: Vec::new(),
            patterned: Vec::new(),
            patterns: Vec::new(),
        };
        walk.number(String::new(), root)?;
        while let Some((place, schema)) = walk.waiting.pop() {
            if let Value::Object(keywords) = schema {
                let part = walk.read(&place, keywords)?;
                let number = walk.numbers[&place];
                walk.parts[number] = part;
            }
        }
        Ok(walk)
    }

    fn number(&mut self, place: String, schema: &'a Value) -> Result<usize, SchemaError> {
        if let Some(number) = self.numbers.get(&place) {
            return Ok(*number);
        }
        let number = self.parts.len();
        if number == MAX_SUBSCHEMAS {
            return Err(SchemaError::TooManySubschemas);
        }
        self.parts.push(Subschema {
            own: 1,
            times: 1,
            ..Subschema::default()
        });
        self.numbers.insert(place.clone(), number);
        self.waiting.push((place, schema));
        Ok(number)
    }

    fn read(
        &mut self,
        place: &str,
        keywords: &'a Map<String, Value>,
    ) -> Result<Subschema, SchemaError> {
        let mut part = Subschema {
            own: 1,
            times: 1,
            ..Subschema::default()
        };
        for (keyword, value) in keywords {
            let at = format!("{place}/{}", escaped(keyword));
            part.own += 1 + size(value);
            match keyword.as_str() {
                "$id" | "id" if !place.is_empty() && value.is_string() => {
                    return Err(SchemaError::NestedId(place.to_owned()));
                }
                "$ref" | "$dynamicRef" | "$recursiveRef" => {
                    part.same.extend(self.reference(&at, value)?);
                }
                "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" => {
                    part.same.extend(self.below(&at, value)?);
                }
                "dependentSchemas" | "dependencies" => part.same.extend(self.map(&at, value)?),
                "properties" => part.named.extend(self.map(&at, value)?),
                "patternProperties" => {
                    let patterns = self.map(&at, value)?;
                    self.note_patterns(value.as_object().into_iter().flat_map(Map::keys))?;
                    part.properties.extend(patterns);
                }
                "pattern" => {
                    self.note_patterns(value.as_str())?;
                    self.patterned.push(place.to_owned());
                }
                "additionalProperties" => part.properties.extend(self.below(&at, value)?),
                "unevaluatedProperties" => {
                    part.times = 2;
                    part.properties.extend(self.below(&at, value)?);
                }
                "propertyNames" => part.names.extend(self.below(&at, value)?),
                "prefixItems" => part.placed.extend(self.below(&at, value)?),
                "items" if value.is_array() => part.placed.extend(self.below(&at, value)?),
                "items" | "additionalItems" | "contains" => {
                    part.items.extend(self.below(&at, value)?);
                }
                "unevaluatedItems" => {
                    part.times = 2;
                    part.items.extend(self.below(&at, value)?);
                }
                _ => {}
            }
        }
        Ok(part)
    }

    /// The subschema here, or the list of them.
    fn below(&mut self, at: &str, value: &'a Value) -> Result<Vec<usize>, SchemaError> {
        match value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(index, schema)| self.number(format!("{at}/{index}"), schema))
                .collect(),
            schema => Ok(vec![self.number(at.to_owned(), schema)?]),
        }
    }

    /// The subschemas here by name; lists of names among them are none.
    fn map(&mut self, at: &str, value: &'a Value) -> Result<Vec<usize>, SchemaError> {
        let named = value.as_object().into_iter().flatten();
        named
            .filter(|(_, schema)| !schema.is_array())
            .map(|(name, schema)| self.number(format!("{at}/{}", escaped(name)), schema))
            .collect()
    }

    fn reference(&mut self, at: &str, value: &'a Value) -> Result<Vec<usize>, SchemaError> {
        let Some(text) = value.as_str() else {
            return Ok(Vec::new());
        };
        let pointer = match text.strip_prefix('#') {
            Some(pointer) if pointer.contains('%') => None,
            Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
                Some(pointer.to_owned())
            }
            Some(name) => anchor(self.root, name),
            None => None,
        };
        let found = pointer.and_then(|pointer| Some((self.root.pointer(&pointer)?, pointer)));
        let Some((schema, pointer)) = found else {
            return Err(SchemaError::Reference {
                place: at.to_owned(),
                found: text.chars().take(200).collect(),
            });
        };
        Ok(vec![self.number(pointer, schema)?])
    }

    fn note_patterns<T: ToString>(
        &mut self,
        more: impl IntoIterator<Item = T>,
    ) -> Result<(), SchemaError> {
        let more = more.into_iter().map(|pattern| pattern.to_string());
        self.patterns.extend(more);
        match self.patterns.len() > MAX_PATTERNS {
            true => Err(SchemaError::TooManyPatterns),
            false => Ok(()),
        }
    }
}

/// The pointer to the part with this anchor.
fn anchor(root: &Value, name: &str) -> Option<String> {
    let mut waiting = vec![(String::new(), root)];
    while let Some((place, value)) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                let is_named =
                    |keyword: &str| fields.get(keyword).and_then(Value::as_str) == Some(name);
                if is_named("$anchor") || is_named("$dynamicAnchor") {
                    return Some(place);
                }
                let below = fields.iter();
                waiting
                    .extend(below.map(|(key, field)| (format!("{place}/{}", escaped(key)), field)));
            }
            Value::Array(items) => {
                let below = items.iter().enumerate();
                waiting.extend(below.map(|(index, item)| (format!("{place}/{index}"), item)));
            }
            _ => {}
        }
    }
    None
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn size(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.len() as u64,
        Value::Object(fields) => fields.len() as u64,
        _ => 0,
    }
}

/// The parts in an order in which each comes after those that it tries on the same value.
fn innermost_first(parts: &[Subschema]) -> Result<Vec<usize>, SchemaError> {
    let mut awaited: Vec<usize> = parts.iter().map(|part| part.same.len()).collect();
    let mut outer = vec![Vec::new(); parts.len()];
    for (number, part) in parts.iter().enumerate() {
        for inner in &part.same {
            outer[*inner].push(number);
        }
    }
    let free = |awaited: &[usize]| (0..parts.len()).filter(|n| awaited[*n] == 0).collect();
    let mut order: Vec<usize> = free(&awaited);
    let mut next = 0;
    while let Some(inner) = order.get(next).copied() {
        next += 1;
        for number in &outer[inner] {
            awaited[*number] -= 1;
            if awaited[*number] == 0 {
                order.push(*number);
            }
        }
    }
    if order.len() < parts.len() {
        return Err(SchemaError::Endless);
    }
    Ok(order)
}

/// For each level, what one value there can take when the whole is tried on the first part.
fn steps(parts: &[Subschema], order: &[usize]) -> Vec<u64> {
    let sum = |of: &[u64], numbers: &[usize]| {
        let each = numbers.iter().map(|number| of[*number]);
        each.fold(0, u64::saturating_add)
    };
    let most = |of: &[u64], numbers: &[usize]| {
        let each = numbers.iter().map(|number| of[*number]);
        each.max().unwrap_or_default()
    };
    let mut here = vec![0; parts.len()];
    for number in order {
        let part = &parts[*number];
        let all = part.own.saturating_add(sum(&here, &part.same));
        here[*number] = all.saturating_mul(part.times);
    }
    let leaf = here.clone();
    let mut levels = vec![here[0]];
    for level in 1..=MAX_DEPTH {
        let above = std::mem::replace(&mut here, vec![0; parts.len()]);
        let mut shapes = vec![Shapes::default(); parts.len()];
        for number in order {
            let part = &parts[*number];
            let mut object = most(&above, &part.named);
            object = object.saturating_add(sum(&above, &part.properties));
            if level == 1 {
                object = object.saturating_add(sum(&leaf, &part.names));
            }
            let mut array = most(&above, &part.placed);
            array = array.saturating_add(sum(&above, &part.items));
            for inner in &part.same {
                object = object.saturating_add(shapes[*inner].object);
                array = array.saturating_add(shapes[*inner].array);
            }
            shapes[*number] = Shapes {
                object: object.saturating_mul(part.times),
                array: array.saturating_mul(part.times),
            };
            here[*number] = shapes[*number].object.max(shapes[*number].array);
        }
        levels.push(here[0]);
    }
    levels
}

/// For each depth of a value, how many parts can wait for one another.
fn nested(parts: &[Subschema], order: &[usize]) -> Vec<u64> {
    let mut levels = Vec::new();
    let mut below = vec![0; parts.len()];
    for _ in 0..=MAX_DEPTH {
        let mut here = vec![0; parts.len()];
        for number in order {
            let part = &parts[*number];
            let children = [
                &part.named,
                &part.properties,
                &part.names,
                &part.placed,
                &part.items,
            ];
            let children = children.into_iter().flatten().map(|child| below[*child]);
            let same = part.same.iter().map(|inner| here[*inner]);
            here[*number] = 1 + children.chain(same).max().unwrap_or_default();
        }
        levels.push(here[0]);
        below = here;
    }
    levels
}

//! What of a table can be had where pages of it, or of its index, do not read any more.
//!
//! The table has the rows by their numbers, its index every key once more with the number of the
//! row. So the index is read first, from both ends if need be, and each row looked up by its
//! number: one that does not come is lost, and its key is known. If anything is wrong, the table is
//! read as well, around what is damaged in it. Nothing here grows with the ledger: see the limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rusqlite::{Connection, Error, Statement};

use super::super::log::is_state;
use super::super::store::{Space, Visit};
use super::format::Shape;
use super::inspect::{Inspection, Salvaged};
use super::rows::{self, RowVerdict};

/// Rows of a table that are told apart, so that one that a second look finds whole is none; all are
/// counted.
const MAX_TOLD_APART: usize = 10_000;
/// Parts in which a table is looked at around its damage.
const MAX_PARTS: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Damaged,
    Lost,
}

impl Inspection {
    /// Every row of a space that can be read and is as it was written, some of them several times;
    /// with what could not.
    pub(in super::super) fn salvage(&self, space: Space, visit: Visit<'_>) -> Salvaged {
        let (connection, shape) = self.table(space);
        if shape == Shape::Missing {
            return Salvaged::default();
        }
        let hunt = Hunt {
            connection,
            space,
            sum: shape.checksum(),
            visit,
            is_over: false,
            found: Salvaged::default(),
            fates: BTreeMap::new(),
            numbers: BTreeMap::new(),
            rescued: BTreeSet::new(),
            entries: 0,
            highest: 0,
            is_index_wrong: false,
        };
        hunt.run()
    }
}

struct Hunt<'a> {
    connection: &'a Connection,
    space: Space,
    /// What to select for a checksum.
    sum: &'static str,
    visit: Visit<'a>,
    /// Whoever takes the rows wants no more.
    is_over: bool,
    found: Salvaged,
    /// Keys whose rows are not whole as far as is known, with the number of the row; at most
    /// [`MAX_TOLD_APART`].
    fates: BTreeMap<Vec<u8>, (i64, Fate)>,
    /// The same by number.
    numbers: BTreeMap<i64, Vec<u8>>,
    /// Rows whose key is damaged in the table and whole in the index; at most [`MAX_TOLD_APART`].
    rescued: BTreeSet<i64>,
    /// What the index has.
    entries: u64,
    /// The highest number of a row that was seen.
    highest: i64,
    is_index_wrong: bool,
}

impl Hunt<'_> {
    fn run(mut self) -> Salvaged {
        let table = self.space.name();
        let of_index = self.read_index().err();
        let is_clean = of_index.is_none() && self.fates.is_empty() && !self.is_index_wrong;
        let mut of_table = None;
        let is_done = self.is_over || (is_clean && self.has_all());
        if !is_done {
            of_table = self.read_table();
        }
        let found = &mut self.found;
        if let Some(error) = &of_table {
            found.problems.push(format!("table {table}: {error}"));
        }
        if let Some(error) = &of_index {
            let problem = format!("the index of table {table}: {error}");
            found.problems.push(problem);
        } else if self.is_index_wrong {
            let problem = format!("the index of table {table} is not that of its rows");
            found.problems.push(problem);
        }
        if of_index.is_some() && of_table.is_some() {
            found.problems.push(format!(
                "table {table}: both it and its index are damaged, so more rows may be lost than those that can be named"
            ));
        }
        for (key, (_, fate)) in &self.fates {
            match fate {
                Fate::Damaged => found.damage(self.space, key),
                Fate::Lost => found.lose(self.space, key),
            }
        }
        self.found
    }

    /// Whether the index has as many entries as the table has rows.
    fn has_all(&mut self) -> bool {
        let sql = format!("SELECT count(*) FROM {} NOT INDEXED", self.space.name());
        let rows = self.connection.query_row(&sql, (), |row| row.get(0));
        let has_all = rows.is_ok_and(|rows: i64| u64::try_from(rows) == Ok(self.entries));
        self.is_index_wrong |= !has_all;
        has_all
    }

    /// From the front, and if it does not get to the end, from there.
    fn read_index(&mut self) -> Result<(), Error> {
        let mut last = None;
        self.read_keys("", None, &mut last).inspect_err(|_| {
            // Ends where it meets the damage from the other side: that there is some is known.
            let _ = self.read_keys(" DESC", last.as_deref(), &mut None);
        })
    }

    /// Looks up the row of each key, as far as `end`.
    fn read_keys(
        &mut self,
        order: &str,
        end: Option<&[u8]>,
        last: &mut Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let (connection, table, sum) = (self.connection, self.space.name(), self.sum);
        let keys = format!("SELECT k, rowid FROM {table} ORDER BY k{order}");
        let row = format!("SELECT v, {sum}, k, v, {sum} FROM {table} NOT INDEXED WHERE rowid = ?1");
        let mut keys = connection.prepare(&keys)?;
        let mut row = connection.prepare(&row)?;
        let mut entries = keys.query(())?;
        while let Some(entry) = entries.next()? {
            self.entries += 1;
            let (key, number) = (entry.get_ref(0)?.as_blob(), entry.get(1)?);
            let Ok(key) = key else {
                self.is_index_wrong = true;
                continue;
            };
            if end.is_some_and(|end| key <= end) {
                break;
            }
            self.highest = self.highest.max(number);
            match self.look_up(&mut row, key, number) {
                Ok(None) => {}
                Ok(Some(fate)) => self.note(key, number, fate),
                Err(_) => self.note(key, number, Fate::Lost),
            }
            if self.is_over {
                break;
            }
            *last = Some(key.to_vec());
        }
        Ok(())
    }

    /// Hands on the row that the index has for a key; or says what became of it.
    fn look_up(
        &mut self,
        statement: &mut Statement<'_>,
        key: &[u8],
        number: i64,
    ) -> Result<Option<Fate>, Error> {
        let mut found = statement.query((number,))?;
        let Some(row) = found.next()? else {
            return Ok(Some(Fate::Lost));
        };
        let (by_key, own) = (
            rows::look_up(self.space, key, row)?,
            rows::look(self.space, row, 2)?,
        );
        if own.key != key {
            self.is_index_wrong = true;
            if by_key.verdict == RowVerdict::Whole && self.rescued.len() < MAX_TOLD_APART {
                self.rescued.insert(number);
            }
        }
        let whole = match (by_key.verdict, own.verdict) {
            (RowVerdict::Whole, _) => by_key,
            (_, RowVerdict::Damaged) => return Ok(Some(Fate::Damaged)),
            _ => own,
        };
        let counts = u64::from(!is_state(self.space, whole.key));
        self.found.rows += counts;
        self.found.unchecked += counts * u64::from(whole.verdict == RowVerdict::Unchecked);
        self.is_over |= (self.visit)(whole.key, whole.value).is_break();
        Ok(None)
    }

    fn note(&mut self, key: &[u8], number: i64, fate: Fate) {
        if self.fates.len() < MAX_TOLD_APART {
            self.fates.insert(key.to_vec(), (number, fate));
            self.numbers.insert(number, key.to_vec());
            return;
        }
        match fate {
            Fate::Damaged => self.found.damaged += 1,
            Fate::Lost => self.found.lost += 1,
        }
    }

    /// Reads all of the table that can be read, in ever smaller parts around what cannot; says what
    /// it met there.
    fn read_table(&mut self) -> Option<Error> {
        let mut parts = VecDeque::from([(i64::MIN, i64::MAX)]);
        let (mut met, mut seen) = (None, 0);
        while let Some((from, to)) = parts.pop_front() {
            seen += 1;
            let (mut last, mut first) = (None, None);
            let Err(error) = self.read_rows((from, to), "", &mut last) else {
                continue;
            };
            met.get_or_insert(error);
            let from = last.map_or(from, |last: i64| last.saturating_add(1));
            if self.read_rows((from, to), " DESC", &mut first).is_ok() || seen > MAX_PARTS {
                continue;
            }
            // Rows have numbers from 1 on.
            let from = from.max(0);
            let to = first.map_or(to.min(self.highest), |first: i64| first.saturating_sub(1));
            if from < to {
                let middle = from + (to - from) / 2;
                parts.extend([(from, middle), (middle + 1, to)]);
            }
        }
        met
    }

    fn read_rows(
        &mut self,
        (from, to): (i64, i64),
        order: &str,
        last: &mut Option<i64>,
    ) -> Result<(), Error> {
        let (connection, table, sum) = (self.connection, self.space.name(), self.sum);
        let mut statement = connection.prepare_cached(&format!(
            "SELECT rowid, k, v, {sum} FROM {table} NOT INDEXED WHERE rowid BETWEEN ?1 AND ?2 ORDER BY rowid{order}"
        ))?;
        let mut found = statement.query((from, to))?;
        while let Some(row) = found.next()? {
            if self.is_over {
                break;
            }
            let (number, row) = (row.get(0)?, rows::look(self.space, row, 1)?);
            *last = Some(number);
            self.highest = self.highest.max(number);
            if row.verdict != RowVerdict::Damaged {
                if let Some((number, _)) = self.fates.remove(row.key) {
                    self.numbers.remove(&number);
                }
                self.is_over |= (self.visit)(row.key, row.value).is_break();
            } else if !self.rescued.contains(&number)
                && !self.numbers.contains_key(&number)
                && self.fates.len() < MAX_TOLD_APART
            {
                self.note(row.key, number, Fate::Damaged);
            }
        }
        Ok(())
    }
}

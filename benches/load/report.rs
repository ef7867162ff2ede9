//! Collects the readings of every run and prints them: a Markdown table of medians with ratios and goals, the notes that
//! make it honest, and the same as JSON. Measures and judges nothing beyond comparing with the goals. Called by `main`.

use std::fmt::Write;

use serde::Serialize;

use crate::brokers::Broker;
use crate::machine::Machine;
use crate::scenarios::{Goal, Outcome, PAYLOAD, Scenario};
use crate::stats::{Reading, Unit, fold};

/// The disk's column.
const DISK: &str = "disk";

/// All that a run of the program found.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) servers: Vec<Server>,
    pub(crate) seconds: f64,
    pub(crate) runs: usize,
    sections: Vec<Section>,
}

/// A server that took part.
#[derive(Serialize)]
pub(crate) struct Server {
    pub(crate) broker: Broker,
    pub(crate) version: String,
}

/// One scenario.
#[derive(Serialize)]
struct Section {
    #[serde(skip)]
    scenario: &'static Scenario,
    name: &'static str,
    rows: Vec<Row>,
    errors: Vec<Fault>,
}

/// One measure of a scenario, a value per run for each who was measured.
#[derive(Serialize)]
struct Row {
    measure: String,
    unit: Unit,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    who: String,
    value: f64,
    runs: Vec<f64>,
}

/// A run that ended without figures.
#[derive(Serialize)]
struct Fault {
    who: Broker,
    run: usize,
    words: String,
}

impl Report {
    pub(crate) fn new(machine: Machine, servers: Vec<Server>, seconds: f64, runs: usize) -> Self {
        Self {
            machine,
            servers,
            seconds,
            runs,
            sections: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        scenario: &'static Scenario,
        who: Broker,
        run: usize,
        outcome: anyhow::Result<Outcome>,
    ) {
        let section = self.section(scenario);
        match outcome {
            Ok(outcome) => {
                for reading in outcome.readings {
                    section.record(&who.to_string(), reading);
                }
                for reading in outcome.disk {
                    section.record(DISK, reading);
                }
            }
            Err(error) => section.errors.push(Fault {
                who,
                run,
                words: format!("{error:#}"),
            }),
        }
    }

    fn section(&mut self, scenario: &'static Scenario) -> &mut Section {
        let index = self
            .sections
            .iter()
            .position(|section| section.name == scenario.name)
            .unwrap_or_else(|| {
                self.sections.push(Section {
                    scenario,
                    name: scenario.name,
                    rows: Vec::new(),
                    errors: Vec::new(),
                });
                self.sections.len() - 1
            });
        &mut self.sections[index]
    }

    /// Whether every run of every scenario gave figures.
    pub(crate) fn is_complete(&self) -> bool {
        self.sections
            .iter()
            .all(|section| section.errors.is_empty())
    }

    /// The table with its heading and notes.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            .expect("writing to a string cannot fail");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        self.write_heading(out)?;
        let columns: Vec<String> = self
            .servers
            .iter()
            .map(|server| server.broker.to_string())
            .chain([DISK.to_owned()])
            .collect();
        writeln!(
            out,
            "| scenario | measure | {} | ratio | goal |",
            columns.join(" | ")
        )?;
        writeln!(out, "|---|---|{}---|---|", "--:|".repeat(columns.len()))?;
        for section in &self.sections {
            section.write(out, &columns)?;
        }
        writeln!(out)?;
        for section in &self.sections {
            writeln!(
                out,
                "- **{}** (`{}`): {}.",
                section.scenario.title, section.name, section.scenario.note
            )?;
        }
        Ok(())
    }

    fn write_heading(&self, out: &mut String) -> std::fmt::Result {
        let machine = &self.machine;
        let servers: Vec<String> = self
            .servers
            .iter()
            .map(|server| format!("{} {}", server.broker, server.version))
            .collect();
        writeln!(
            out,
            "{} cores ({}), {} MiB, Linux {}, {}; load average before the run {:.2}.",
            machine.cores,
            machine.cpu,
            machine.memory_mib,
            machine.kernel,
            machine.file_system,
            machine.load_average
        )?;
        writeln!(
            out,
            "{}; load generator on the same machine, {PAYLOAD} B payloads, {} interleaved runs of {} s.",
            servers.join(", "),
            self.runs,
            self.seconds
        )?;
        writeln!(
            out,
            "Medians (lowest–highest run), faults and loss of the worst run; \"disk\" is append of {} B + fdatasync in the same \
             run; ratios are hallward's figure divided by the other's.\n",
            crate::disk::RECORD
        )
    }
}

impl Section {
    fn record(&mut self, who: &str, reading: Reading) {
        let index = self
            .rows
            .iter()
            .position(|row| row.measure == reading.measure)
            .unwrap_or_else(|| {
                self.rows.push(Row {
                    measure: reading.measure,
                    unit: reading.unit,
                    cells: Vec::new(),
                });
                self.rows.len() - 1
            });
        let row = &mut self.rows[index];
        let cell = row
            .cells
            .iter()
            .position(|cell| cell.who == who)
            .unwrap_or_else(|| {
                row.cells.push(Cell {
                    who: who.to_owned(),
                    value: f64::NAN,
                    runs: Vec::new(),
                });
                row.cells.len() - 1
            });
        let cell = &mut row.cells[cell];
        cell.runs.push(reading.value);
        cell.value = fold(row.unit, &cell.runs);
    }

    fn write(&self, out: &mut String, columns: &[String]) -> std::fmt::Result {
        let mut title = self.scenario.title;
        for row in self.rows.iter().filter(|row| !row.is_tacit()) {
            let cells: Vec<String> = columns
                .iter()
                .map(|who| {
                    row.cell(who)
                        .map_or("".to_owned(), |cell| cell.print(row.unit))
                })
                .collect();
            let goals = self
                .scenario
                .goals
                .iter()
                .filter(|(measure, _)| *measure == row.measure);
            let goals: Vec<String> = goals.map(|(_, goal)| row.judge(*goal)).collect();
            writeln!(
                out,
                "| {title} | {}{} | {} | {} | {} |",
                row.measure,
                row.unit.suffix(),
                cells.join(" | "),
                row.ratios().join(", "),
                goals.join("; ")
            )?;
            title = "";
        }
        for fault in &self.errors {
            let words = fault.words.replace('|', "\\|").replace('\n', " ");
            writeln!(
                out,
                "| {title} | **error** | {}{} |  |  |",
                format_args!("{}, run {}: {words}", fault.who, fault.run + 1),
                " |".repeat(columns.len() - 1)
            )?;
            title = "";
        }
        Ok(())
    }
}

impl Row {
    fn cell(&self, who: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.who == who)
    }

    fn value(&self, who: &str) -> Option<f64> {
        self.cell(who).map(|cell| cell.value)
    }

    /// Rows of faults other than loss say something only when there are some; loss is always shown.
    fn is_tacit(&self) -> bool {
        let clean = self.cells.iter().all(|cell| cell.value == 0.0);
        clean
            && (self.unit == Unit::PercentLost
                || self.unit == Unit::Faults && self.measure != "lost")
    }

    fn ratios(&self) -> Vec<String> {
        let own = Broker::Hallward.to_string();
        let Some(ours) = self.value(&own) else {
            return Vec::new();
        };
        if matches!(
            self.unit,
            Unit::Faults | Unit::PercentLost | Unit::PercentCpu
        ) {
            return Vec::new();
        }
        let others = self
            .cells
            .iter()
            .filter(|cell| cell.who != own && cell.value > 0.0);
        others
            .map(|cell| format!("{:.2} × {}", ours / cell.value, cell.who))
            .collect()
    }

    /// The goal in words, and whether hallward's figure meets it.
    fn judge(&self, goal: Goal) -> String {
        let (words, bound, more_is_better) = match goal {
            Goal::AtLeast(bound) => (format!("≥ {}", number(bound)), Some(bound), true),
            Goal::AtMost(bound) => (format!("≤ {}", number(bound)), Some(bound), false),
            Goal::TimesPeer(times, peer) => (
                format!("≥ {times} × {peer}"),
                self.value(&peer.to_string()).map(|theirs| times * theirs),
                true,
            ),
            Goal::AtMostPeer(peer) => (format!("≤ {peer}"), self.value(&peer.to_string()), false),
            Goal::TimesDisk(times) => (
                format!("≤ {times} × disk"),
                self.value(DISK).map(|disk| times * disk),
                false,
            ),
        };
        let verdict = match (self.value(&Broker::Hallward.to_string()), bound) {
            (Some(ours), Some(bound)) if (ours >= bound) == more_is_better || ours == bound => " ✓",
            (Some(_), Some(_)) => " ✗",
            _ => "",
        };
        words + verdict
    }
}

impl Cell {
    fn print(&self, unit: Unit) -> String {
        let mut text = number(self.value);
        let low = self.runs.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let median_of_several =
            self.runs.len() > 1 && !matches!(unit, Unit::Faults | Unit::PercentLost);
        if median_of_several && high > low {
            write!(text, " ({}–{})", number(low), number(high))
                .expect("writing to a string cannot fail");
        }
        text
    }
}

impl Unit {
    fn suffix(self) -> &'static str {
        match self {
            Self::PerSecond => ", /s",
            Self::Micros => ", µs",
            Self::Faults => "",
            Self::PercentLost => ", %",
            Self::PercentCpu => ", % of a core",
            Self::KiB => ", KiB",
            Self::MiB => ", MiB",
        }
    }
}

/// Three significant digits for small numbers, thousands separated for large ones.
fn number(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "?".to_owned(),
        0.0 => "0".to_owned(),
        size if size < 0.01 => format!("{value:.5}"),
        size if size < 10.0 => trim(&format!("{value:.2}")),
        size if size < 100.0 => trim(&format!("{value:.1}")),
        _ => grouped(&format!("{value:.0}")),
    }
}

fn trim(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

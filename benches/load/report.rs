//! Collects the readings of every run and prints them: a Markdown table of medians with ratios and
//! goals, the notes that make it honest, and the same as JSON. Measures and judges nothing beyond
//! comparing with the goals. Called by `main`.

use std::fmt::Write;

use serde::Serialize;

use crate::brokers::Broker;
use crate::machine::Machine;
use crate::scenarios::{Goal, Outcome, PAYLOAD, Scenario};
use crate::stats::{Reading, Unit, fold};

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
    who: Broker,
    value: f64,
    runs: Vec<f64>,
    /// The disk's own figure in each of these runs, where the scenario took it.
    disk: Vec<f64>,
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
                    section.record(who, reading, &outcome.disk);
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
        let brokers: Vec<Broker> = self.servers.iter().map(|server| server.broker).collect();
        let columns: Vec<String> = brokers.iter().map(Broker::to_string).collect();
        writeln!(
            out,
            "| scenario | measure | {} | disk | ratio | goal |",
            columns.join(" | ")
        )?;
        writeln!(out, "|---|---|{}--:|---|---|", "--:|".repeat(columns.len()))?;
        for section in &self.sections {
            section.write(out, &brokers)?;
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
            "{}; load generator on the same machine, {PAYLOAD} B payloads, {} × {} s each, interleaved.",
            servers.join(", "),
            self.runs,
            self.seconds
        )?;
        writeln!(
            out,
            "Medians (lowest–highest run), faults and loss of the worst run; \"disk\" is append of {} B + fdatasync in the same \
             run; ratios are hallward's figure divided by the other's (to the disk: the median of each run's own).\n",
            crate::disk::RECORD
        )
    }
}

impl Section {
    fn record(&mut self, who: Broker, reading: Reading, disk: &[Reading]) {
        let disk = disk.iter().find(|disk| disk.measure == reading.measure);
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
                    who,
                    value: f64::NAN,
                    runs: Vec::new(),
                    disk: Vec::new(),
                });
                row.cells.len() - 1
            });
        let cell = &mut row.cells[cell];
        cell.runs.push(reading.value);
        cell.value = fold(row.unit, &cell.runs);
        cell.disk.extend(disk.map(|disk| disk.value));
    }

    fn write(&self, out: &mut String, brokers: &[Broker]) -> std::fmt::Result {
        let mut title = self.scenario.title;
        for row in self.rows.iter().filter(|row| !row.is_tacit()) {
            let cells: Vec<String> = brokers.iter().map(|&who| row.print(who)).collect();
            let goals = self
                .scenario
                .goals
                .iter()
                .filter(|(measure, _)| *measure == row.measure);
            let goals: Vec<String> = goals.map(|(_, goal)| row.judge(*goal)).collect();
            writeln!(
                out,
                "| {title} | {}{} | {} | {} | {} | {} |",
                row.measure,
                row.unit.suffix(),
                cells.join(" | "),
                row.disk(),
                row.ratios().join(", "),
                goals.join("; ")
            )?;
            title = "";
        }
        for line in self.error_lines() {
            let rest = " |".repeat(brokers.len());
            writeln!(out, "| {title} | **error** | {line} |{rest}  |  |")?;
            title = "";
        }
        Ok(())
    }

    /// Errors in words, those that repeat the same words for the same server once.
    fn error_lines(&self) -> Vec<String> {
        let mut lines: Vec<(Broker, &str, usize)> = Vec::new();
        for fault in &self.errors {
            match lines
                .iter_mut()
                .find(|(who, words, _)| *who == fault.who && *words == fault.words)
            {
                Some((_, _, times)) => *times += 1,
                None => lines.push((fault.who, &fault.words, 1)),
            }
        }
        let clean = |words: &str| words.replace('|', "\\|").replace('\n', " ");
        let printed = lines.into_iter().map(|(who, words, times)| match times {
            1 => format!("{who}, 1 run: {}", clean(words)),
            _ => format!("{who}, {times} runs: {}", clean(words)),
        });
        printed.collect()
    }
}

impl Row {
    fn cell(&self, who: Broker) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.who == who)
    }

    fn value(&self, who: Broker) -> Option<f64> {
        self.cell(who).map(|cell| cell.value)
    }

    fn print(&self, who: Broker) -> String {
        self.cell(who)
            .map_or_else(String::new, |cell| spread(self.unit, &cell.runs))
    }

    /// The disk over all runs of the scenario, whoever was measured beside it.
    fn disk(&self) -> String {
        let all: Vec<f64> = self
            .cells
            .iter()
            .flat_map(|cell| cell.disk.iter().copied())
            .collect();
        if all.is_empty() {
            String::new()
        } else {
            spread(self.unit, &all)
        }
    }

    /// Rows of faults other than loss say something only when there are some; loss is always shown.
    fn is_tacit(&self) -> bool {
        let clean = self.cells.iter().all(|cell| cell.value == 0.0);
        clean
            && (self.unit == Unit::PercentLost
                || self.unit == Unit::Faults && self.measure != "lost")
    }

    fn ratios(&self) -> Vec<String> {
        let Some(ours) = self.cell(Broker::Hallward) else {
            return Vec::new();
        };
        if matches!(
            self.unit,
            Unit::Faults | Unit::PercentLost | Unit::PercentCpu | Unit::TimesQuiet
        ) {
            return Vec::new();
        }
        let disk = ours.times_disk().map(|times| format!("{times:.2} × disk"));
        let peers = self
            .cells
            .iter()
            .filter(|cell| cell.who != Broker::Hallward && cell.value > 0.0);
        let peers = peers.map(|cell| format!("{:.2} × {}", ours.value / cell.value, cell.who));
        disk.into_iter().chain(peers).collect()
    }

    /// The goal in words, and whether hallward's figure meets it.
    fn judge(&self, goal: Goal) -> String {
        let ours = self.value(Broker::Hallward);
        let (words, met) = match goal {
            Goal::AtLeast(bound) => (
                format!("≥ {}", number(bound)),
                ours.map(|ours| ours >= bound),
            ),
            Goal::AtMost(bound) => (
                format!("≤ {}", number(bound)),
                ours.map(|ours| ours <= bound),
            ),
            Goal::TimesPeer(times, peer) => {
                let met = ours
                    .zip(self.value(peer))
                    .map(|(ours, theirs)| ours >= times * theirs);
                (format!("≥ {times} × {peer}"), met)
            }
            Goal::AtMostPeer(peer) => {
                let met = ours
                    .zip(self.value(peer))
                    .map(|(ours, theirs)| ours <= theirs);
                (format!("≤ {peer}"), met)
            }
            Goal::TimesDisk(bound) => {
                let times = self.cell(Broker::Hallward).and_then(Cell::times_disk);
                (
                    format!("≤ {bound} × disk"),
                    times.map(|times| times <= bound),
                )
            }
        };
        let verdict = match met {
            Some(true) => " ✓",
            Some(false) => " ✗",
            None => "",
        };
        words + verdict
    }
}

impl Cell {
    /// Each run against the disk as it was in that very run, then the median: a disk that slows
    /// down for a while moves both.
    fn times_disk(&self) -> Option<f64> {
        let quotients: Vec<f64> = self
            .runs
            .iter()
            .zip(&self.disk)
            .map(|(own, disk)| own / disk)
            .collect();
        (!quotients.is_empty()).then(|| fold(Unit::Micros, &quotients))
    }
}

/// The folded figure, and between which runs it lies.
fn spread(unit: Unit, runs: &[f64]) -> String {
    let mut text = number(fold(unit, runs));
    let low = runs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high > low && !matches!(unit, Unit::Faults | Unit::PercentLost) {
        write!(text, " ({}–{})", number(low), number(high))
            .expect("writing to a string cannot fail");
    }
    text
}

impl Unit {
    fn suffix(self) -> &'static str {
        match self {
            Self::PerSecond => ", /s",
            Self::Micros => ", µs",
            Self::Faults => "",
            Self::PercentLost => ", %",
            Self::PercentCpu => ", % of a core",
            Self::TimesQuiet => ", × quiet",
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

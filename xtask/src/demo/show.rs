//! What a person sees while the demonstration runs, and the table at its end.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::Stopwatch;

/// One line of the final table.
#[derive(Debug)]
struct Row {
    step: &'static str,
    happened: String,
    seconds: f64,
    bytes: Option<u64>,
}

/// Live progress on a terminal, plain lines in a pipe.
#[derive(Debug)]
pub struct Show {
    bar: Option<ProgressBar>,
    since_start: Stopwatch,
    current: Option<(&'static str, Stopwatch)>,
    rows: Vec<Row>,
}

impl Show {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {prefix:<18} {wide_msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, since_start: Stopwatch::start(), current: None, rows: Vec::new() }
    }

    /// A step begins.
    pub fn begin(&mut self, step: &'static str) {
        self.current = Some((step, Stopwatch::start()));
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(step);
                bar.set_message("");
            }
            None => self.print(step),
        }
    }

    /// Something worth a line happened within the step.
    pub fn note(&self, text: &str) {
        self.print(&format!("  {text}"));
    }

    /// How far the step is; only a terminal shows it.
    pub fn progress(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    /// The step is done: `happened` and the bytes that were moved go into the table.
    pub fn done(&mut self, happened: String, bytes: Option<u64>) {
        let Some((step, watch)) = self.current.take() else {
            return;
        };
        self.print(&format!("  {happened}"));
        self.rows.push(Row { step, happened, seconds: watch.seconds(), bytes });
    }

    /// Takes the progress line away and prints the table.
    pub fn table(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let mut text = format!("\n{:<18} {:>7} {:>10}  WHAT HAPPENED\n", "STEP", "SECONDS", "BYTES");
        for row in &self.rows {
            let bytes = row.bytes.map_or_else(|| "-".to_owned(), human_bytes);
            text.push_str(&format!("{:<18} {:>7.1} {bytes:>10}  {}\n", row.step, row.seconds, row.happened));
        }
        text.push_str(&format!(
            "{:<18} {:>7.1} {:>10}  all of it checked by this program\n",
            "together",
            self.since_start.seconds(),
            "-"
        ));
        self.raw(&text);
    }

    /// Takes the progress line away: there will be no table.
    pub fn abandon(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints something after the table.
    pub fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.raw(&format!("{text}\n")),
        }
    }

    fn raw(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        // Whoever closed the pipe does not want to read it.
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// `84.0 MiB`
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    // Exact enough for people: an f64 counts whole bytes up to 8 PiB.
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

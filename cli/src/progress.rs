//! How far something is: a bar on a terminal, a few plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{human, output::Console};

/// What takes less than a second or two says nothing in between.
const PLAIN_MIN_BYTES: u64 = 32 << 20;

/// Counts bytes towards a total.
pub struct Progress {
    label: &'static str,
    total: u64,
    done: u64,
    view: View,
}

enum View {
    Bar(ProgressBar),
    Lines { console: Console, told_quarters: u64 },
}

impl Progress {
    /// Starts at nothing of `total` bytes; `label` says what is done to them.
    pub fn new(console: &Console, label: &'static str, total: u64) -> Self {
        let view = match console.talk_is_terminal {
            true => View::Bar(bar(label, total)),
            false => View::Lines { console: console.clone(), told_quarters: 0 },
        };
        Self { label, total, done: 0, view }
    }

    /// So many bytes more are done.
    pub fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        match &mut self.view {
            View::Bar(bar) => bar.inc(bytes),
            View::Lines { console, told_quarters } => {
                let quarters = self.done.saturating_mul(4) / self.total.max(1);
                if self.total >= PLAIN_MIN_BYTES && quarters > *told_quarters && quarters < 4 {
                    *told_quarters = quarters;
                    console.say(&format!(
                        "{}: {}% of {}",
                        self.label,
                        quarters * 25,
                        human::bytes(self.total)
                    ));
                }
            }
        }
    }

    /// Starts again, after a connection broke.
    pub fn restart(&mut self, total: u64) {
        (self.total, self.done) = (total, 0);
        if let View::Bar(bar) = &self.view {
            bar.set_length(total);
            bar.set_position(0);
        }
    }

    /// Takes the bar off the screen.
    pub fn finish(self) {
        if let View::Bar(bar) = self.view {
            bar.finish_and_clear();
        }
    }
}

fn bar(label: &'static str, total: u64) -> ProgressBar {
    let template =
        "{prefix} [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(label);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{clock::Clock, output::Format, testing::Shared};

    #[test]
    fn a_pipe_gets_a_few_lines() {
        let talk = Shared::default();
        let console = Console::to_writers(io::sink(), talk.clone(), Format::Table, Clock::Fixed(0));
        let mut progress = Progress::new(&console, "reading", 64 << 20);
        for _ in 0..64 {
            progress.add(1 << 20);
        }
        progress.finish();
        let mut small = Progress::new(&console, "reading", 10);
        small.add(10);
        assert_eq!(
            talk.text(),
            "reading: 25% of 64.0 MiB\nreading: 50% of 64.0 MiB\nreading: 75% of 64.0 MiB\n"
        );
    }
}

//! Stdout is data, stderr is talk.
//!
//! Everything a person sees passes through here, so that text which came from a device or a server
//! cannot steer the terminal: control characters are shown, not sent.

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clap::ValueEnum;
use prost::Message;
use serde_json::Value;

use crate::{
    chart::{Ink, Screen, Span},
    clock::Clock,
    error::Failure,
    json,
};

/// What stdout carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns and sentences for people.
    Table,
    /// JSON for programs; one document, or one a line for what is watched.
    Json,
}

/// Where a command writes. Clones write to the same place.
#[derive(Clone)]
pub struct Console {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    talk: Arc<Mutex<Box<dyn Write + Send>>>,
    /// What stdout carries.
    pub format: Format,
    /// The time that relative times are told against.
    pub clock: Clock,
    /// Both streams are a terminal, on which lines may be drawn again.
    pub live: bool,
    /// Stderr is a terminal: progress may be drawn.
    pub talk_is_terminal: bool,
    /// What stdout can show.
    pub screen: Screen,
}

impl Console {
    /// The streams of this process.
    pub fn of_process(format: Format) -> Self {
        let talk_is_terminal = io::stderr().is_terminal();
        Self {
            out: Arc::new(Mutex::new(Box::new(io::stdout()))),
            talk: Arc::new(Mutex::new(Box::new(io::stderr()))),
            format,
            clock: Clock::System,
            live: talk_is_terminal && io::stdout().is_terminal() && format == Format::Table,
            talk_is_terminal,
            screen: screen(),
        }
    }

    /// Any two writers, not terminals: for tests and for programs that embed the commands.
    pub fn to_writers(
        out: impl Write + Send + 'static,
        talk: impl Write + Send + 'static,
        format: Format,
        clock: Clock,
    ) -> Self {
        Self {
            out: Arc::new(Mutex::new(Box::new(out))),
            talk: Arc::new(Mutex::new(Box::new(talk))),
            format,
            clock,
            live: false,
            talk_is_terminal: false,
            screen: Screen::default(),
        }
    }

    /// Data for people: text that may have several lines; a newline is added.
    ///
    /// # Errors
    /// [`Failure::OutputClosed`] when the reader went away.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        self.write(&format!("{}\n", printable(text.trim_end_matches('\n'))))
    }

    /// Lines in several inks, which a screen without colours shows in one.
    ///
    /// # Errors
    /// [`Failure::OutputClosed`] when the reader went away.
    pub fn picture(&self, lines: &[Vec<Span>]) -> Result<(), Failure> {
        let mut text = String::new();
        for line in lines {
            for span in line {
                let shown = printable(&span.text).replace('\n', " ");
                match colour(span.ink).filter(|_| self.screen.colour) {
                    Some(code) => text.push_str(&format!("\u{1b}[{code}m{shown}\u{1b}[0m")),
                    None => text.push_str(&shown),
                }
            }
            text.push('\n');
        }
        self.write(&text)
    }

    /// A message of the API: as JSON, or as `render` shows it.
    ///
    /// # Errors
    /// [`Failure::OutputClosed`] when the reader went away.
    pub fn show<M: Message>(
        &self,
        type_name: &str,
        message: &M,
        render: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.print(&render(message)),
            Format::Json => self.json(&json::message(type_name, message)?),
        }
    }

    /// Messages of one type: as a JSON array, or as `render` shows them.
    ///
    /// # Errors
    /// [`Failure::OutputClosed`] when the reader went away.
    pub fn show_all<M: Message>(
        &self,
        type_name: &str,
        messages: &[M],
        render: impl FnOnce(&[M]) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.print(&render(messages)),
            Format::Json => {
                let all = messages.iter().map(|m| json::message(type_name, m)).collect::<Result<_, _>>()?;
                self.json(&Value::Array(all))
            }
        }
    }

    /// A JSON document of several lines.
    ///
    /// # Errors
    /// [`Failure::OutputClosed`] when the reader went away.
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        self.write(&format!("{value:#}\n"))
    }

    /// A JSON document on one line.
    ///
    /// # Errors
    /// [`Failure::OutputClosed`] when the reader went away.
    pub fn json_line(&self, value: &Value) -> Result<(), Failure> {
        self.write(&format!("{value}\n"))
    }

    /// Talk on stderr. Nobody listening is no reason to stop.
    pub fn say(&self, text: &str) {
        let mut talk = lock(&self.talk);
        let _ = writeln!(talk, "{}", printable(text.trim_end_matches('\n')));
        let _ = talk.flush();
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut out = lock(&self.out);
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
            Err(error) => Err(Failure::file("write to", Path::new("stdout"), &error)
                .hint("what the command did is done; look at it again with `list` or `show`")),
        }
    }
}

/// What this process's stdout can show, by its terminal and its environment.
fn screen() -> Screen {
    let is_terminal = io::stdout().is_terminal();
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0);
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    Screen {
        width: size.map_or(Screen::default().width, |size| usize::from(size.ws_col)),
        unicode: is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).unwrap_or_default())),
        colour: is_terminal && !is_set("NO_COLOR") && env::var("TERM").is_ok_and(|term| term != "dumb"),
    }
}

/// Whether the locale is one of UTF-8; of its variables the first that is set counts.
fn is_utf8(variables: [String; 3]) -> bool {
    let set = variables.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    let set = set.to_ascii_lowercase();
    set.contains("utf-8") || set.contains("utf8")
}

/// The terminal's code of an ink: its own colours, which people choose to be legible.
fn colour(ink: Ink) -> Option<u8> {
    match ink {
        Ink::Plain => None,
        Ink::Data => Some(36),
        Ink::Limit => Some(31),
        Ink::Forecast => Some(33),
    }
}

/// A writer that panicked half-way does not make the stream unusable.
fn lock(stream: &Mutex<Box<dyn Write + Send>>) -> MutexGuard<'_, Box<dyn Write + Send>> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Control characters other than newline and tab, made visible.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || is_bidi_control(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Characters that make a terminal show text in another order than it has.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// Columns, each as wide as its widest cell, two spaces apart; no line ends in spaces.
pub fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let cells = || std::iter::once(&header).chain(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|i| cells().filter_map(|row| row.get(i)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in cells() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{:width$}  ", one_line(cell)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What others wrote, a device above all, on one line: it must not pass for what this program says. What moves the
/// cursor is taken out of everything that is shown.
pub fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Names and values below each other, values aligned; empty values are left out.
pub fn facts(rows: &[(&str, String)]) -> String {
    let shown: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    shown.iter().map(|(name, value)| format!("{name:width$}  {}\n", one_line(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows =
            [vec!["pump-1".into(), "2.0.0".into(), String::new()], vec!["m".into(), "1".into(), "x".into()]];
        assert_eq!(
            columns(&["ID", "VERSION", "NOTE"], &rows),
            "ID      VERSION  NOTE\npump-1  2.0.0\nm       1        x\n"
        );
    }

    #[test]
    fn the_first_locale_that_is_set_counts() {
        let speaks = |all: &str, kind: &str, lang: &str| is_utf8([all.into(), kind.into(), lang.into()]);
        assert!(
            speaks("", "", "de_DE.UTF-8") && speaks("C.utf8", "C", "C") && speaks("", "en_US.UTF-8", "C")
        );
        assert!(!speaks("C", "", "de_DE.UTF-8") && !speaks("", "", "") && !speaks("", "", "POSIX"));
    }

    #[test]
    fn what_a_device_says_stays_on_its_line() {
        assert_eq!(facts(&[("kernel", "6.1\nstate  active".into())]), "kernel  6.1 state  active\n");
    }

    #[test]
    fn facts_leave_out_what_is_empty() {
        let rows = [("id", "pump-1".to_owned()), ("labels", String::new()), ("product", "pump".to_owned())];
        assert_eq!(facts(&rows), "id       pump-1\nproduct  pump\n");
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\u{202e}"), "a\u{fffd}[31mb\u{fffd}\nc\u{fffd}");
    }

    #[test]
    fn a_reader_that_went_away_is_not_a_panic() {
        let console = Console::to_writers(Gone, Gone, Format::Table, Clock::Fixed(0));
        assert!(matches!(console.print("x"), Err(Failure::OutputClosed)));
        console.say("nobody listens");
    }
}

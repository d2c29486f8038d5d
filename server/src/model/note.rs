//! What somebody who takes care of an alert wants the others to know.

use super::{
    alert::Alert,
    refusal::{Reason, Refusal},
    text::is_hidden,
    time::Timestamp,
};

/// Longest note, in bytes: a sentence or two.
const MAX_NOTE: usize = 500;

/// Refuses what does not fit a line; none is fine.
pub fn check(note: &str) -> Result<(), Refusal> {
    if note.len() <= MAX_NOTE && !note.chars().any(is_hidden) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::NoteInvalid,
        "the note does not fit a line or two",
        "use at most 500 bytes, all of them of characters that can be seen",
    )
    .field("note"))
}

impl Alert {
    /// With this note; without one it keeps what it has.
    pub fn noted(self, note: &str) -> Alert {
        if note.is_empty() { self } else { Alert { note: note.to_owned(), ..self } }
    }

    /// With another note and nothing else; none when that is no other one.
    pub fn noted_anew(&self, note: &str, now: Timestamp) -> Option<Alert> {
        (!note.is_empty() && note != self.note).then(|| self.changed(now).noted(note))
    }
}

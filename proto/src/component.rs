//! Attributes of a metric, spelled as a component. Agents and servers both take metrics from programs, and the same
//! attributes have to be the same component whichever way they came.

/// Longest component name, in bytes.
const LONGEST: usize = 63;
/// Hex digits of the digest that stands for what a component cannot spell: 64 bits, for the few thousand series of
/// one device.
const DIGEST: usize = 16;

/// A component on its way: the program's name, then attributes in the order of their names.
#[derive(Debug, Default)]
pub struct SpelledComponent {
    text: String,
    /// Whether something else could be spelled the same.
    lossy: bool,
}

impl SpelledComponent {
    /// Begins with the name of the program.
    pub fn of(program: &str) -> Self {
        let mut spelled = Self::default();
        spelled.put(program);
        spelled
    }

    /// An attribute and what it says; none for what is no text, flag or number.
    pub fn attribute(&mut self, key: &str, value: Option<&str>) {
        self.text.push('/');
        self.put(key);
        self.text.push('.');
        match value {
            Some(value) => self.put(value),
            None => self.lossy = true,
        }
    }

    /// The component. What could not be spelled, or is too long, ends in the beginning of `digest`: hex digits of a
    /// digest over all that was to be spelled.
    pub fn finish(mut self, digest: impl FnOnce() -> String) -> String {
        if !self.lossy && self.text.len() <= LONGEST {
            return self.text;
        }
        // What was spelled is ASCII, so any cut is between characters.
        self.text.truncate(LONGEST - DIGEST - 1);
        self.text.push('-');
        self.text.extend(digest().chars().take(DIGEST));
        self.text
    }

    fn put(&mut self, part: &str) {
        for c in part.chars() {
            if self.text.len() > LONGEST {
                self.lossy = true;
                return;
            }
            let plain = c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
            self.lossy |= !plain;
            let kept = c.to_ascii_lowercase();
            self.text.push(if kept.is_ascii_lowercase() || plain { kept } else { '_' });
        }
    }
}

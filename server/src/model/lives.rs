//! Recorded lives of parts, as they come in.

use std::collections::BTreeSet;

use slipway_trust::Sha256;

use super::{
    refusal::{Reason, Refusal},
    text::{is_hidden, quoted},
};

/// Lives that one model learns from.
pub const MAX_LIVES: usize = 2_000;
/// Rows of all of them: 130 MB in memory with 32 sensors, while it is learned from them.
pub const MAX_ROWS: usize = 500_000;
/// Longest name of a part, in bytes.
const MAX_UNIT: usize = 63;

/// Lives with a value for each sensor in every row.
#[derive(Debug)]
pub struct Lives {
    sensors: usize,
    names: BTreeSet<String>,
    last: String,
    lives: Vec<Vec<Vec<f64>>>,
    rows: u32,
    digest: slipway_trust::Hasher,
}

impl Lives {
    /// None yet, of parts with so many sensors.
    pub fn new(sensors: usize) -> Self {
        Lives {
            sensors,
            names: BTreeSet::new(),
            last: String::new(),
            lives: Vec::new(),
            rows: 0,
            digest: Sha256::hasher(),
        }
    }

    /// Takes in rows of a part, which go on with those of before if it is the same as the last one.
    ///
    /// # Errors
    /// `LIVES_INVALID` for rows that are none, a part that comes again, and more than there may be.
    pub fn add(&mut self, unit: &str, values: &[f64]) -> Result<(), Refusal> {
        if unit.is_empty() || unit.len() > MAX_UNIT || unit.chars().any(is_hidden) {
            return Err(invalid(
                format!("{} is no name of a part", quoted(unit)),
                "use 1 to 63 bytes that can be seen",
            ));
        }
        let width = self.sensors.max(1);
        if values.is_empty() || !values.len().is_multiple_of(width) {
            let wrong =
                format!("{} values of unit {} are no rows of {width} sensors", values.len(), quoted(unit));
            return Err(invalid(wrong, "send whole rows, with a value for every sensor of the model"));
        }
        if unit != self.last || self.lives.is_empty() {
            if !self.names.insert(unit.to_owned()) {
                let wrong = format!("the rows of unit {} do not stand together", quoted(unit));
                return Err(invalid(wrong, "send all rows of a unit before those of the next"));
            }
            if self.lives.len() == MAX_LIVES {
                return Err(invalid(format!("more than {MAX_LIVES} lives"), "leave some of them out"));
            }
            unit.clone_into(&mut self.last);
            self.lives.push(Vec::new());
            self.digest.update(b"life");
        }
        let Some(life) = self.lives.last_mut() else { return Ok(()) };
        for row in values.chunks(width) {
            if row.iter().any(|value| !value.is_finite()) {
                let wrong =
                    format!("row {} of unit {} has a value that is no number", life.len() + 1, quoted(unit));
                return Err(invalid(wrong, "every row has a finite number for every sensor"));
            }
            if self.rows as usize == MAX_ROWS {
                let hint = "leave lives out, or make the steps longer and take the means of the rows";
                return Err(invalid(format!("more than {MAX_ROWS} rows"), hint));
            }
            self.rows += 1;
            row.iter().for_each(|value| self.digest.update(&value.to_le_bytes()));
            life.push(row.to_vec());
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The lives, and what tells them from others.
    pub fn finish(self) -> (Vec<Vec<Vec<f64>>>, Sha256) {
        (self.lives, self.digest.finish())
    }

    /// The refusal of lives from which nothing can be learned.
    pub fn refused(error: &slipway_insight::cohort::LearnError) -> Refusal {
        let hint = "docs/wear.md says what lives have to be like for something to be learned from them";
        invalid(error.to_string(), hint)
    }
}

fn invalid(wrong: String, hint: &str) -> Refusal {
    Refusal::new(Reason::LivesInvalid, wrong, hint).field("lives")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_part_go_on_in_the_next_message() {
        let mut lives = Lives::new(2);
        lives.add("1", &[1.0, 2.0]).unwrap();
        lives.add("1", &[3.0, 4.0, 5.0, 6.0]).unwrap();
        lives.add("2", &[7.0, 8.0]).unwrap();
        assert_eq!(lives.rows(), 4);
        let (lives, digest) = lives.finish();
        assert_eq!(lives, [vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]], vec![vec![7.0, 8.0]]]);
        let again = |cuts: &[(&str, &[f64])]| {
            let mut lives = Lives::new(2);
            cuts.iter().for_each(|(unit, values)| lives.add(unit, values).unwrap());
            lives.finish().1
        };
        let whole: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(
            again(&[("a", whole), ("b", &[7.0, 8.0])]),
            digest,
            "however it is cut, and they are called"
        );
        assert_ne!(again(&[("a", &whole[..4]), ("b", &[5.0, 6.0, 7.0, 8.0])]), digest);
    }

    #[test]
    fn refuses_what_is_no_life() {
        let mut lives = Lives::new(2);
        lives.add("1", &[1.0, 2.0]).unwrap();
        lives.add("2", &[1.0, 2.0]).unwrap();
        for (unit, values, wrong) in [
            ("1", &[1.0, 2.0][..], "do not stand together"),
            ("", &[1.0, 2.0], "no name of a part"),
            ("a\nb", &[1.0, 2.0], "no name of a part"),
            ("3", &[1.0], "are no rows of 2 sensors"),
            ("3", &[], "are no rows of 2 sensors"),
            ("3", &[1.0, f64::NAN], "row 1 of unit \"3\" has a value that is no number"),
        ] {
            let refusal = lives.add(unit, values).unwrap_err();
            assert_eq!(refusal.reason, Reason::LivesInvalid);
            assert!(refusal.message.contains(wrong), "{refusal}");
        }
        let mut many = Lives::new(1);
        for number in 0..MAX_LIVES {
            many.add(&number.to_string(), &[1.0]).unwrap();
        }
        assert!(many.add("x", &[1.0]).unwrap_err().message.contains("more than 2000 lives"));
        let mut long = Lives::new(1);
        let refusal = (0..).find_map(|_| long.add("x", &[1.0; 1000]).err()).unwrap();
        assert!(refusal.message.contains("more than 500000 rows"), "{refusal}");
        assert_eq!(long.rows(), 500_000);
    }
}

//! NASA's recordings of turbofan engines until they failed (C-MAPSS, Saxena and Goebel 2008), subset FD001.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// 100 engines from new to their failure, 100 others up to a moment before it, and what those had left.
pub struct Engines {
    pub lives: Vec<Vec<Vec<f64>>>,
    pub others: Vec<Vec<Vec<f64>>>,
    pub left: Vec<f64>,
}

pub fn engines(folder: &Path) -> Result<Engines> {
    let left = rows(&folder.join("RUL_FD001.txt"))?.into_iter().filter_map(|row| row.first().copied());
    Ok(Engines {
        lives: by_unit(rows(&folder.join("train_FD001.txt"))?),
        others: by_unit(rows(&folder.join("test_FD001.txt"))?),
        left: left.collect(),
    })
}

/// Numbers between blanks; a line that begins with a letter is a heading.
fn rows(path: &Path) -> Result<Vec<Vec<f64>>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .map(|line| line.split_whitespace().map(|word| Ok(word.parse()?)).collect())
        .collect()
}

/// Unit and cycle number lead every row; settings and sensors follow.
fn by_unit(rows: Vec<Vec<f64>>) -> Vec<Vec<Vec<f64>>> {
    let mut units: Vec<(f64, Vec<Vec<f64>>)> = Vec::new();
    for mut row in rows {
        let readings = row.split_off(2);
        match units.last_mut() {
            Some((unit, readings_of)) if *unit == row[0] => readings_of.push(readings),
            _ => units.push((row[0], vec![readings])),
        }
    }
    units.into_iter().map(|(_, readings)| readings).collect()
}

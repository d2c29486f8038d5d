//! Character cells that are drawn into by dots: eight a cell as braille, or one in plain ASCII.

use super::Ink;

/// Dots of a braille cell by (column, row), top left first: the numbers of Unicode's block.
const BRAILLE: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// What one cell holds; what is more important hides the rest.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    data: u8,
    expected: u8,
    limit: bool,
    band: bool,
}

/// The picture.
#[derive(Debug)]
pub struct Grid {
    columns: usize,
    rows: usize,
    unicode: bool,
    cells: Vec<Cell>,
}

impl Grid {
    pub fn new(columns: usize, rows: usize, unicode: bool) -> Self {
        Self { columns, rows, unicode, cells: vec![Cell::default(); columns * rows] }
    }

    /// Dots across and down.
    pub fn dots(&self) -> (usize, usize) {
        if self.unicode { (self.columns * 2, self.rows * 4) } else { (self.columns, self.rows) }
    }

    /// The column of dots for a place from 0 to 1.
    pub fn column(&self, x: f64) -> f64 {
        x * (self.dots().0 as f64 - 1.0)
    }

    /// The row of dots, from the top, for a height from 0 to 1.
    pub fn row(&self, y: f64) -> f64 {
        (1.0 - y) * (self.dots().1 as f64 - 1.0)
    }

    /// The row of characters, from the top, for a height from 0 to 1.
    pub fn line_of(&self, y: f64) -> usize {
        let high = if self.unicode { 4 } else { 1 };
        self.row(y).round().max(0.0) as usize / high
    }

    /// A straight line between two places (column and row of dots).
    pub fn line(&mut self, ink: Ink, from: (f64, f64), to: (f64, f64)) {
        let longest = (to.0 - from.0).abs().max((to.1 - from.1).abs());
        let (across, down) = self.dots();
        // Longer than the picture's outline is drawn as if it were that long: what is outside shows nothing.
        let steps = longest.ceil().clamp(1.0, 4.0 * (across + down) as f64) as usize;
        for step in 0..=steps {
            let share = step as f64 / steps as f64;
            self.dot(ink, from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
        }
    }

    /// One dot; nothing outside of the picture.
    pub fn dot(&mut self, ink: Ink, column: f64, row: f64) {
        let (column, row) = (column.round(), row.round());
        let (across, down) = self.dots();
        if !(0.0..across as f64).contains(&column) || !(0.0..down as f64).contains(&row) {
            return;
        }
        let (column, row) = (column as usize, row as usize);
        let (wide, high) = if self.unicode { (2, 4) } else { (1, 1) };
        let bit = if self.unicode { BRAILLE[column % 2][row % 4] } else { 1 };
        let cell = &mut self.cells[(row / high) * self.columns + column / wide];
        match ink {
            Ink::Data => cell.data |= bit,
            Ink::Forecast => cell.expected |= bit,
            Ink::Limit | Ink::Plain => cell.limit = true,
        }
    }

    /// Shades the cells of a column of characters between two rows of dots.
    pub fn shade(&mut self, column: usize, top: f64, bottom: f64) {
        let high = if self.unicode { 4.0 } else { 1.0 };
        let (first, last) = ((top / high).floor().max(0.0), (bottom / high).floor());
        if column >= self.columns || last < 0.0 {
            return;
        }
        for row in first as usize..=(last as usize).min(self.rows.saturating_sub(1)) {
            self.cells[row * self.columns + column].band = true;
        }
    }

    /// Characters across.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row of characters, each with its ink.
    pub fn characters(&self, row: usize) -> impl Iterator<Item = (Ink, char)> {
        self.cells[row * self.columns..(row + 1) * self.columns].iter().map(|cell| self.character(*cell))
    }

    fn character(&self, cell: Cell) -> (Ink, char) {
        let pick = |unicode: char, ascii: char| if self.unicode { unicode } else { ascii };
        let braille = |dots: u8| char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' ');
        match cell {
            Cell { data: 1.., .. } => (Ink::Data, pick(braille(cell.data), '*')),
            Cell { limit: true, .. } => (Ink::Limit, pick('─', '-')),
            Cell { expected: 1.., .. } => (Ink::Forecast, pick(braille(cell.expected), '+')),
            Cell { band: true, .. } => (Ink::Forecast, pick('░', ':')),
            _ => (Ink::Plain, ' '),
        }
    }
}

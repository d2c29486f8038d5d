//! Comma-separated values (RFC 4180): records with the places of their fields.

use std::borrow::Cow;

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What stands in it, without the quotes around it.
    pub text: String,
    /// Where it begins.
    pub place: Place,
}

/// A place in a file; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Reads all records; empty lines are none.
///
/// # Errors
/// Where a quote stands that does not belong there, and what is wrong.
pub fn parse(text: &str) -> Result<Vec<Vec<Field>>, (Place, &'static str)> {
    let mut reader = Reader { rest: text.trim_start_matches('\u{feff}'), at: Place { line: 1, column: 1 } };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        let mut record = Vec::new();
        while reader.field(&mut record)? {}
        let is_empty = matches!(record.as_slice(), [one] if one.text.trim().is_empty());
        if !is_empty {
            records.push(record);
        }
    }
    Ok(records)
}

/// A field as it stands in a record: quoted where its text needs that.
pub fn field(text: &str) -> Cow<'_, str> {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

struct Reader<'a> {
    rest: &'a str,
    at: Place,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.at = match c {
            '\n' => Place { line: self.at.line + 1, column: 1 },
            _ => Place { column: self.at.column + 1, ..self.at },
        };
        Some(c)
    }

    /// Reads one field; false when it ended the record.
    fn field(&mut self, record: &mut Vec<Field>) -> Result<bool, (Place, &'static str)> {
        let place = self.at;
        let mut text = String::new();
        let is_quoted = self.rest.starts_with('"');
        if is_quoted {
            self.quoted(place, &mut text)?;
        }
        let goes_on = loop {
            let at = self.at;
            match self.next() {
                None | Some('\n') => break false,
                Some(',') => break true,
                Some('\r') if self.rest.starts_with('\n') => {}
                Some(_) if is_quoted => return Err((at, "after the closing quote there has to be a comma")),
                Some('"') => return Err((at, "a field with a quote in it has to be quoted as a whole")),
                Some(c) => text.push(c),
            }
        };
        record.push(Field { text, place });
        Ok(goes_on)
    }

    /// What stands between quotes; two of them are one.
    fn quoted(&mut self, place: Place, text: &mut String) -> Result<(), (Place, &'static str)> {
        self.next();
        loop {
            match self.next() {
                None => return Err((place, "this quote is never closed")),
                Some('"') if self.rest.starts_with('"') => {
                    self.next();
                    text.push('"');
                }
                Some('"') => return Ok(()),
                Some(c) => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<Vec<String>> {
        let records = parse(text).unwrap();
        records.into_iter().map(|record| record.into_iter().map(|field| field.text).collect()).collect()
    }

    #[test]
    fn reads_what_spreadsheets_write() {
        assert_eq!(texts("a,b\r\n1,2\r\n"), [["a", "b"], ["1", "2"]]);
        assert_eq!(texts("\u{feff}a,b\n\n1,\n  \n,"), [["a", "b"], ["1", ""], ["", ""]]);
        assert_eq!(texts("\"x, \"\"y\"\"\nz\",2"), [["x, \"y\"\nz", "2"]]);
        assert!(texts("").is_empty());
    }

    #[test]
    fn knows_where_everything_stands() {
        let records = parse("a,\"b\nc\",d\nä,e").unwrap();
        let places: Vec<_> = records.iter().flatten().map(|f| (f.place.line, f.place.column)).collect();
        assert_eq!(places, [(1, 1), (1, 3), (2, 4), (3, 1), (3, 3)]);
        let wrong = |text: &str| parse(text).map(drop).map_err(|(place, _)| (place.line, place.column));
        assert_eq!(wrong("a\nb,\"c"), Err((2, 3)));
        assert_eq!(wrong("a,b\"c"), Err((1, 4)));
        assert_eq!(wrong("\"a\"b"), Err((1, 4)));
    }
}

//! The file of a factory's line: which machine has which key.

use std::{collections::HashMap, fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use slipway_proto::v1::{Registration, registration::Key};

use crate::{
    csv::{self, Field, Place},
    error::Failure,
    names,
};

/// Most mistakes that are shown; with more, one of them is behind all the others.
const SHOWN: usize = 20;
const LABEL: &str = "label:";
const HEADER: &str = "the first line names the columns: device_id,public_key,hardware";
/// What spreadsheets write between fields where a comma is part of numbers, or when they are asked for text.
const OTHER_SEPARATORS: [char; 2] = [';', '\t'];
/// What every public key of P-256 begins with as DER, and every one of Ed25519, and how long they are.
const KINDS: [(&[u8], usize); 2] = [
    (b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42", 91),
    (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21", 44),
];

/// A machine, and where it stands in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What is registered.
    pub registration: Registration,
    /// Where the fields of the message come from.
    places: HashMap<String, Place>,
    start: Place,
}

impl Line {
    /// Where a field of the message stands in the file, as `hardware` or `labels.site`.
    pub fn place(&self, field: &str) -> Place {
        self.places.get(field).copied().unwrap_or(self.start)
    }
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    place: Place,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place.line, self.place.column, self.what)
    }
}

/// Reads a whole file; `product` is that of lines that name none.
///
/// # Errors
/// Every mistake with its line and column, up to twenty.
pub fn read(path: &Path, text: &str, product: &str) -> Result<Vec<Line>, Failure> {
    let (lines, mistakes) = parse(text, product);
    if mistakes.is_empty() {
        return Ok(lines);
    }
    Err(failure(path, &mistakes))
}

/// A mistake that the server found in a line.
pub fn refused(path: &Path, place: Place, what: String) -> Failure {
    failure(path, &[Mistake { place, what }])
}

fn failure(path: &Path, mistakes: &[Mistake]) -> Failure {
    let shown = mistakes.iter().take(SHOWN).map(|mistake| format!("\n  {}:{mistake}", path.display()));
    let more = match mistakes.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    Failure::new(format!("{} cannot be imported:{}{more}", path.display(), shown.collect::<String>()))
        .hint("nothing was registered; correct the file and run the command again")
        .reason("REGISTRATION_INVALID")
}

fn parse(text: &str, product: &str) -> (Vec<Line>, Vec<Mistake>) {
    let first_line = text.trim_start().lines().next().unwrap_or_default();
    let records = match csv::parse(text) {
        Ok(records) => records,
        Err((place, what)) => {
            // Quoted fields with something else than commas between them.
            let mistake = foreign_header(first_line, &[]).filter(|_| place.line == 1);
            return (Vec::new(), vec![mistake.unwrap_or(Mistake { place, what: what.to_owned() })]);
        }
    };
    let Some((header, records)) = records.split_first() else {
        let what = format!("there is no header; {HEADER}");
        return (Vec::new(), vec![Mistake { place: Place { line: 1, column: 1 }, what }]);
    };
    if let Some(mistake) = foreign_header(first_line, header) {
        return (Vec::new(), vec![mistake]);
    }
    let mut mistakes = check_header(header);
    if !mistakes.is_empty() {
        return (Vec::new(), mistakes);
    }
    if records.is_empty() {
        let what = "there is no machine in it, only the header".to_owned();
        mistakes.push(Mistake { place: Place { line: 2, column: 1 }, what });
    }
    let mut seen: HashMap<(&str, String), usize> = HashMap::new();
    let mut lines = Vec::new();
    for record in records {
        let Some(start) = record.first().map(|field| field.place) else { continue };
        if record.len() != header.len() {
            let what = format!("{} fields, where the header has {}", record.len(), header.len());
            mistakes.push(Mistake { place: start, what });
            continue;
        }
        let mut line = Line {
            registration: Registration { product: product.to_owned(), ..Registration::default() },
            places: HashMap::new(),
            start,
        };
        for (column, field) in header.iter().zip(record) {
            if let Err(what) = line.take(column.text.trim(), field) {
                mistakes
                    .push(Mistake { place: field.place, what: format!("{}: {what}", column.text.trim()) });
            }
        }
        let Registration { device_id, key, .. } = &line.registration;
        for (what, value) in [("device_id", device_id.clone()), ("public_key", digest(key.as_ref()))] {
            if value.is_empty() {
                continue;
            }
            if let Some(first) = seen.insert((what, value), start.line) {
                let field = if what == "public_key" { "key" } else { what };
                let what = format!("{what}: it stands in line {first} already");
                mistakes.push(Mistake { place: line.place(field), what });
            }
        }
        lines.push(line);
    }
    mistakes.sort_by_key(|mistake| (mistake.place.line, mistake.place.column));
    (lines, mistakes)
}

fn is_column(name: &str) -> bool {
    ["device_id", "public_key", "hardware", "product"].contains(&name)
        || name.strip_prefix(LABEL).is_some_and(|key| !key.is_empty() && !key.starts_with(LABEL))
}

/// What is wrong with a first line that is none of ours or is not cut by commas: one mistake, which would be
/// one in every line below it.
fn foreign_header(line: &str, header: &[Field]) -> Option<Mistake> {
    let is_column = |name: &str| is_column(name.trim().trim_matches('"'));
    let is_cut_by = |separator: &char| line.contains(*separator) && line.split(*separator).any(is_column);
    let what = match OTHER_SEPARATORS.into_iter().find(is_cut_by) {
        Some('\t') => "a tab stands between the columns; separate them by commas".to_owned(),
        Some(other) => format!("a {other:?} stands between the columns; separate them by commas"),
        None if !header.is_empty() && !header.iter().any(|field| is_column(&field.text)) => {
            format!("this is no header, for it names no column; {HEADER}")
        }
        None => return None,
    };
    Some(Mistake { place: Place { line: 1, column: 1 }, what })
}

fn check_header(header: &[Field]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for field in header {
        let name = field.text.trim();
        let what = if !is_column(name) {
            let known = "device_id, public_key, hardware, product, label:KEY";
            format!("there is no column {name:?}; there are {known}")
        } else if names.contains(&name) {
            format!("the column {name} is there twice")
        } else {
            names.push(name);
            continue;
        };
        mistakes.push(Mistake { place: field.place, what });
    }
    for needed in ["device_id", "public_key", "hardware"] {
        if !names.contains(&needed) {
            let what = format!("the column {needed} is missing");
            mistakes.push(Mistake { place: Place { line: 1, column: 1 }, what });
        }
    }
    mistakes
}

impl Line {
    fn take(&mut self, column: &str, field: &Field) -> Result<(), String> {
        let (text, message) = (field.text.trim(), &mut self.registration);
        let mut name = column.to_owned();
        match column {
            "device_id" => {
                names::check_device_id(text)?;
                message.device_id = text.to_owned();
            }
            "hardware" if !slipway_trust::plain_name(text) => {
                return Err(format!("{text:?} cannot be the name of a hardware model"));
            }
            "hardware" => message.hardware = text.to_owned(),
            "product" if text.is_empty() => {}
            "product" => {
                slipway_trust::product_name(text).map_err(|error| error.to_string())?;
                message.product = text.to_owned();
            }
            "public_key" => {
                message.key = Some(key(text)?);
                name = "key".to_owned();
            }
            label => {
                let key = label.strip_prefix(LABEL).unwrap_or(label);
                if !text.is_empty() {
                    message.labels.insert(key.to_owned(), text.to_owned());
                }
                name = format!("labels.{key}");
            }
        }
        self.places.insert(name, field.place);
        Ok(())
    }
}

/// A public key as PEM, as base64 of its DER, or as the SHA-256 of that in hex.
fn key(text: &str) -> Result<Key, String> {
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return Err(
            "that is a private key, which belongs on the device alone; make a new one there".to_owned()
        );
    }
    if text.len() == 64
        && let Ok(digest) = text.parse::<slipway_trust::Sha256>()
    {
        return Ok(Key::PublicKeySha256(digest.as_bytes().to_vec()));
    }
    let armour = ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"];
    let body = text.trim_start_matches(armour[0]).trim_end_matches(armour[1]);
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let der = BASE64.decode(body).ok().filter(|der| !der.is_empty());
    let der = der.ok_or("it is neither a public key in PEM or base64, nor 64 digits of hex")?;
    let is_of_kind = |(head, length): &(&[u8], usize)| der.starts_with(head) && der.len() == *length;
    if !KINDS.iter().any(is_of_kind) {
        return Err("it is not a public key of P-256 or Ed25519 (SubjectPublicKeyInfo)".to_owned());
    }
    Ok(Key::PublicKeyDer(der))
}

/// The key's id, in whichever form it was given.
fn digest(key: Option<&Key>) -> String {
    match key {
        Some(Key::PublicKeyDer(der)) => slipway_trust::Sha256::of(der).to_string(),
        Some(Key::PublicKeySha256(digest)) => {
            slipway_trust::Sha256::try_from(digest.as_slice()).map(|id| id.to_string()).unwrap_or_default()
        }
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "registrations_tests.rs"]
mod tests;

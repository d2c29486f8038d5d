//! A page as bytes: for each series three texts behind their lengths, two numbers, and the state behind its length.

use super::SeriesRow;

/// All of these series, in their order.
pub(super) fn encode(series: &[SeriesRow]) -> Vec<u8> {
    let mut out = Vec::with_capacity(series.iter().map(|row| row.state.len() + 96).sum());
    for row in series {
        for text in [&row.component, &row.metric, &row.unit] {
            part(&mut out, text.as_bytes());
        }
        out.extend(row.last_value.to_le_bytes());
        out.extend(row.last_at.to_le_bytes());
        part(&mut out, &row.state);
    }
    out
}

fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    // Names and units have at most 128 bytes, states 512: nothing is cut.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(length.to_le_bytes());
    out.extend(bytes.iter().take(usize::from(length)));
}

/// What [`encode`] wrote; none of anything else.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<SeriesRow>> {
    let rest = &mut bytes;
    let mut series = Vec::with_capacity(super::PAGE);
    while !rest.is_empty() {
        series.push(SeriesRow {
            component: text(rest)?,
            metric: text(rest)?,
            unit: text(rest)?,
            last_value: f64::from_le_bytes(number(rest)?),
            last_at: i64::from_le_bytes(number(rest)?),
            state: piece(rest)?.to_vec(),
        });
    }
    Some(series)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    Some(std::str::from_utf8(piece(rest)?).ok()?.to_owned())
}

fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_le_bytes(number(rest)?));
    let (piece, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(piece)
}

fn number<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (number, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(metric: &str) -> SeriesRow {
        SeriesRow {
            component: "fan-1".to_owned(),
            metric: metric.to_owned(),
            unit: String::new(),
            state: vec![7; 500],
            last_value: -0.1,
            last_at: i64::MIN,
        }
    }

    #[test]
    fn reads_what_it_wrote_and_nothing_shorter() {
        let rows = [row("a"), row("hw.fan.speed")];
        let bytes = encode(&rows);
        assert_eq!(decode(&bytes).unwrap(), rows);
        assert_eq!(decode(&[]), Some(Vec::new()));
        let first = encode(&rows[..1]).len();
        for length in (0..bytes.len()).filter(|length| *length != first && *length != 0) {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
    }
}

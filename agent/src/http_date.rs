//! The header `Date` of an answer: "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7).

use slipway_trust::Date;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// It is cut off to the second: on average half of one has passed.
const HALF: i64 = 500;

/// The moment in milliseconds; none when it is spelled in another way.
pub fn read(text: &str) -> Option<i64> {
    let (_, text) = text.split_once(", ")?;
    let words: Vec<&str> = text.split(' ').collect();
    let [day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let date: Date = format!("{year}-{month:02}-{day}T{time}Z").parse().ok()?;
    Some(date.millis() + HALF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_write_and_nothing_else() {
        let date: Date = "1994-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(date.millis() + HALF));
        for bad in [
            "",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 6 Foo 1994 1:2:3 GMT",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

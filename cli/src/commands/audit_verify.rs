//! `slipway audit verify`: whether the audit log is what was written.
//!
//! The server only hands out the entries. The chain is computed here, from what docs/LOGGING.md says of it.

use std::{fmt, str::FromStr};

use slipway_proto::v1;
use slipway_trust::Sha256;

use crate::{
    commands::pages_of,
    connect::Api,
    error::Failure,
    output::{Console, Format},
};

/// An entry that somebody noted: `17:HASH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    number: u64,
    hash: String,
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mark = text.trim().split_once(':').and_then(|(number, hash)| {
            let is_hash = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            is_hash.then_some(Mark { number: number.parse().ok()?, hash: hash.to_owned() })
        });
        mark.ok_or_else(|| "write what `slipway audit verify` printed before: NUMBER:HASH".to_owned())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

/// Reads the whole log and checks it.
///
/// # Errors
/// A log that is not what was written, and everything that keeps this side from reading it.
pub async fn run(known: Option<Mark>, api: &Api, console: &Console) -> Result<(), Failure> {
    let mut chain = Chain { known, ..Chain::default() };
    pages_of(
        |page_size, page_token| {
            let mut access = api.access();
            async move {
                let request = v1::ListAuditEventsRequest { page_size, page_token, ..Default::default() };
                let page = access.list_audit_events(request).await?.into_inner();
                Ok((page.audit_events, page.next_page_token))
            }
        },
        |events| events.into_iter().try_for_each(|event| chain.take(event)).map_err(broken),
    )
    .await?;
    let Some((entries, newest)) = chain.end().map_err(broken)? else {
        console.say("the audit log has no entries");
        return Ok(());
    };
    let what = if entries == 1 {
        "1 entry".to_owned()
    } else {
        format!("{entries} entries, each following from the one before")
    };
    console.say(&format!(
        "the audit log is whole: {what}; note the last one and hand it to --known the next time"
    ));
    match console.format {
        Format::Table => console.print(&newest.to_string()),
        Format::Json => {
            console.json(&serde_json::json!({ "entries": entries, "newest": newest.to_string() }))
        }
    }
}

fn broken(what: String) -> Failure {
    Failure::new(format!("the audit log is not what was written: {what}"))
        .hint("keep the database as it is, find out who can write to it, and compare with a backup")
        .reason("AUDIT_LOG_BROKEN")
}

/// The log, from its newest entry to its first.
#[derive(Default)]
struct Chain {
    known: Option<Mark>,
    newest: Option<Mark>,
    entries: u64,
    /// The one after the next, which says what the next one is.
    later: Option<(u64, v1::AuditEvent)>,
}

impl Chain {
    fn take(&mut self, event: v1::AuditEvent) -> Result<(), String> {
        let number = event.name.strip_prefix("auditEvents/").and_then(|number| number.parse().ok());
        let number: u64 = number.ok_or_else(|| format!("{:?} is no entry", event.name))?;
        let mark = Mark { number, hash: event.hash.clone() };
        if let Some(known) = self.known.as_ref().filter(|known| known.number >= number) {
            if known.number > number && self.newest.is_none() {
                return Err(format!("it ends with entry {number}, and entry {} was noted", known.number));
            }
            if known.number == number && *known != mark {
                return Err(format!("entry {number} is another one than was noted"));
            }
        }
        self.newest.get_or_insert(mark);
        self.entries += 1;
        match self.later.take() {
            Some((later, _)) if later != number + 1 => {
                return Err(format!("entry {} is missing", later.saturating_sub(1)));
            }
            Some((later, entry)) => check(later, &entry, &event.hash)?,
            None => {}
        }
        self.later = Some((number, event));
        Ok(())
    }

    /// How many there are, and the newest; none when there is none.
    fn end(self) -> Result<Option<(u64, Mark)>, String> {
        match (self.later, self.newest) {
            (Some((1, first)), Some(newest)) => {
                check(1, &first, "")?;
                Ok(Some((self.entries, newest)))
            }
            (Some((number, _)), _) => Err(format!("entry {} is missing", number.saturating_sub(1))),
            (None, _) if self.known.is_some() => Err("it has no entries, and one was noted".to_owned()),
            (None, _) => Ok(None),
        }
    }
}

/// An entry carries the SHA-256 of the hash before it and its own fields, each with its length in bytes.
fn check(number: u64, entry: &v1::AuditEvent, before: &str) -> Result<(), String> {
    let time = entry.time.unwrap_or_default();
    let millis = time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000);
    let (written, millis) = (number.to_string(), millis.to_string());
    let fields = [before, &written, &millis, &entry.actor, &entry.action, &entry.resource, &entry.detail];
    let text: String = fields.iter().map(|field| format!("{}:{field}", field.len())).collect();
    if Sha256::of(text.as_bytes()).to_string() == entry.hash {
        return Ok(());
    }
    Err(match number {
        1 => "entry 1 was changed".to_owned(),
        _ => format!("entry {number} does not follow from entry {}: one of them was changed", number - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::human;

    /// A log as a server writes it, newest first.
    fn log(entries: u64) -> Vec<v1::AuditEvent> {
        let (mut before, mut all) = (String::new(), Vec::new());
        for number in 1..=entries {
            let at = 1_795_356_185_000 + i64::try_from(number).unwrap();
            let detail = format!("détail {number}");
            let text: String = [&before, &number.to_string(), &at.to_string(), "ops", "Act", "x/1", &detail]
                .iter()
                .map(|field| format!("{}:{field}", field.len()))
                .collect();
            before = Sha256::of(text.as_bytes()).to_string();
            all.insert(
                0,
                v1::AuditEvent {
                    name: format!("auditEvents/{number}"),
                    time: Some(human::timestamp(at)),
                    actor: "ops".into(),
                    action: "Act".into(),
                    resource: "x/1".into(),
                    detail,
                    hash: before.clone(),
                },
            );
        }
        all
    }

    fn verify(events: Vec<v1::AuditEvent>, known: Option<&str>) -> Result<String, String> {
        let known = known.map(|known| known.parse().unwrap());
        let mut chain = Chain { known, ..Chain::default() };
        events.into_iter().try_for_each(|event| chain.take(event))?;
        Ok(chain.end()?.map_or("nothing".to_owned(), |(entries, newest)| format!("{entries}, {newest}")))
    }

    #[test]
    fn a_log_is_whole_or_it_is_said_where_it_is_not() {
        let whole = log(4);
        assert_eq!(verify(whole.clone(), None).unwrap(), format!("4, 4:{}", whole[0].hash));
        assert_eq!(verify(log(1), None).unwrap(), format!("1, 1:{}", log(1)[0].hash));
        assert_eq!(verify(Vec::new(), None).unwrap(), "nothing");
        let with = |change: &dyn Fn(&mut Vec<v1::AuditEvent>)| {
            let mut events = whole.clone();
            change(&mut events);
            verify(events, None).unwrap_err()
        };
        let changed = "entry 3 does not follow from entry 2: one of them was changed";
        assert_eq!(with(&|all| all[1].actor = "somebody".into()), changed);
        assert_eq!(with(&|all| all[2].hash = "0".repeat(64)), changed);
        assert_eq!(with(&|all| drop(all.remove(1))), "entry 3 is missing");
        assert_eq!(with(&|all| drop(all.pop())), "entry 1 is missing");
        assert_eq!(with(&|all| all[3].detail.clear()), "entry 1 was changed");
        assert_eq!(with(&|all| all.swap(0, 1)), "entry 2 is missing");
    }

    #[test]
    fn what_was_noted_has_to_be_there_still() {
        let all = log(4);
        let mark = |event: &v1::AuditEvent| event.name.replace("auditEvents/", "") + ":" + &event.hash;
        for event in &all {
            assert!(verify(all.clone(), Some(&mark(event))).is_ok());
        }
        let cut = verify(all[1..].to_vec(), Some(&mark(&all[0]))).unwrap_err();
        assert_eq!(cut, "it ends with entry 3, and entry 4 was noted");
        // Whoever writes to the database can write all hashes anew, and not what stands on paper.
        let other = format!("3:{}", "ab".repeat(32));
        assert_eq!(verify(all, Some(&other)).unwrap_err(), "entry 3 is another one than was noted");
        assert_eq!(verify(Vec::new(), Some(&other)).unwrap_err(), "it has no entries, and one was noted");
        assert!("17".parse::<Mark>().is_err() && "17:xyz".parse::<Mark>().is_err());
    }
}

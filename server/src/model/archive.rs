//! The archive of readings: which file a reading belongs into, when files are written, merged and dropped.
//!
//! A file holds readings of one class and one day (UTC), written once. Names are
//! `telemetry/class=C/day=YYYY-MM-DD/NUMBER.parquet`, which engines for data understand as two more columns.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    device::DataClass,
    time::{DAY, Timestamp, span_millis},
};

/// Where the files are in the object store.
pub const PREFIX: &str = "telemetry";

/// How long batches wait for others to share their files: readers look at the inbox too, so nobody waits for it, and a
/// file every quarter of an hour is a hundred a day before they are merged.
pub const GATHER: Duration = Duration::from_secs(15 * 60);
/// Encoded readings of one job: a hundred thousand, 30 MB while they are sorted.
pub const JOB_BYTES: i64 = 8 * 1024 * 1024;
/// Batches of one job: they are marked in one transaction, for which the other writers of SQLite wait 100 ms.
pub const JOB_BATCHES: i64 = 5_000;

/// A file of this size is not merged any more: a few million readings.
pub const LARGE: i64 = 16 * 1024 * 1024;
/// Files of one merge; each has a group of its rows in memory, 3 MB.
pub const MERGED: usize = 16;
/// Bytes of one merge: the new file is in memory until it is stored.
const MERGED_BYTES: i64 = 2 * LARGE;
/// So long after its end few devices still hand over readings of a day.
const LATE: Duration = Duration::from_secs(26 * 3600);
/// Files of a day that is over wait for others that come late, so that not each of them is a merge.
const STRAGGLERS: Duration = Duration::from_secs(6 * 3600);

/// A hundred years, in days.
const MAX_KEPT: u32 = 36_500;

/// How long files that were merged stay for those who began to read them, and readings in the inbox that are in the
/// archive. Whoever reads for longer is told to begin again.
pub const GRACE: Duration = Duration::from_secs(3600);

/// How far the newest reading of a series may be ahead of what the list of series says.
pub const LISTED_EVERY: Duration = Duration::from_secs(3600);

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    /// Number of the job that wrote it.
    pub number: i64,
    /// Class of its readings.
    pub class: DataClass,
    /// Their day, counted from 1970-01-01.
    pub day: i64,
    /// Size.
    pub bytes: i64,
    /// How many readings.
    pub readings: i64,
    /// Smallest device id in it.
    pub first_device: String,
    /// Largest device id in it.
    pub last_device: String,
    /// When it was written.
    pub created_at: Timestamp,
}

impl ArchiveFile {
    /// Its name in the object store. It depends on the job alone: what was interrupted is written again under it.
    pub fn name(&self) -> String {
        let (class, day) = (self.class.as_str(), date(self.day));
        format!("{PREFIX}/class={class}/day={day}/{:016}.parquet", self.number)
    }
}

/// The number of the job in a name that [`ArchiveFile::name`] made; none in others.
pub fn number_in(name: &str) -> Option<i64> {
    name.strip_prefix(PREFIX)?.rsplit('/').next()?.strip_suffix(".parquet")?.parse().ok()
}

/// How long readings are kept, by class, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Needed to update safely, and to show later that it was: five years.
    pub essential: u32,
    /// How the machine is: two years, to compare a season with the one before.
    pub diagnostic: u32,
    /// How it is used: a year.
    pub usage: u32,
    /// Where it is: a month.
    pub location: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { essential: 5 * 365 + 1, diagnostic: 2 * 365, usage: 365, location: 30 }
    }
}

impl Retention {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<String> {
        let days = [self.essential, self.diagnostic, self.usage, self.location];
        let wrong = days.into_iter().find(|days| !(1..=MAX_KEPT).contains(days))?;
        Some(format!("{wrong} is not between 1 day and a hundred years ({MAX_KEPT})"))
    }

    /// The first day of which readings of a class are kept; what is older is dropped, whole days at a time.
    pub fn first_day(&self, class: DataClass, now: Timestamp) -> i64 {
        let days = match class {
            DataClass::Essential => self.essential,
            DataClass::Diagnostic => self.diagnostic,
            DataClass::Usage => self.usage,
            DataClass::Location => self.location,
        };
        day_of(now.millis()) - i64::from(days)
    }
}

/// The day of a moment in ms since 1970, counted from 1970-01-01.
pub fn day_of(millis: i64) -> i64 {
    millis.div_euclid(span_millis(DAY))
}

/// `YYYY-MM-DD` of a day.
pub fn date(day: i64) -> String {
    // Days from civil, backwards (Howard Hinnant): eras of 400 years that begin in March.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    format!("{:04}-{month:02}-{date:02}", year + era * 400)
}

/// A batch that is not in the archive, by what a job needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingBatch {
    /// When it was acknowledged.
    pub received_at: Timestamp,
    /// Its encoded bytes.
    pub bytes: i64,
}

/// How many of the batches that wait longest go into the next job; none while they may wait for more.
pub fn job_of(waiting: &[WaitingBatch], now: Timestamp) -> usize {
    let Some(oldest) = waiting.first() else { return 0 };
    let mut bytes = 0;
    let fitting = waiting.iter().take_while(|batch| {
        bytes += batch.bytes;
        bytes <= JOB_BYTES
    });
    // One that is larger than a job is a job.
    let count = fitting.count().max(1);
    let is_full = count < waiting.len() || i64::try_from(waiting.len()).unwrap_or(i64::MAX) >= JOB_BATCHES;
    if is_full || now.since(oldest.received_at) >= GATHER { count } else { 0 }
}

/// Which of the files of one class and day, smallest first, are merged now: as few as two once the day is over, else
/// as many as make it worth while.
pub fn to_merge(files: &[ArchiveFile], now: Timestamp) -> &[ArchiveFile] {
    let mut bytes = 0;
    let fitting = files.iter().take(MERGED).take_while(|file| {
        bytes += file.bytes;
        file.bytes < LARGE && bytes <= MERGED_BYTES
    });
    let chosen = &files[..fitting.count()];
    let Some(first) = chosen.first() else { return &[] };
    let end_of_day = Timestamp::from_millis((first.day + 1).saturating_mul(span_millis(DAY)));
    let newest = chosen.iter().map(|file| file.created_at).max().unwrap_or(now);
    let is_settled = now.since(end_of_day) >= LATE && now.since(newest) >= STRAGGLERS;
    if chosen.len() >= MERGED || (chosen.len() >= 2 && is_settled) { chosen } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_356_185);

    fn file(number: i64, bytes: i64, age: Duration) -> ArchiveFile {
        ArchiveFile {
            number,
            class: DataClass::Usage,
            day: day_of(NOW.millis()),
            bytes,
            readings: 1,
            first_device: "a".to_owned(),
            last_device: "b".to_owned(),
            created_at: NOW.before(age),
        }
    }

    #[test]
    fn dates_and_names() {
        for (day, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (20_779, "2026-11-22"),
            (20_819, "2027-01-01"),
        ] {
            assert_eq!(date(day), text);
        }
        let file = file(7, 1, DAY);
        assert_eq!(file.name(), "telemetry/class=usage/day=2026-11-22/0000000000000007.parquet");
        assert_eq!(number_in(&file.name()), Some(7));
        assert_eq!(number_in("segments/0000000000000007.parquet"), None);
        assert_eq!(number_in("telemetry/class=usage/readme"), None);
        assert_eq!((day_of(-1), day_of(86_399_999), day_of(86_400_000)), (-1, 0, 1));
    }

    #[test]
    fn batches_wait_for_others_but_not_long() {
        let batch = |minutes: u64, bytes| WaitingBatch {
            received_at: NOW.before(Duration::from_secs(60 * minutes)),
            bytes,
        };
        assert_eq!(job_of(&[], NOW), 0);
        assert_eq!(job_of(&[batch(14, 100), batch(0, 100)], NOW), 0);
        assert_eq!(job_of(&[batch(15, 100), batch(0, 100)], NOW), 2);
        assert_eq!(job_of(&[batch(1, JOB_BYTES - 1), batch(0, 1)], NOW), 0);
        assert_eq!(job_of(&[batch(1, JOB_BYTES - 1), batch(0, 1), batch(0, 1)], NOW), 2);
        assert_eq!(job_of(&[batch(1, 2 * JOB_BYTES), batch(0, 1)], NOW), 1);
        let many = vec![batch(0, 1); usize::try_from(JOB_BATCHES).unwrap()];
        assert_eq!(job_of(&many, NOW), many.len());
    }

    #[test]
    fn small_files_are_merged_when_it_is_worth_while() {
        let small = |count: i64, age| (0..count).map(|n| file(n, 1_000, age)).collect::<Vec<_>>();
        assert_eq!(to_merge(&small(15, DAY), NOW).len(), 0, "the day is not over");
        assert_eq!(to_merge(&small(40, Duration::ZERO), NOW).len(), MERGED);
        let later = NOW.after(3 * DAY);
        assert_eq!(to_merge(&small(2, DAY), later).len(), 2);
        assert_eq!(to_merge(&small(1, DAY), later).len(), 0);
        let mut straggler = small(2, DAY);
        straggler[1].created_at = later;
        assert_eq!(to_merge(&straggler, later).len(), 0, "others may come late too");
        assert_eq!(to_merge(&[file(1, LARGE, DAY), file(2, LARGE, DAY)], later).len(), 0);
        let mut sizes: Vec<_> = (0..9).map(|n| file(n, LARGE / 3, DAY)).collect();
        sizes.push(file(10, LARGE, DAY));
        assert_eq!(to_merge(&sizes, later).len(), 6, "no more than fit in memory");
    }

    #[test]
    fn what_is_kept_ends_on_a_day() {
        let keep = Retention { location: 30, ..Retention::default() };
        assert_eq!(keep.first_day(DataClass::Location, NOW), day_of(NOW.millis()) - 30);
        assert_eq!(date(keep.first_day(DataClass::Essential, NOW)), "2021-11-22");
    }
}

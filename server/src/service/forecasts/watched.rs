//! The series of one device and its alerts, while a chunk of its batches is taken in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use slipway_insight::{Side, State, StateError};

use super::{
    super::{Result, alert_book::AlertBook, cohorts::Fits, device_cache::DeviceEntry},
    judged::{Judged, Oddest},
    tracked::{Reading as Taken, Tracked, Tracks},
    worn::Worn,
};
use crate::{
    model::{
        alert::Alert,
        anomaly_rules::AnomalyRules,
        cohort::Cohort,
        facts::Facts,
        limit::{Limit, wear},
        reading::{MAX_SERIES, Reading},
        time::{DAY, Timestamp},
    },
    store::{
        Tx,
        cohorts::LifeRow,
        series::{PAGE, SeriesPage, SeriesRow},
        tracks::TrackRow,
        wear::PartRow,
    },
};

/// Readings that were older than this when they came are history: a device that was offline hands over its backlog
/// in order, and what counts is where it ends. Two days, so that a sensor that is read once a day is never history.
const FRESH: Duration = DAY.saturating_mul(2);

/// Limits by the metric that they are about.
pub(super) struct Limits<'a>(HashMap<&'a str, Vec<&'a Limit>>);

impl<'a> Limits<'a> {
    pub fn new(all: &'a [Limit]) -> Self {
        let mut by_metric: HashMap<&str, Vec<&Limit>> = HashMap::new();
        for limit in all {
            by_metric.entry(limit.metric.as_str()).or_default().push(limit);
        }
        Limits(by_metric)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that judge a series of a device. An exception, which names the device, takes the place of those on its
    /// side that do not; a bound that is not learned yet judges nothing.
    fn about(&self, device: &DeviceEntry, component: &str, metric: &str, unit: &str) -> Vec<&'a Limit> {
        let is_known = |limit: &Limit| {
            let learned = limit.learned.as_ref();
            learned.is_none_or(|learned| learned.bound_of(&**device, component, unit).is_some())
        };
        let of_metric = self.0.get(metric).into_iter().flatten().copied();
        let mut about: Vec<&Limit> = of_metric
            .filter(|limit| limit.is_about(component, metric) && limit.selector.matches(&**device))
            .filter(|limit| is_known(limit))
            .collect();
        let excepted: Vec<Side> = about
            .iter()
            .filter(|limit| limit.is_exception() && limit.takes_unit(unit))
            .map(|limit| limit.side)
            .collect();
        about.retain(|limit| limit.is_exception() || !excepted.contains(&limit.side));
        about
    }
}

/// See the module.
pub(super) struct Watched<'a> {
    device: &'a DeviceEntry,
    rules: &'a AnomalyRules,
    book: AlertBook<'a, Facts>,
    /// By component and metric.
    series: Vec<Known>,
    /// How many series each page has.
    pages: BTreeMap<i64, usize>,
    left_out: BTreeSet<(String, String)>,
    tracks: Tracks,
    worn: Worn<'a>,
    fits: &'a Fits,
}

/// What a chunk changed of a device.
pub(super) struct Changes {
    /// Pages with series that had readings.
    pub pages: Vec<SeriesPage>,
    /// Courses that took a sample.
    pub tracks: Vec<TrackRow>,
    /// Parts that reached a limit.
    pub lives: Vec<(Cohort, LifeRow)>,
    /// Parts that wear models follow, as far as they were read.
    pub parts: Vec<PartRow>,
    /// Wear models that no longer follow a part of the device.
    pub gone: Vec<String>,
    /// Alerts that were written.
    pub alerts: Vec<Alert>,
}

/// One series.
struct Known {
    page: i64,
    row: SeriesRow,
    /// None until a reading comes; then `row.state` is what it was before.
    state: Option<State>,
    /// None of a series that no limit watches.
    track: Option<Tracked>,
}

impl<'a> Watched<'a> {
    pub fn new(
        device: &'a DeviceEntry,
        book: AlertBook<'a, Facts>,
        pages: Vec<SeriesPage>,
        tracks: &[TrackRow],
        worn: Worn<'a>,
        rules: &'a AnomalyRules,
        fits: &'a Fits,
    ) -> Self {
        let counts = pages.iter().map(|page| (page.page, page.series.len())).collect();
        let known = |page: SeriesPage| {
            page.series.into_iter().map(move |row| Known { page: page.page, row, state: None, track: None })
        };
        let mut series: Vec<Known> = pages.into_iter().flat_map(known).collect();
        series.sort_by(|a, b| name(&a.row).cmp(&name(&b.row)));
        for row in tracks {
            let wanted = (row.component.as_str(), row.metric.as_str());
            let place = series.binary_search_by(|known| name(&known.row).cmp(&wanted));
            if let Some(known) = place.ok().and_then(|index| series.get_mut(index)) {
                known.track = Tracked::restored(row);
            }
        }
        let tracks = Tracks::new(tracks.len());
        Watched { device, rules, book, series, pages: counts, left_out: BTreeSet::new(), tracks, worn, fits }
    }

    /// How many series were not taken in, because there are too many.
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }

    /// Takes in a batch that was received at `now`, and writes the alerts that change. False when somebody else
    /// changed one of them meanwhile.
    pub async fn take(
        &mut self,
        tx: &mut Tx,
        mut readings: Vec<Reading>,
        limits: &Limits<'_>,
        now: Timestamp,
        mint: impl Fn() -> String,
    ) -> Result<bool> {
        self.book.at(now);
        readings.sort_by(|a, b| (&a.component, &a.metric, a.at).cmp(&(&b.component, &b.metric, b.at)));
        for of_series in readings.chunk_by(|a, b| (&a.component, &a.metric) == (&b.component, &b.metric)) {
            let Some(first) = of_series.first() else { continue };
            let (component, metric) = (first.component.as_str(), first.metric.as_str());
            let place = self.series.binary_search_by(|known| name(&known.row).cmp(&(component, metric)));
            if place.is_err() && self.series.len() >= MAX_SERIES {
                self.left_out.insert((component.to_owned(), metric.to_owned()));
                continue;
            }
            self.worn.note(of_series, now);
            let about = limits.about(self.device, component, metric, &first.unit);
            let oddest = match place {
                Ok(index) => {
                    let known = self.series.get_mut(index);
                    known.map(|known| known.step(self.device, of_series, &about, &mut self.tracks, now))
                }
                Err(index) => self.begin(index, of_series, &about, now),
            };
            let (Ok(index) | Err(index)) = place;
            if let Some(oddest) = oddest
                && !self.judge(tx, index, &about, oddest, now, &mint).await?
            {
                return Ok(false);
            }
        }
        for change in self.worn.step(self.book.alerts(), FRESH, now, &mint) {
            if !self.book.write(tx, change).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A series that was not known before; none when nothing can be made of its readings.
    fn begin(
        &mut self,
        index: usize,
        readings: &[Reading],
        limits: &[&Limit],
        now: Timestamp,
    ) -> Option<Option<Oddest>> {
        let first = readings.first()?;
        let room = self.pages.iter().find(|(_, series)| **series < PAGE).map(|(page, _)| *page);
        let page = room.unwrap_or_else(|| self.pages.keys().next_back().map_or(0, |last| last + 1));
        let row = SeriesRow {
            component: first.component.clone(),
            metric: first.metric.clone(),
            unit: String::new(),
            state: Vec::new(),
            last_value: 0.0,
            last_at: 0,
        };
        let mut known = Known { page, row, state: Some(State::default()), track: None };
        let oddest = known.step(self.device, readings, limits, &mut self.tracks, now);
        known.state.as_ref()?.series.last()?;
        *self.pages.entry(page).or_default() += 1;
        self.series.insert(index, known);
        Some(oddest)
    }

    async fn judge(
        &mut self,
        tx: &mut Tx,
        index: usize,
        limits: &[&Limit],
        oddest: Option<Oddest>,
        now: Timestamp,
        mint: &impl Fn() -> String,
    ) -> Result<bool> {
        let Some(Known { row, state: Some(state), track, .. }) = self.series.get(index) else {
            return Ok(true);
        };
        if now.since(Timestamp::from_millis(row.last_at)) > FRESH {
            return Ok(true);
        }
        if oddest.is_none() && limits.is_empty() && self.book.alerts().is_empty() {
            return Ok(true);
        }
        let track = track.as_ref().map(|tracked| &tracked.track);
        let judged =
            Judged { device: self.device, row, state, series: &state.series, track, fits: self.fits };
        for change in judged.by_limits(self.book.alerts(), limits, mint, now) {
            if !self.book.write(tx, change).await? {
                return Ok(false);
            }
        }
        let is_told = self.rules.tell(self.device, &row.metric);
        match judged.by_itself(self.book.alerts(), limits, oddest, is_told, mint, now) {
            Some(change) => self.book.write(tx, change).await,
            None => Ok(true),
        }
    }

    /// What is to be saved, and what was written.
    pub fn into_changes(self) -> Changes {
        let is_changed = |known: &&Known| known.state.is_some();
        let changed = self.series.iter().filter(is_changed).map(|known| known.page);
        let mut pages: BTreeMap<i64, Vec<SeriesRow>> =
            changed.map(|page| (page, Vec::with_capacity(PAGE))).collect();
        let device_id = self.device.id();
        let mut tracks = Vec::new();
        for mut known in self.series {
            let Some(page) = pages.get_mut(&known.page) else { continue };
            tracks.extend(known.track.and_then(|track| track.into_row(device_id, &known.row)));
            if let Some(state) = known.state {
                known.row.state.clear();
                state.encode(&mut known.row.state);
            }
            page.push(known.row);
        }
        let page = |(page, series)| SeriesPage { device_id: device_id.to_owned(), page, series };
        let (parts, gone) = self.worn.into_rows();
        Changes {
            parts,
            gone,
            pages: pages.into_iter().map(page).collect(),
            tracks,
            lives: self.tracks.lives,
            alerts: self.book.into_changes(),
        }
    }
}

impl Known {
    /// Takes in the readings; returns what was the most unusual among them, if anything is to be told.
    ///
    /// What is older than the newest reading is a batch that came late, and no news. Only where that one was made
    /// after now was the clock of the device ahead: then [`State::step`] sees that it was set back.
    fn step(
        &mut self,
        device: &DeviceEntry,
        readings: &[Reading],
        limits: &[&Limit],
        tracks: &mut Tracks,
        now: Timestamp,
    ) -> Option<Oddest> {
        let wear = wear(limits.iter().copied());
        let mut is_known = false;
        let row = &mut self.row;
        let state = self.state.get_or_insert_with(|| restored(device, row));
        let mut oddest: Option<Oddest> = None;
        for reading in readings {
            if reading.unit != row.unit {
                // Numbers in another unit are another series.
                is_known = state.series.readings() > 0;
                *state = State::default();
                row.unit.clone_from(&reading.unit);
                oddest = None;
            }
            let Some(at) = reading.at else { continue };
            let last = state.series.last().map(|(last_ms, _)| last_ms);
            if last.is_some_and(|last_ms| at.millis() <= last_ms && last_ms <= now.millis()) {
                continue;
            }
            let settled = limits.first().and_then(|limit| state.series.settled(limit.side));
            let before = last.zip(settled);
            let stepped = state.step(at.millis(), reading.value, &reading.boot_id, wear);
            if !limits.is_empty() {
                let series = &state.series;
                let taken = Taken { device, row, series, before, step: stepped.step, is_known, limits };
                tracks.follow(&mut self.track, &taken);
            }
            let told =
                stepped.anomaly.and_then(|anomaly| Oddest::new(anomaly, at, !reading.boot_id.is_empty()));
            if let Some(told) = told
                && now.since(at) <= FRESH
                && oddest.as_ref().is_none_or(|most| told.anomaly.score > most.anomaly.score)
            {
                oddest = Some(told);
            }
        }
        if let Some((last_at, last_value)) = state.series.last() {
            (row.last_at, row.last_value) = (last_at, last_value);
        }
        oddest
    }
}

fn name(row: &SeriesRow) -> (&str, &str) {
    (&row.component, &row.metric)
}

fn restored(device: &DeviceEntry, row: &SeriesRow) -> State {
    State::decode(&row.state).unwrap_or_else(|error| {
        // After an upgrade this is how a new layout begins; anything else is worth a look.
        if matches!(error, StateError::Version(_)) {
            tracing::info!(device = device.id(), metric = row.metric, %error, "a series starts afresh");
        } else {
            tracing::error!(device = device.id(), metric = row.metric, %error, "a series starts afresh");
        }
        State::default()
    })
}

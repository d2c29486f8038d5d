//! Readings out of inbox and archive together, each once, a page at a time.

use std::{collections::BTreeSet, sync::Arc, vec::IntoIter};

use bytes::Bytes;
use slipway_archive::{Footer, Group, Names, Row, TAIL, Wanted, footer_length};

use super::{inbox::rows_of, unusable};
use crate::{
    model::{
        archive::{ArchiveFile, GRACE, day_of},
        device::DataClass,
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    objects::ObjectsError,
    service::{Context, Error, Result},
    store::{
        Tx,
        archive::{archive_files_live, archive_through},
        archive_inbox::inbox_of_device,
        inbox::InboxRow,
    },
};

/// Batches of the inbox in one page: at most 1,000 readings each.
const PAGE: i64 = 16;

/// Whose readings.
#[derive(Clone, Debug)]
pub enum Devices {
    /// Of one device.
    One(String),
    /// Of several.
    Many(BTreeSet<String>),
}

/// Which readings.
#[derive(Clone, Debug)]
pub struct Select {
    /// Whose.
    pub devices: Devices,
    /// Of this component only.
    pub component: Option<String>,
    /// Of this metric only.
    pub metric: Option<String>,
    /// From this moment on, ms since 1970.
    pub from: i64,
    /// Before this moment, ms since 1970.
    pub until: i64,
}

/// Readings as of the moment at which this was made, page by page. Holds a group of one file in memory, or a few batches.
///
/// What is not archived yet comes first, by device; then the archive, day by day, each file in the order of device, component,
/// metric and time.
#[derive(Debug)]
pub struct Readings {
    ctx: Context,
    select: Select,
    begun: Timestamp,
    through: i64,
    devices: IntoIter<String>,
    /// Whose batches are being read, and up to which they were.
    inbox: Option<(String, Option<InboxRow>)>,
    files: IntoIter<ArchiveFile>,
    open: Option<(Opened, IntoIter<Group>)>,
    names: Names,
}

/// Everything the archive and the inbox hold of a device: every reading that was acknowledged before this call, exactly
/// once, except what is older than is kept. Memory does not grow with the number of readings.
///
/// Readings that arrive meanwhile may come or not. [`Readings::next`] is refused with `UNAVAILABLE` when files were
/// deleted under a reader who took more than an hour, or by an erasure: begin again then.
pub async fn readings_of_device(ctx: &Context, device_id: &str) -> Result<Readings> {
    let devices = Devices::One(device_id.to_owned());
    let everything = Select { devices, component: None, metric: None, from: i64::MIN, until: i64::MAX };
    Readings::begin(ctx, everything).await
}

impl Readings {
    /// Begins to read.
    pub async fn begin(ctx: &Context, select: Select) -> Result<Self> {
        let mut tx = ctx.db.read().await?;
        let device = match &select.devices {
            Devices::One(device) => device.as_str(),
            Devices::Many(_) => "",
        };
        // One moment for both: what is in no file of these is in the inbox.
        let (first, last) = (day_of(select.from), day_of(select.until.saturating_sub(1)));
        let files = archive_files_live(&mut tx, first, last, device).await?;
        let through = archive_through(&mut tx).await?;
        drop(tx);
        let devices = match &select.devices {
            Devices::One(device) => vec![device.clone()],
            Devices::Many(devices) => devices.iter().cloned().collect(),
        };
        Ok(Readings {
            ctx: ctx.clone(),
            begun: ctx.clock.now(),
            through,
            devices: devices.into_iter(),
            inbox: None,
            files: files.into_iter(),
            open: None,
            names: Names::default(),
            select,
        })
    }

    /// The next page, with one reading at least; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>> {
        loop {
            let page = match self.next_of_inbox().await? {
                Some(page) => Some(page),
                None => self.next_of_files().await?,
            };
            let Some(mut page) = page else { return Ok(None) };
            page.retain(|row| self.select.holds(row));
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }

    async fn next_of_inbox(&mut self) -> Result<Option<Vec<Row>>> {
        loop {
            let (device, after) = match self.inbox.take() {
                Some(place) => place,
                None => match self.devices.next() {
                    Some(device) => (device, None),
                    None => return Ok(None),
                },
            };
            // Batches that were archived meanwhile keep their readings for so long.
            if self.ctx.clock.now().since(self.begun) >= GRACE {
                return Err(changed("reading took more than an hour").into());
            }
            let mut tx = self.ctx.db.read().await?;
            let page = inbox_page(&mut tx, &device, self.through, after.as_ref()).await?;
            drop(tx);
            if let Some((rows, last)) = page {
                self.inbox = Some((device, Some(last)));
                return Ok(Some(rows.into_iter().map(|(_, row)| row).collect()));
            }
        }
    }

    async fn next_of_files(&mut self) -> Result<Option<Vec<Row>>> {
        let wanted = self.select.wanted();
        loop {
            if let Some((file, groups)) = &mut self.open {
                for group in groups.by_ref() {
                    if wanted.may_be_in(&group) && self.select.may_be_in(&group) {
                        return file.rows(&self.ctx, &group, &wanted, &mut self.names).await.map(Some);
                    }
                }
            }
            let Some(file) = self.files.next() else { return Ok(None) };
            let file = Opened::open(&self.ctx, &file).await?;
            let groups = file.groups()?;
            self.names = Names::default();
            self.open = Some((file, groups.into_iter()));
        }
    }
}

/// Some of the readings of a device that are in no file of jobs up to `through`, from the batches after `after`, and the
/// last of these batches; none at the end.
pub(in crate::service) async fn inbox_page(
    tx: &mut Tx,
    device_id: &str,
    through: i64,
    after: Option<&InboxRow>,
) -> Result<Option<(Vec<(DataClass, Row)>, InboxRow)>> {
    let mut batches = inbox_of_device(tx, device_id, through, after, PAGE).await?;
    let mut names = Names::default();
    let rows = batches.iter().filter_map(|batch| rows_of(batch, &mut names)).flatten().collect();
    Ok(batches.pop().map(|last| (rows, last)))
}

impl Select {
    fn wanted(&self) -> Wanted {
        let shared = |text: &Option<String>| text.as_deref().map(Arc::from);
        let device = match &self.devices {
            Devices::One(device) => Some(Arc::from(device.as_str())),
            Devices::Many(_) => None,
        };
        Wanted { device, component: shared(&self.component), metric: shared(&self.metric) }
    }

    fn may_be_in(&self, group: &Group) -> bool {
        match &self.devices {
            Devices::One(_) => true,
            Devices::Many(devices) => {
                let (first, last) = &group.devices;
                first <= last && devices.range::<String, _>(first..=last).next().is_some()
            }
        }
    }

    fn holds(&self, row: &Row) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        let is_device = match &self.devices {
            Devices::One(device) => device == &*row.device,
            Devices::Many(devices) => devices.contains(&*row.device),
        };
        is_device
            && is(&self.component, &row.component)
            && is(&self.metric, &row.metric)
            && row.time >= self.from
            && row.time < self.until
    }
}

/// A file of which the directory was read.
#[derive(Debug)]
pub(super) struct Opened {
    name: String,
    footer: Footer,
    /// Its last bytes, from `tail_at` on: all of a small file.
    tail: Bytes,
    tail_at: u64,
}

impl Opened {
    pub(super) async fn open(ctx: &Context, file: &ArchiveFile) -> Result<Self> {
        let name = file.name();
        let size = u64::try_from(file.bytes).unwrap_or(0);
        let mut tail = fetch(ctx, &name, size.saturating_sub(TAIL)..size).await?;
        let needed = footer_length(&tail).map_err(|error| unusable(&name, &error))?.min(size);
        if needed > tail.len() as u64 {
            tail = fetch(ctx, &name, size - needed..size).await?;
        }
        let class = Arc::from(file.class.as_str());
        let footer = Footer::read(&tail, class).map_err(|error| unusable(&name, &error))?;
        let tail_at = size.saturating_sub(tail.len() as u64);
        Ok(Opened { name, footer, tail, tail_at })
    }

    pub(super) fn groups(&self) -> Result<Vec<Group>> {
        self.footer.groups().map_err(|error| unusable(&self.name, &error))
    }

    pub(super) async fn rows(
        &self,
        ctx: &Context,
        group: &Group,
        wanted: &Wanted,
        names: &mut Names,
    ) -> Result<Vec<Row>> {
        let within = |at: u64| at.checked_sub(self.tail_at).and_then(|at| usize::try_from(at).ok());
        let held = within(group.range.start).zip(within(group.range.end));
        let bytes = match held.filter(|(start, end)| start <= end && *end <= self.tail.len()) {
            Some((start, end)) => self.tail.slice(start..end),
            None => fetch(ctx, &self.name, group.range.clone()).await?,
        };
        self.footer.rows(group, bytes, wanted, names).map_err(|error| unusable(&self.name, &error))
    }
}

async fn fetch(ctx: &Context, name: &str, range: std::ops::Range<u64>) -> Result<Bytes> {
    match ctx.objects.file_range(name, range).await {
        Ok(bytes) => Ok(bytes),
        Err(ObjectsError::FileNotFound(_)) => Err(changed("a file was deleted while it was read").into()),
        Err(error) => Err(Error::from(error)),
    }
}

fn changed(why: &str) -> Refusal {
    Refusal::new(
        Reason::Unavailable,
        format!("the archive of readings has changed: {why}"),
        "ask again; for a shorter time, or for fewer devices, if it took long",
    )
}

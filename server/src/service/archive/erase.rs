//! Nothing of a device is left in the archive, or nothing of one class.

use slipway_archive::{Names, Wanted};

use super::{finish, read::Opened, recover, rewrite, upkeep};
use crate::{
    model::{archive::ArchiveFile, device::DataClass, time::Timestamp},
    service::{Context, Result},
    store::{
        archive::{JobKind, archive_files_gone, archive_files_live},
        archive_series::archive_series_delete,
    },
};

/// What an erasure took out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Files that were written again, or dropped.
    pub files: usize,
    /// Readings of the device in them.
    pub readings: i64,
}

/// Takes every reading of the device, or of one class of it, out of the archive, and the list of its series.
///
/// Call it when those readings are deleted from the inbox by a committed transaction, and no new ones are taken: what is
/// still in the inbox would be archived later. When this returns, no object in the archive's place holds a byte of the device:
/// files that had readings of it were replaced by new ones without them, those that had been replaced before are deleted, and
/// so is what a run that was cut off left behind. Readers who are at a deleted file are told to begin again.
///
/// Cut off or failed at any point, the archive is whole, with some of the device's readings still in it: call it again. What is
/// left of a job that was cut off is finished by the next run of the archive in any case. Waits for its turn, so for a job of
/// another replica that is under way.
pub async fn erase_device(ctx: &Context, device_id: &str, class: Option<DataClass>) -> Result<Erased> {
    let turn = ctx.archive.turn(ctx).await?;
    recover(ctx, &turn).await?;
    let mut tx = ctx.db.read().await?;
    let files = archive_files_live(&mut tx, i64::MIN, i64::MAX, device_id).await?;
    drop(tx);
    let mut erased = Erased::default();
    // A file holds readings of one class.
    let is_of_class = |file: &ArchiveFile| class.is_none_or(|class| file.class == class);
    for file in files.into_iter().filter(is_of_class) {
        let readings = count(ctx, &file, device_id).await?;
        if readings > 0 {
            let file = std::slice::from_ref(&file);
            let job = rewrite::begin(ctx, &turn, JobKind::Erase, device_id, file).await?;
            finish(ctx, &turn, &job).await?;
            erased.files += 1;
            erased.readings += readings;
        }
    }
    // Also those that were merged within the hour, and those that were just replaced.
    let mut tx = ctx.db.read().await?;
    let gone = archive_files_gone(&mut tx, Timestamp::from_millis(i64::MAX), i64::MAX).await?;
    drop(tx);
    let may_hold = |file: &ArchiveFile| {
        is_of_class(file) && file.first_device.as_str() <= device_id && device_id <= file.last_device.as_str()
    };
    let gone: Vec<ArchiveFile> = gone.into_iter().filter(may_hold).collect();
    upkeep::delete(ctx, &gone).await?;
    for name in upkeep::find_strays(ctx, &turn).await? {
        ctx.objects.file_delete(&name).await?;
    }
    let mut tx = ctx.db.write().await?;
    archive_series_delete(&mut tx, device_id, class).await?;
    tx.commit().await?;
    Ok(erased)
}

/// How many readings of the device a file holds.
async fn count(ctx: &Context, file: &ArchiveFile, device_id: &str) -> Result<i64> {
    let opened = Opened::open(ctx, file).await?;
    let wanted = Wanted { device: Some(device_id.into()), ..Wanted::default() };
    let mut readings = 0;
    for group in opened.groups()? {
        if wanted.may_be_in(&group) {
            let rows = opened.rows(ctx, &group, &wanted, &mut Names::default()).await?;
            readings += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        }
    }
    Ok(readings)
}

//! `slipway device import`: machines that are known by their keys before they enrol.

use std::path::Path;

use serde_json::json;
use slipway_proto::v1;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{
    args::DeviceImport,
    connect::Api,
    error::Failure,
    human, input,
    output::{Console, Format},
    registrations::{self, Line},
};

/// A million machines fit.
const FILE_LIMIT: u64 = 256 << 20;
/// What the server takes at once, each time all of it or nothing.
const BATCH: usize = 1_000;

/// Registers what the file says.
///
/// # Errors
/// What is wrong with the file, and where; or why the server refused it.
pub async fn run(args: DeviceImport, api: &Api, console: &Console) -> Result<(), Failure> {
    let text = input::read_text(&args.file, FILE_LIMIT)?;
    let lines = registrations::read(&args.file, &text, &args.product)?;
    let is_one = lines.len() <= BATCH;
    let mut sum = v1::ImportDevicesResponse::default();
    if args.dry_run || !is_one {
        // All of it is looked at before any of it is registered.
        sum = import(&args.file, &lines, true, api).await?;
    }
    if !args.dry_run {
        sum = import(&args.file, &lines, false, api).await?;
    }
    if console.format == Format::Json {
        return console.json(&json!({
            "createdCount": sum.created_count,
            "unchangedCount": sum.unchanged_count,
            "correctedCount": sum.corrected_count,
            "revokedCount": sum.revoked_count,
            "validateOnly": args.dry_run,
        }));
    }
    let would = if args.dry_run { "would be " } else { "" };
    let corrected = match sum.corrected_count {
        0 => String::new(),
        count => format!("{count} {would}corrected, "),
    };
    let revoked = match sum.revoked_count {
        0 => String::new(),
        count => format!(" ({count} revoked, which this does not undo)"),
    };
    console.say(&format!(
        "{} {would}registered, {corrected}{} there already{revoked}",
        human::counted(sum.created_count.into(), "device"),
        sum.unchanged_count
    ));
    Ok(())
}

async fn import(
    path: &Path,
    lines: &[Line],
    validate_only: bool,
    api: &Api,
) -> Result<v1::ImportDevicesResponse, Failure> {
    let mut sum = v1::ImportDevicesResponse::default();
    for batch in lines.chunks(BATCH) {
        let registrations = batch.iter().map(|line| line.registration.clone()).collect();
        let request = v1::ImportDevicesRequest { registrations, validate_only };
        let answer = api.fleet().import_devices(request).await;
        let answer = answer.map_err(|status| located(path, batch, status))?.into_inner();
        sum.created_count += answer.created_count;
        sum.unchanged_count += answer.unchanged_count;
        sum.corrected_count += answer.corrected_count;
        sum.revoked_count += answer.revoked_count;
    }
    Ok(sum)
}

/// What the server says of an entry, with the place in the file.
fn located(path: &Path, batch: &[Line], status: Status) -> Failure {
    let details = status.get_error_details();
    let field = details.bad_request().and_then(|bad| bad.field_violations.first().map(|v| v.field.clone()));
    let place = field.as_deref().and_then(|field| {
        let (index, rest) = field.strip_prefix("registrations[")?.split_once(']')?;
        let line = batch.get(index.parse::<usize>().ok()?)?;
        Some(line.place(rest.trim_start_matches('.')))
    });
    let Some(place) = place else { return status.into() };
    let found = registrations::refused(path, place, status.message().to_owned());
    match crate::error::reason_of(&status) {
        Some(reason) => found.reason(reason),
        None => found,
    }
}

//! `slipway device export` and `slipway device erase`: what a device sent, for whom it is about.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde_json::{Value, json};
use slipway_proto::v1::{self, export_device_response::Record};

use crate::{args::ClassName, connect::Api, error::Failure, json, names, output::Console};

/// Writes everything the server holds of a device as lines of JSON, into a file that only the caller may read.
///
/// # Errors
/// A file that is there already, and what server and file system say; then there is no file.
pub async fn export(device: &str, out: &Path, api: &Api, console: &Console) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file("write", out, &error);
    if out.exists() {
        return Err(Failure::new(format!("{} is there already", out.display()))
            .hint("name another file, or remove this one first"));
    }
    let request = v1::ExportDeviceRequest { name: names::full("devices", device) };
    let mut stream = api.privacy().export_device(request).await?.into_inner();
    let mut name = out.file_name().ok_or(io::ErrorKind::InvalidInput.into()).map_err(failed)?.to_owned();
    name.push(".part");
    let part = out.with_file_name(name);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut file = BufWriter::new(file.map_err(failed)?);
    let mut lines: u64 = 0;
    let mut fill = async || {
        while let Some(message) = stream.message().await? {
            for line in message.record.map(values).transpose()?.unwrap_or_default() {
                writeln!(file, "{line}").map_err(failed)?;
                lines += 1;
            }
        }
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failed)
    };
    let filled: Result<(), Failure> = fill().await;
    // Half an export looks like one: it gets its name when it is whole.
    match filled.and_then(|()| fs::rename(&part, out).map_err(failed)) {
        Ok(()) => {}
        Err(failure) => {
            let _ = fs::remove_file(&part);
            return Err(failure);
        }
    }
    console.say(&format!("{}: {lines} lines in {}", names::short(device), out.display()));
    Ok(())
}

/// Erases everything a device sent, or one class of it.
///
/// # Errors
/// Without `--yes`, and what the server says.
pub async fn erase(
    device: &str,
    class: Option<ClassName>,
    yes: bool,
    api: &Api,
    console: &Console,
) -> Result<(), Failure> {
    let name = names::full("devices", device);
    let what =
        class.map_or_else(|| "every reading".to_owned(), |class| format!("every {} reading", class.word()));
    let alerts = if class.is_none() { "every alert" } else { "the alerts about them" };
    if !yes {
        return Err(Failure::usage(format!(
            "this erases {what} and {alerts} of {} for good; nobody can bring them back",
            names::short(&name)
        ))
        .hint("say so with --yes; slipway device export keeps a copy"));
    }
    let request = v1::EraseDeviceRequest {
        name: name.clone(),
        data_class: class.map_or(0, |class| class.wire().into()),
    };
    let answer = api.privacy().erase_device(request).await?.into_inner();
    let said = if answer.finished {
        "is erased: the readings, the series and the alerts about them are gone"
    } else {
        "is being erased; the server goes on by itself. The same command again says when it is done"
    };
    let what = class.map_or_else(|| "what".to_owned(), |class| format!("the {} data that", class.word()));
    console.say(&format!("{what} {} sent {said}", names::short(&name)));
    Ok(())
}

/// One line a thing, named by its kind.
fn values(record: Record) -> Result<Vec<Value>, Failure> {
    let line = |kind: &str, value: Value| json!({ kind: value });
    Ok(match record {
        Record::Device(device) => vec![line("device", json::message("Device", &device)?)],
        Record::Update(update) => vec![line("update", json::message("Update", &update)?)],
        Record::Alert(alert) => vec![line("alert", json::message("Alert", &alert)?)],
        Record::Readings(page) => {
            let readings = page.readings.iter();
            let lines = readings.map(|one| Ok(line("reading", json::message("Reading", one)?)));
            lines.collect::<Result<_, Failure>>()?
        }
        Record::Metric(metric) => vec![line("metric", json::message("ExportedMetric", &metric)?)],
        Record::Series(series) => vec![line("series", json::message("ExportedSeries", &series)?)],
    })
}

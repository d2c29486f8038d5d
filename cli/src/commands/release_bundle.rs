//! `slipway release bundle`: a release in one file, for devices without a network.

use serde_json::json;
use slipway_payload::{FRAME_MAX, Segment};
use slipway_trust::Date;

use crate::{
    args::{Connection, ReleaseBundle},
    bundle::{
        file::Output,
        gather::{self, Gathered},
    },
    connect::Api,
    error::Failure,
    human, names,
    output::{Console, Format, facts},
    progress::Progress,
    publish::upload::bytes_of,
};

/// A frame that arrives wrong is asked for so often.
const TRIES: u32 = 3;

/// Writes the file.
///
/// # Errors
/// Why it was not written.
pub async fn bundle(args: ReleaseBundle, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let name = names::release(&args.release);
    let (product, version) = names::short(&name).split_once('/').unwrap_or_default();
    slipway_trust::product_name(product)
        .map_err(|error| Failure::usage(format!("`{}` is no release: {error}", args.release)))?;
    let api = Api::open(connection, console).await?;
    let now = Date::from_millis(console.clock.now());
    let gathered = gather::gather(&api, product, version, &args.device, now).await?;
    let mut output = Output::open(&args.out, &gathered.head)?;
    let mut progress = Progress::new(console, "fetching", bytes_of(&gathered.segments));
    for segment in &gathered.segments {
        if !output.has(segment) {
            let frame = fetch(&api, segment).await?;
            output.write(segment, &frame)?;
        }
        progress.add(segment.len().into());
    }
    progress.finish();
    let bytes = output.finish()?;
    show(&args, &name, &gathered, bytes, console)
}

/// A frame as the server stores it, verified.
async fn fetch(api: &Api, segment: &Segment) -> Result<Vec<u8>, Failure> {
    let path = format!("/segments/{}", segment.digest());
    let mut tries = 0;
    loop {
        let Some(frame) = gather::fetch(api, &path, FRAME_MAX).await? else {
            return Err(Failure::new(format!("the server lacks the segment {}", segment.digest()))
                .hint("publish the same image again under a new version: that sends what is missing")
                .reason("SEGMENT_UNAVAILABLE"));
        };
        tries += 1;
        match slipway_payload::decode(segment, &frame) {
            Ok(_) => return Ok(frame),
            Err(error) if tries == TRIES => {
                return Err(Failure::new(error.to_string())
                    .hint("what the server stores is damaged; look at its disk, and publish the image again")
                    .reason(error.code()));
            }
            Err(_) => {}
        }
    }
}

fn show(
    args: &ReleaseBundle,
    name: &str,
    gathered: &Gathered,
    bytes: u64,
    console: &Console,
) -> Result<(), Failure> {
    let (role, date) = &gathered.until;
    let devices: Vec<&str> = args.device.iter().map(|device| device.trim_start_matches("devices/")).collect();
    match console.format {
        Format::Table => {
            let until = human::moment(&human::timestamp(date.millis()), console.clock.now());
            console.print(&facts(&[
                ("release", names::short(name).to_owned()),
                ("file", format!("{} ({})", args.out.display(), human::bytes(bytes))),
                ("segments", gathered.segments.len().to_string()),
                (
                    "for",
                    if devices.is_empty() {
                        "devices that take what is not assigned to them".to_owned()
                    } else {
                        devices.join(", ")
                    },
                ),
                ("good until", format!("{until}, when {role} expires")),
            ]))
        }
        Format::Json => console.json(&json!({
            "release": name,
            "file": args.out,
            "bytes": bytes,
            "segments": gathered.segments.len(),
            "devices": devices.iter().map(|id| names::full("devices", id)).collect::<Vec<_>>(),
            "expireTime": date.to_string(),
            "expiresFirst": role,
        })),
    }
}

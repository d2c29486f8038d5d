//! `slipway release`: versions of a product, signed by their publisher.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use slipway_payload::{Cut, Segment};
use slipway_proto::v1;
use slipway_trust::{Date, Version, product_name};
use tonic::Status;

use crate::{
    args::{Connection, ListArgs, ReleaseCommand, ReleasePublish},
    commands::{listed, pages},
    connect::Api,
    duration,
    error::{Failure, reason_of},
    human, json,
    keys::{KeyDir, KeyName},
    names,
    output::{Console, Format, columns, facts},
    progress::Progress,
    publish::{
        current::Current,
        image::Image,
        sign::{self, Draft, Signed},
        upload::{self, Sent},
    },
    retry::Backoff,
    rng,
};

/// Other publishers that may come first before this one gives up.
const SIGN_ATTEMPTS: usize = 8;
/// Of the last call, when the connection breaks.
const CALL_ATTEMPTS: u32 = 8;

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: ReleaseCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Publish(args) => publish(args, connection, console).await,
        ReleaseCommand::List(args) => list(args, &Api::open(connection, console).await?, console).await,
        ReleaseCommand::Show { release } => {
            let api = Api::open(connection, console).await?;
            let request = v1::GetReleaseRequest { name: names::release(&release) };
            let release = api.releases().get_release(request).await?.into_inner();
            console.show("Release", &release, |release| render(release, console.clock.now()))
        }
    }
}

/// From an image to a published release. What can be refused is refused before anything is sent.
async fn publish(args: ReleasePublish, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let stopwatch = console.clock.stopwatch();
    let version = version(&args)?;
    let image = Arc::new(Image::open(&args.image)?);
    let mut keys = KeyDir::new(&args.keys, args.passphrase_file.as_deref());
    let publisher = keys.load(KeyName::Publisher)?;
    let api = Api::open(connection, console).await?;
    let current = Current::fetch(&api, &keys, &args.product).await?;
    sign::next_counter(&current, &args.product, &version)?;
    let now = Date::from_millis(console.clock.now());
    let targets_key = match sign::needs_targets(&current, &args.product, &publisher, now)? {
        true => Some(keys.load(KeyName::Targets)?),
        false => None,
    };

    let cut = cut(&image, console).await?;
    let draft = draft(&args, version, cut);
    let segments = slipway_payload::segments(&draft.artifact)
        .map_err(|error| Failure::bug(format!("the segments do not fit the image: {error}")))?;
    let missing = upload::missing(&api, &segments).await?;
    // Signed once before anything is sent: what cannot be signed shall cost nobody an upload.
    let mut signed = sign::sign(&current, &draft, &publisher, targets_key.as_ref(), now)?;
    if args.dry_run {
        return dry_run(&args, signed, &segments, &missing, &api, console).await;
    }
    let sent = upload::upload(&api, &image, missing, console).await?;
    image.check_unchanged()?;

    for _ in 0..SIGN_ATTEMPTS {
        match call(&api, request(&args, &signed, false)).await {
            Ok(release) => return done(&release, &segments, sent, stopwatch.elapsed(), console),
            Err(status) if reason_of(&status).as_deref() == Some("PUBLISHED_MEANWHILE") => {
                console.say("somebody else published meanwhile: signing again on top of it");
            }
            Err(status) => return Err(status.into()),
        }
        let current = Current::fetch(&api, &keys, &args.product).await?;
        let needed = sign::needs_targets(&current, &args.product, &publisher, now)?;
        let targets_key = if needed { Some(keys.load(KeyName::Targets)?) } else { None };
        signed = sign::sign(&current, &draft, &publisher, targets_key.as_ref(), now)?;
    }
    Err(Failure::new(format!("others published {SIGN_ATTEMPTS} times while this release was signed"))
        .hint("agree on who publishes, and run the command again; the segments are there already")
        .reason("PUBLISHED_MEANWHILE"))
}

fn version(args: &ReleasePublish) -> Result<Version, Failure> {
    product_name(&args.product).map_err(|error| {
        Failure::new(error.to_string())
            .hint(
                "a product has 1 to 32 characters of a-z, 0-9 and '-', and is not named like a signing role",
            )
            .reason("MANIFEST_INVALID")
    })?;
    args.version.parse::<Version>().map_err(|error| {
        Failure::new(format!("`{}` is not a version: {error}", args.version))
            .hint("write for example 2.0.0, 2.1 or 2.1.0-rc1")
            .reason("MANIFEST_INVALID")
    })
}

fn draft(args: &ReleasePublish, version: Version, cut: Cut) -> Draft {
    let mut hardware = args.hardware.clone();
    hardware.sort();
    hardware.dedup();
    Draft {
        product: args.product.clone(),
        version,
        artifact: cut.into_artifact(&args.component, hardware),
        floor: args.floor,
        min_from: args.min_from,
    }
}

/// Reads and hashes beside the runtime, which keeps the connection alive meanwhile.
async fn cut(image: &Arc<Image>, console: &Console) -> Result<Cut, Failure> {
    let mut progress = Progress::new(console, "reading", image.size());
    let image = image.clone();
    let work = move || {
        let cut = image.cut(&mut progress);
        progress.finish();
        cut
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::bug(format!("reading the image stopped: {error}")))?
}

fn request(args: &ReleasePublish, signed: &Signed, validate_only: bool) -> v1::PublishReleaseRequest {
    v1::PublishReleaseRequest {
        product: args.product.clone(),
        targets: signed.targets.clone(),
        product_metadata: signed.product.clone(),
        manifest: signed.manifest.clone(),
        allow_new_hardware: args.new_hardware,
        validate_only,
        request_id: rng::request_id(),
    }
}

/// The same request, with the same id, until it is answered: a lost answer publishes nothing twice.
async fn call(api: &Api, request: v1::PublishReleaseRequest) -> Result<v1::Release, Status> {
    let mut backoff = Backoff::default();
    loop {
        match api.releases().publish_release(request.clone()).await {
            Ok(release) => return Ok(release.into_inner()),
            Err(status) => {
                if backoff.pause(status.clone(), CALL_ATTEMPTS).await.is_err() {
                    return Err(status);
                }
            }
        }
    }
}

async fn dry_run(
    args: &ReleasePublish,
    signed: Signed,
    segments: &[Segment],
    missing: &[Segment],
    api: &Api,
    console: &Console,
) -> Result<(), Failure> {
    match call(api, request(args, &signed, true)).await {
        Ok(_) => {}
        // Expected: nothing was sent.
        Err(status) if reason_of(&status).as_deref() == Some("SEGMENTS_MISSING") && !missing.is_empty() => {}
        Err(status) => return Err(status.into()),
    }
    console.say("the release is valid; nothing was sent, nothing was published");
    let (lacking, bytes) = (missing.len() as u64, upload::bytes_of(missing));
    match console.format {
        Format::Table => console.print(&facts(&[
            ("release", format!("{}/{}", args.product, args.version)),
            ("counter", signed.counter.to_string()),
            ("segments", format!("{}, {lacking} of them to send", segments.len())),
            ("to send", format!("{} before compression", human::bytes(bytes))),
        ])),
        Format::Json => console.json(&json!({
            "release": names::release(&format!("{}/{}", args.product, args.version)),
            "counter": signed.counter,
            "segments": segments.len(),
            "segmentsToSend": lacking,
            "bytesToSend": bytes,
        })),
    }
}

fn done(
    release: &v1::Release,
    segments: &[Segment],
    sent: Sent,
    took: Duration,
    console: &Console,
) -> Result<(), Failure> {
    match console.format {
        Format::Table => console.print(&summary(release, segments.len() as u64, sent, took)),
        Format::Json => console.json(&json!({
            "release": json::message("Release", release)?,
            "segments": segments.len(),
            "segmentsSent": sent.segments,
            "bytesDecoded": sent.decoded,
            "bytesSent": sent.encoded,
            "seconds": took.as_secs_f64(),
        })),
    }
}

fn summary(release: &v1::Release, segments: u64, sent: Sent, took: Duration) -> String {
    let size: u64 = release.artifacts.iter().map(|artifact| artifact.size).sum();
    let reused = segments.saturating_sub(sent.segments);
    let saved = match sent.decoded {
        0 => "nothing: the server had all of it".to_owned(),
        decoded => {
            let ratio = sent.encoded as f64 / decoded as f64 * 100.0;
            format!("{} for {} ({ratio:.0}%)", human::bytes(sent.encoded), human::bytes(decoded))
        }
    };
    facts(&[
        ("published", names::short(&release.name).to_owned()),
        ("counter", release.counter.to_string()),
        ("size", human::bytes(size)),
        ("segments", format!("{segments}: {} new, {reused} reused", sent.segments)),
        ("sent", saved),
        ("took", duration::show(took)),
    ])
}

async fn list(args: ListArgs, api: &Api, console: &Console) -> Result<(), Failure> {
    let releases = pages(console, args.extent.max, |page_size, page_token| {
        let (mut releases, filter) = (api.releases(), args.filter.clone());
        async move {
            let request = v1::ListReleasesRequest { page_size, page_token, filter };
            let page = releases.list_releases(request).await?.into_inner();
            Ok((page.releases, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Release", &releases, |releases| render_list(releases, console.clock.now()))
}

fn render_list(releases: &[v1::Release], now: i64) -> String {
    let rows: Vec<_> = releases
        .iter()
        .map(|release| {
            let size: u64 = release.artifacts.iter().map(|artifact| artifact.size).sum();
            vec![
                release.product.clone(),
                release.version.clone(),
                release.counter.to_string(),
                artifacts(release),
                human::bytes(size),
                human::maybe_relative(release.create_time.as_ref(), now),
                release.publisher.clone(),
            ]
        })
        .collect();
    let header = ["PRODUCT", "VERSION", "COUNTER", "FOR", "SIZE", "PUBLISHED", "BY"];
    listed(rows.len(), "no releases", columns(&header, &rows))
}

/// `system on gw-a, gw-b`.
fn artifacts(release: &v1::Release) -> String {
    let parts: Vec<String> = release
        .artifacts
        .iter()
        .map(|artifact| format!("{} on {}", artifact.component, artifact.hardware.join(", ")))
        .collect();
    parts.join("; ")
}

fn render(release: &v1::Release, now: i64) -> String {
    let optional = |counter: u64| if counter == 0 { String::new() } else { format!("counter {counter}") };
    let mut text = facts(&[
        ("release", names::short(&release.name).to_owned()),
        ("counter", release.counter.to_string()),
        ("floor", optional(release.floor)),
        ("needs", optional(release.min_from)),
        ("manifest", release.manifest_digest.clone()),
        ("published", human::maybe_moment(release.create_time.as_ref(), now)),
        ("by", release.publisher.clone()),
    ]);
    let rows: Vec<_> = release
        .artifacts
        .iter()
        .map(|artifact| {
            vec![
                artifact.component.clone(),
                artifact.hardware.join(", "),
                human::bytes(artifact.size),
                artifact.segments.to_string(),
                artifact.digest.clone(),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&columns(&["COMPONENT", "HARDWARE", "SIZE", "SEGMENTS", "SHA-256"], &rows));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_356_185_000;

    fn release() -> v1::Release {
        v1::Release {
            name: "releases/pump/2.0.0".into(),
            product: "pump".into(),
            version: "2.0.0".into(),
            counter: 2,
            floor: 1,
            artifacts: vec![v1::Artifact {
                component: "system".into(),
                hardware: vec!["gw-a".into(), "gw-b".into()],
                size: 64 << 20,
                digest: "ab".repeat(32),
                segments: 64,
            }],
            manifest_digest: "cd".repeat(32),
            create_time: Some(human::timestamp(NOW - 90_000)),
            publisher: "admin".into(),
            ..v1::Release::default()
        }
    }

    #[test]
    fn the_summary_says_what_it_cost() {
        let sent = Sent { segments: 12, decoded: 12 << 20, encoded: 4 << 20 };
        assert_eq!(
            summary(&release(), 64, sent, Duration::from_millis(2_345)),
            "\
published  pump/2.0.0
counter    2
size       64.0 MiB
segments   64: 12 new, 52 reused
sent       4.0 MiB for 12.0 MiB (33%)
took       2s
"
        );
        let text = summary(&release(), 64, Sent::default(), Duration::ZERO);
        assert!(text.contains("sent       nothing: the server had all of it\n"), "{text}");
    }

    #[test]
    fn releases_as_a_table_and_one_in_full() {
        assert_eq!(
            render_list(&[release()], NOW),
            "\
PRODUCT  VERSION  COUNTER  FOR                   SIZE      PUBLISHED   BY
pump     2.0.0    2        system on gw-a, gw-b  64.0 MiB  1m 30s ago  admin
"
        );
        let (ab, cd) = ("ab".repeat(32), "cd".repeat(32));
        assert_eq!(
            render(&release(), NOW),
            format!(
                "\
release    pump/2.0.0
counter    2
floor      counter 1
manifest   {cd}
published  2026-11-22 14:01:35Z (1m 30s ago)
by         admin

COMPONENT  HARDWARE    SIZE      SEGMENTS  SHA-256
system     gw-a, gw-b  64.0 MiB  64        {ab}
"
            )
        );
    }
}

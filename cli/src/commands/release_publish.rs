//! `slipway release publish` and `draft`: from an image to what devices believe.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::json;
use slipway_payload::{Cut, Segment};
use slipway_proto::v1;
use slipway_trust::{Date, TARGETS, Version, product_name};
use tonic::Status;

use crate::{
    args::{Connection, ReleaseDraft, ReleasePublish, ReleaseTerms},
    commands::drafts,
    connect::Api,
    draft::{About, Draft, Purpose},
    duration,
    error::{Failure, reason_of},
    human, json,
    keys::KeyDir,
    names,
    output::{Console, Format, facts},
    passphrase::Source,
    progress::Progress,
    publish::{
        current::Current,
        image::Image,
        sign::{self, Hands, Plan, Signed},
        upload::{self, Sent},
    },
    retry::Backoff,
    rng,
};

/// Other publishers that may come first before this one gives up.
const SIGN_ATTEMPTS: usize = 8;
/// Of the last call, when the connection breaks.
const CALL_ATTEMPTS: u32 = 8;

/// Publishes an image that is signed here, or a draft that was signed elsewhere.
///
/// # Errors
/// Why it was not done.
pub async fn publish(
    args: ReleasePublish,
    connection: &Connection,
    console: &Console,
) -> Result<(), Failure> {
    if args.what.iter().all(|path| Draft::is_at(path)) {
        return drafts::publish(&args.what, args.dry_run, connection, console).await;
    }
    let [image] = args.what.as_slice() else {
        return Err(Failure::usage("several paths were given, and not all of them are drafts")
            .hint("give one image, or the copies of one draft"));
    };
    let (Some(version), Some(dir), false) = (&args.version, &args.keys, args.hardware.is_empty()) else {
        return Err(Failure::usage("an image is published with --version, --hardware and --keys")
            .hint("see `slipway release publish --help`; a draft needs none of them"));
    };
    let keys = KeyDir::new(dir, args.passphrase.source());
    let asked = Asked { image, version, hardware: &args.hardware, terms: &args.rules };
    publish_image(asked, keys, args.dry_run, connection, console).await
}

/// What a publisher asks for on the command line.
#[derive(Clone, Copy)]
struct Asked<'a> {
    image: &'a PathBuf,
    version: &'a str,
    hardware: &'a [String],
    terms: &'a ReleaseTerms,
}

/// From an image to a published release. What can be refused is refused before anything is sent.
async fn publish_image(
    asked: Asked<'_>,
    mut keys: KeyDir,
    dry: bool,
    connection: &Connection,
    console: &Console,
) -> Result<(), Failure> {
    let stopwatch = console.clock.stopwatch();
    let (product, root) = (&asked.terms.product, keys.root_file());
    let version = version(asked)?;
    let image = Arc::new(Image::open(asked.image)?);
    // Before the server is called: a directory without keys is the commonest mistake.
    keys.publishers()?;
    let api = Api::open(connection, console).await?;
    let current = Current::fetch(&api, &root, product).await?;
    sign::next_counter(&current, product, &version)?;
    let now = Date::from_millis(console.clock.now());
    let hands = Hands::take(&mut keys, &current, product, asked.terms.new_publishers, now, console)?;

    let plan = plan(asked, version, cut(&image, console).await?);
    let segments = segments(&plan)?;
    let missing = upload::missing(&api, &segments).await?;
    // Signed once before anything is sent: what cannot be signed shall cost nobody an upload.
    let mut signed = hands.sign(&current, &plan, now)?;
    if dry {
        let request = request(asked.terms, &signed);
        return dry_run(&plan, request, signed.counter, &segments, &missing, &api, console).await;
    }
    let sent = upload::upload(&api, &image, missing, console).await?;
    image.check_unchanged()?;

    for _ in 0..SIGN_ATTEMPTS {
        match call(&api, request(asked.terms, &signed)).await {
            Ok(release) => return done(&release, &segments, sent, stopwatch.elapsed(), console),
            Err(status) if reason_of(&status).as_deref() == Some("PUBLISHED_MEANWHILE") => {
                console.say("somebody else published meanwhile: signing again on top of it");
            }
            Err(status) => return Err(status.into()),
        }
        let current = Current::fetch(&api, &root, product).await?;
        signed = Hands::take(&mut keys, &current, product, asked.terms.new_publishers, now, console)?
            .sign(&current, &plan, now)?;
    }
    Err(Failure::new(format!("others published {SIGN_ATTEMPTS} times while this release was signed"))
        .hint("agree on who publishes, and run the command again; the segments are there already")
        .reason("PUBLISHED_MEANWHILE"))
}

/// From an image to a folder with everything that has to be signed; the image itself is sent already.
///
/// # Errors
/// Why it was not done.
pub async fn draft(args: ReleaseDraft, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let ReleaseDraft { image, version: given, hardware, keys, out, rules: terms } = &args;
    let asked = Asked { image, version: given, hardware, terms };
    let version = version(asked)?;
    let image = Arc::new(Image::open(image)?);
    Draft::check_new(out)?;
    let mut keys = KeyDir::new(keys, Source::Terminal);
    let api = Api::open(connection, console).await?;
    let current = Current::fetch(&api, &keys.root_file(), &terms.product).await?;
    sign::next_counter(&current, &terms.product, &version)?;
    let delegate = match current.targets.authority(&terms.product) {
        Some(_) => None,
        None => Some(keys.publishers_of_new(&current.targets, terms.new_publishers)?),
    };
    let plan = plan(asked, version, cut(&image, console).await?);
    let now = Date::from_millis(console.clock.now());
    let composed = sign::compose(&current, &plan, delegate.as_ref(), false, now)?;
    let missing = upload::missing(&api, &segments(&plan)?).await?;
    upload::upload(&api, &image, missing, console).await?;
    image.check_unchanged()?;

    let mut documents = vec![(terms.product.clone(), sign::sign_all(&composed.product, &[])?)];
    if let Some(targets) = &composed.targets {
        documents.push((TARGETS.to_owned(), sign::sign_all(targets, &[])?));
    }
    let about = About {
        product: terms.product.clone(),
        version: plan.version.to_string(),
        new_hardware: terms.new_hardware,
        ..About::new(Purpose::Release)
    };
    let draft = Draft {
        about,
        documents: documents.into_iter().collect(),
        manifest: composed.manifest,
        server_ca: Vec::new(),
        published: current.published,
    };
    draft.write(out)?;
    drafts::say_written(&draft, out, &keys.root_file(), console)
}

fn version(asked: Asked<'_>) -> Result<Version, Failure> {
    product_name(&asked.terms.product).map_err(|error| {
        Failure::new(error.to_string())
            .hint(
                "a product has 1 to 32 characters of a-z, 0-9 and '-', and is not named like a signing role",
            )
            .reason("MANIFEST_INVALID")
    })?;
    asked.version.parse::<Version>().map_err(|error| {
        Failure::new(format!("`{}` is not a version: {error}", asked.version))
            .hint("write for example 2.0.0, 2.1 or 2.1.0-rc1")
            .reason("MANIFEST_INVALID")
    })
}

fn plan(asked: Asked<'_>, version: Version, cut: Cut) -> Plan {
    let mut hardware = asked.hardware.to_vec();
    hardware.sort();
    hardware.dedup();
    Plan {
        product: asked.terms.product.clone(),
        version,
        artifact: cut.into_artifact(&asked.terms.component, hardware),
        floor: asked.terms.floor,
        min_from: asked.terms.min_from,
    }
}

fn segments(plan: &Plan) -> Result<Vec<Segment>, Failure> {
    slipway_payload::segments(&plan.artifact)
        .map_err(|error| Failure::bug(format!("the segments do not fit the image: {error}")))
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

fn request(terms: &ReleaseTerms, signed: &Signed) -> v1::PublishReleaseRequest {
    v1::PublishReleaseRequest {
        product: terms.product.clone(),
        targets: signed.targets.clone(),
        product_metadata: signed.product.clone(),
        manifest: signed.manifest.clone(),
        allow_new_hardware: terms.new_hardware,
        validate_only: false,
        request_id: rng::request_id(),
    }
}

/// The same request, with the same id, until it is answered: a lost answer publishes nothing twice.
pub async fn call(api: &Api, request: v1::PublishReleaseRequest) -> Result<v1::Release, Status> {
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
    plan: &Plan,
    request: v1::PublishReleaseRequest,
    counter: u64,
    segments: &[Segment],
    missing: &[Segment],
    api: &Api,
    console: &Console,
) -> Result<(), Failure> {
    match call(api, v1::PublishReleaseRequest { validate_only: true, ..request }).await {
        Ok(_) => {}
        // Expected: nothing was sent.
        Err(status) if reason_of(&status).as_deref() == Some("SEGMENTS_MISSING") && !missing.is_empty() => {}
        Err(status) => return Err(status.into()),
    }
    console.say("the release is valid; nothing was sent, nothing was published");
    let (lacking, bytes) = (missing.len() as u64, upload::bytes_of(missing));
    match console.format {
        Format::Table => console.print(&facts(&[
            ("release", format!("{}/{}", plan.product, plan.version)),
            ("counter", counter.to_string()),
            ("segments", format!("{}, {lacking} of them to send", segments.len())),
            ("to send", format!("{} before compression", human::bytes(bytes))),
        ])),
        Format::Json => console.json(&json!({
            "release": names::release(&format!("{}/{}", plan.product, plan.version)),
            "counter": counter,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> v1::Release {
        v1::Release {
            name: "releases/pump/2.0.0".into(),
            counter: 2,
            artifacts: vec![v1::Artifact { size: 64 << 20, ..v1::Artifact::default() }],
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
}

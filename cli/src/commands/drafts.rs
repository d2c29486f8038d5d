//! Drafts on their way: shown and signed by one person after the other, then published.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use slipway_proto::v1;
use slipway_trust::PublicKey;

use crate::{
    args::{Connection, DraftSign},
    commands::{release_publish, trust, withdraw},
    connect::Api,
    draft::{Draft, Purpose, Review, Seat},
    error::Failure,
    human,
    keys::{KeyFile, RootFile},
    names,
    output::{Console, Format, columns, facts},
    passphrase::Passphrases,
    publish::current::Published,
    rng,
};

/// Shows what a draft changes, asks, and adds signatures.
///
/// # Errors
/// Why it was not done; then nothing was written.
pub async fn sign(args: DraftSign, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let mut draft = Draft::read(&args.draft)?;
    let review = Review::new(&draft, &RootFile::new(&root_path(&args)))?;
    if !args.offline {
        let api = Api::open(connection, console).await?;
        let (now, _) = Published::fetch(&api, &draft.concerned()).await?;
        if now != draft.published {
            return Err(redraft("what is published changed since this was drafted"));
        }
    }
    let changes = review.changes()?;
    if console.format == Format::Table {
        console.print(&changes.join("\n"))?;
    }
    if !args.yes {
        confirm(console)?;
    }
    let mut passphrases = Passphrases::new(args.passphrase.source());
    let mut signed = Vec::new();
    for path in &args.key {
        let signer = KeyFile::new(path).load(&mut passphrases)?;
        signed.extend(review.sign(&mut draft, &*signer)?);
    }
    for role in &signed {
        draft.store(&args.draft, role)?;
    }
    let seats = review.seats(&draft)?;
    match console.format {
        Format::Table => console.print(&render(&seats)),
        Format::Json => {
            let seats: Vec<Value> = seats.iter().map(as_json).collect();
            console.json(&json!({"draft": args.draft, "changes": changes, "signatures": seats}))
        }
    }?;
    if seats.iter().all(|seat| seat.signatures.missing() == 0) {
        let (noun, path) = (noun(&draft), args.draft.display());
        console.say(&format!("nothing is missing: slipway {noun} publish {path}"));
    }
    Ok(())
}

fn root_path(args: &DraftSign) -> PathBuf {
    let beside = || args.key.first().map(|key| key.with_file_name("root.json")).unwrap_or_default();
    args.root.clone().unwrap_or_else(beside)
}

/// Asks a person who has seen what changes.
///
/// # Errors
/// No, or no terminal to ask on.
fn confirm(console: &Console) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("there is no terminal to ask on whether this shall be signed")
            .hint("give --yes when somebody looked at the changes above")
            .reason("CONFIRMATION_REQUIRED"));
    }
    console.say("sign this? type yes:");
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::file("read from", Path::new("the terminal"), &error))?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::new("not signed").hint("nothing was written").reason("CONFIRMATION_REQUIRED")),
    }
}

fn redraft(why: &str) -> Failure {
    Failure::new(format!("{why}: this draft does not follow it any more"))
        .hint("make a new draft, and have that signed; image segments that were sent are not sent again")
        .reason("PUBLISHED_MEANWHILE")
}

/// What was written, and whose turn it is.
///
/// # Errors
/// A draft that its maker cannot read back.
pub fn say_written(draft: &Draft, out: &Path, root: &RootFile, console: &Console) -> Result<(), Failure> {
    let review = Review::new(draft, root)?;
    let (seats, path) = (review.seats(draft)?, out.display());
    match console.format {
        Format::Table => {
            console.print(&format!("{}\n\n{}", review.changes()?.join("\n"), render(&seats)))?;
        }
        Format::Json => {
            let seats: Vec<Value> = seats.iter().map(as_json).collect();
            console.json(&json!({"draft": out, "changes": review.changes()?, "signatures": seats}))?;
        }
    }
    console.say(&format!("the draft is in {path}; nothing is published yet. Each holder of a key runs:"));
    let noun = noun(draft);
    console.say(&format!("  slipway {noun} sign {path} --key FILE"));
    console.say(&format!("and then somebody: slipway {noun} publish {path}"));
    Ok(())
}

/// Writes the draft to `out` for others to sign, and nothing is left to do; or, without `out`, shows what
/// it changes, asks unless somebody said `yes`, and gives the review to sign it by here.
///
/// # Errors
/// A draft that cannot be written or read back; no, or no terminal to ask on.
pub fn leave_or_review(
    draft: &Draft,
    out: Option<&Path>,
    yes: bool,
    root: &RootFile,
    console: &Console,
) -> Result<Option<Review>, Failure> {
    if let Some(out) = out {
        draft.write(out)?;
        say_written(draft, out, root, console)?;
        return Ok(None);
    }
    let review = Review::new(draft, root)?;
    console.say(&review.changes()?.join("\n"));
    if !yes {
        confirm(console)?;
    }
    Ok(Some(review))
}

fn noun(draft: &Draft) -> &'static str {
    if draft.about.purpose == Purpose::Trust { "trust" } else { "release" }
}

fn render(seats: &[Seat]) -> String {
    let rows: Vec<_> = seats
        .iter()
        .map(|seat| {
            let (signed, missing) = (&seat.signatures.signed, seat.signatures.missing());
            let state = match missing {
                0 => "complete".to_owned(),
                missing => format!("{missing} missing"),
            };
            vec![
                seat.role.clone(),
                seat.by.clone(),
                format!("{} of {}", signed.len(), seat.signatures.threshold),
                state,
                match missing {
                    0 => String::new(),
                    _ => seat.signatures.open.iter().map(short).collect::<Vec<_>>().join(" "),
                },
            ]
        })
        .collect();
    columns(&["DOCUMENT", "SIGNED FOR", "SIGNED", "STATE", "KEYS THAT MAY STILL SIGN"], &rows)
}

/// Enough to find it among the `.pub` files of a company.
fn short(key: &PublicKey) -> String {
    let mut text = key.to_string();
    text.truncate(16);
    text
}

fn as_json(seat: &Seat) -> Value {
    let list = |keys: &std::collections::BTreeSet<PublicKey>| -> Vec<String> {
        keys.iter().map(PublicKey::to_string).collect()
    };
    json!({
        "document": seat.role,
        "by": seat.by,
        "threshold": seat.signatures.threshold,
        "signed": list(&seat.signatures.signed),
        "open": list(&seat.signatures.open),
    })
}

/// Publishes a draft, with the signatures of every copy of it.
///
/// # Errors
/// What the server refuses.
pub async fn publish(
    copies: &[PathBuf],
    dry: bool,
    connection: &Connection,
    console: &Console,
) -> Result<(), Failure> {
    let Some((first, others)) = copies.split_first() else { return Ok(()) };
    let mut draft = Draft::read(first)?;
    for path in others {
        draft.merge(&Draft::read(path)?)?;
    }
    let api = Api::open(connection, console).await?;
    let done = match draft.about.purpose {
        Purpose::Release => publish_release(&draft, dry, &api, console).await,
        Purpose::Trust => publish_trust(&draft, dry, &api, console).await,
        Purpose::Withdrawal => withdraw::send(&draft, dry, &api, console).await,
    };
    done.map_err(|failure| match failure.reason_code() {
        Some("PUBLISHED_MEANWHILE") => redraft("somebody else published first"),
        Some("SEGMENTS_MISSING") => {
            failure.hint("the image is not on this server: draft it again, which sends it")
        }
        _ => failure,
    })
}

/// Gives the server a new root, new targets, products signed anew.
///
/// # Errors
/// What the server refuses.
pub async fn publish_trust(draft: &Draft, dry: bool, api: &Api, console: &Console) -> Result<(), Failure> {
    let products = draft.products().into_iter().map(|product| {
        let metadata = draft.document(&product);
        v1::ProductMetadata { product, metadata }
    });
    let request = v1::UpdateTrustRequest {
        root: draft.document("root"),
        targets: draft.document("targets"),
        products: products.collect(),
        validate_only: dry,
        server_ca: draft.server_ca.clone(),
    };
    let trust = api.releases().update_trust(request).await?.into_inner();
    if dry {
        console.say("the draft is valid, and signed by everybody who has to; nothing was published");
    } else {
        console.say("the server has it: devices follow when they call next");
    }
    let text = trust::render(&trust, console.clock.now())?;
    console.show("Trust", &trust, |_| text)
}

async fn publish_release(draft: &Draft, dry: bool, api: &Api, console: &Console) -> Result<(), Failure> {
    let request = v1::PublishReleaseRequest {
        product: draft.about.product.clone(),
        targets: draft.document("targets"),
        product_metadata: draft.document(&draft.about.product),
        manifest: draft.manifest.clone(),
        allow_new_hardware: draft.about.new_hardware,
        validate_only: dry,
        request_id: rng::request_id(),
    };
    let release = release_publish::call(api, request).await?;
    if dry {
        console.say("the draft is valid, and signed by everybody who has to; nothing was published");
    }
    console.show("Release", &release, |release| {
        let size = release.artifacts.iter().map(|artifact| artifact.size).sum();
        facts(&[
            (if dry { "valid" } else { "published" }, names::short(&release.name).to_owned()),
            ("counter", release.counter.to_string()),
            ("size", human::bytes(size)),
        ])
    })
}

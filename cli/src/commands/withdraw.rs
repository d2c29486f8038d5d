//! `slipway release withdraw`: a release that nobody shall be offered any more.

use slipway_proto::v1;
use slipway_trust::{Date, Targets, release_path, repo::lifetime};

use crate::{
    args::{Connection, ReleaseWithdraw},
    commands::drafts,
    connect::Api,
    draft::{About, Draft, Purpose},
    error::Failure,
    human,
    keys::{KeyDir, KeyRole},
    names,
    output::{Console, facts},
    publish::{current::Current, sign::sign_all},
};

/// Signs the list of releases without one of them, here or in a draft, and has the server act on it.
///
/// # Errors
/// Why it was not done.
pub async fn withdraw(
    args: ReleaseWithdraw,
    connection: &Connection,
    console: &Console,
) -> Result<(), Failure> {
    if let Some(out) = &args.out {
        Draft::check_new(out)?;
    }
    let name = names::release(&args.release);
    let (product, version) = names::short(&name).split_once('/').unwrap_or_default();
    let mut keys = KeyDir::new(&args.keys, args.passphrase.source());
    let api = Api::open(connection, console).await?;
    let current = Current::fetch(&api, &keys.root_file(), product).await?;
    let body = without(&current, product, version, Date::from_millis(console.clock.now()))?;
    let about = About {
        product: product.to_owned(),
        version: version.to_owned(),
        force: args.force,
        reason: args.reason.clone(),
        ..About::new(Purpose::Withdrawal)
    };
    let mut draft = Draft {
        about,
        documents: [(product.to_owned(), sign_all(&body, &[])?)].into(),
        manifest: Vec::new(),
        server_ca: Vec::new(),
        published: current.published,
    };
    let (out, root) = (args.out.as_deref(), keys.root_file());
    let Some(review) = drafts::leave_or_review(&draft, out, args.yes, &root, console)? else {
        return Ok(());
    };
    for (_, authority) in review.authorities(product) {
        for signer in keys.signers(KeyRole::Publisher, &authority)? {
            review.sign(&mut draft, &*signer)?;
        }
    }
    send(&draft, false, &api, console).await
}

/// The product's role without a release.
fn without(current: &Current, product: &str, version: &str, now: Date) -> Result<Targets, Failure> {
    let not_listed = || {
        Failure::new(format!("{product} {version} is not among the releases that are published"))
            .hint("`slipway release list` shows those there are, and those that were withdrawn")
            .reason("RELEASE_NOT_FOUND")
    };
    let mut body = current.product(product).ok_or_else(not_listed)?.clone();
    let path = version.parse().map(|version| release_path(product, &version)).map_err(|_| not_listed())?;
    body.targets.remove(&path).ok_or_else(not_listed)?;
    body.version += 1;
    body.expires = now.plus_days(lifetime::TARGETS_DAYS);
    Ok(body)
}

/// Gives the server the signed list, and shows whom it concerns.
///
/// # Errors
/// What the server refuses.
pub async fn send(draft: &Draft, dry: bool, api: &Api, console: &Console) -> Result<(), Failure> {
    let about = &draft.about;
    let request = v1::WithdrawReleaseRequest {
        name: names::release(&format!("{}/{}", about.product, about.version)),
        product_metadata: draft.document(&about.product),
        force: about.force,
        reason: about.reason.clone(),
        validate_only: dry,
    };
    let answer = api.releases().withdraw_release(request).await?.into_inner();
    if dry {
        console.say("the withdrawal is valid, and signed by everybody who has to; nothing was withdrawn");
    }
    console.show("WithdrawReleaseResponse", &answer, |answer| {
        let short = |names: &[String]| -> String {
            names.iter().map(|name| names::short(name)).collect::<Vec<_>>().join(", ")
        };
        let named = answer.release.as_ref().map(|release| names::short(&release.name).to_owned());
        let running = match answer.device_count {
            0 => "no device".to_owned(),
            count => {
                let more = if count > answer.devices.len() as u64 { ", …" } else { "" };
                format!("{}: {}{more}", human::counted(count, "device"), short(&answer.devices))
            }
        };
        facts(&[
            (if dry { "would go" } else { "withdrawn" }, named.unwrap_or_default()),
            (
                "rollouts ended",
                if answer.rollouts.is_empty() { "none".to_owned() } else { short(&answer.rollouts) },
            ),
            ("still run by", running),
        ])
    })
}

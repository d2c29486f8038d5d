//! `slipway release`: versions of a product, signed by their publishers.

use slipway_proto::v1;

use crate::{
    args::{Connection, ListArgs, ReleaseCommand},
    commands::{drafts, listed, pages, release_bundle, release_publish, withdraw},
    connect::Api,
    error::Failure,
    human, names,
    output::{Console, columns, facts},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: ReleaseCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Publish(args) => release_publish::publish(args, connection, console).await,
        ReleaseCommand::Draft(args) => release_publish::draft(args, connection, console).await,
        ReleaseCommand::Sign(args) => drafts::sign(args, connection, console).await,
        ReleaseCommand::Withdraw(args) => withdraw::withdraw(args, connection, console).await,
        ReleaseCommand::Bundle(args) => release_bundle::bundle(args, connection, console).await,
        ReleaseCommand::List(args) => list(args, &Api::open(connection, console).await?, console).await,
        ReleaseCommand::Show { release } => {
            let api = Api::open(connection, console).await?;
            let request = v1::GetReleaseRequest { name: names::release(&release) };
            let release = api.releases().get_release(request).await?.into_inner();
            console.show("Release", &release, |release| render(release, console.clock.now()))
        }
    }
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
            let withdrawn = if release.is_withdrawn { " (withdrawn)" } else { "" };
            vec![
                release.product.clone(),
                format!("{}{withdrawn}", release.version),
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
        (
            "state",
            if release.is_withdrawn { "withdrawn: nobody is offered it".into() } else { String::new() },
        ),
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

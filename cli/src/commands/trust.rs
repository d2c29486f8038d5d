//! `slipway trust`: who may sign what.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use slipway_proto::v1;
use slipway_trust::{DIRECTOR, Date, Root, TARGETS, Targets, limits};

use crate::{
    args::{Connection, TrustCommand},
    commands::{drafts, listed, trust_init, trust_rotate},
    connect::Api,
    error::Failure,
    human, input,
    keys::KeyFile,
    output::{Console, columns, facts},
    passphrase,
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: TrustCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    match command {
        TrustCommand::Init(args) => {
            trust_init::init(args, &Api::open(connection, console).await?, console).await
        }
        TrustCommand::Show => {
            let api = Api::open(connection, console).await?;
            let trust = api.releases().get_trust(v1::GetTrustRequest::default()).await?.into_inner();
            let text = render(&trust, console.clock.now())?;
            console.show("Trust", &trust, |_| text)
        }
        TrustCommand::Expiring { within } => {
            let api = Api::open(connection, console).await?;
            let trust = api.releases().get_trust(v1::GetTrustRequest::default()).await?.into_inner();
            expiring(trust, within, console)
        }
        TrustCommand::Key { file, passphrase } => {
            let passphrase = passphrase::for_new_keys(&passphrase)?;
            let key = KeyFile::new(&file).create(passphrase.as_ref())?;
            console.say(&format!(
                "made {}; its public half is in the file beside it that ends in .pub",
                file.display()
            ));
            console.print(&key.to_string())
        }
        TrustCommand::Rotate(args) => trust_rotate::rotate(args, connection, console).await,
        TrustCommand::Sign(args) => drafts::sign(args, connection, console).await,
        TrustCommand::Restore { root } => restore(&root, connection, console).await,
        TrustCommand::Publish { draft, dry_run } => {
            drafts::publish(&draft, dry_run, connection, console).await
        }
    }
}

/// Hands over the roots of these files that follow the server's, oldest first.
async fn restore(paths: &[PathBuf], connection: &Connection, console: &Console) -> Result<(), Failure> {
    let mut roots = BTreeMap::new();
    for path in paths {
        let bytes = input::read(path, limits::ROOT_BYTES as u64)?;
        let root = Root::parse(&bytes).map_err(|error| {
            Failure::new(format!("{} is no root: {error}", path.display()))
                .hint("name root.json of a key directory, or metadata/N.root.json of a device's state folder")
                .reason("FILE_UNUSABLE")
        })?;
        roots.insert(root.version, bytes);
    }
    let api = Api::open(connection, console).await?;
    let mut trust = api.releases().get_trust(v1::GetTrustRequest::default()).await?.into_inner();
    let held = match trust.root.is_empty() {
        true => return Err(Failure::no_root()),
        false => {
            Root::parse(&trust.root)
                .map_err(|error| Failure::new(format!("the server's root: {error}")))?
                .version
        }
    };
    roots.retain(|version, _| *version > held);
    if roots.is_empty() {
        console.say(&format!("the server has root {held}, and none of these is newer"));
    }
    for (version, root) in roots {
        let request = v1::UpdateTrustRequest { root, ..v1::UpdateTrustRequest::default() };
        trust = api.releases().update_trust(request).await?.into_inner();
        console.say(&format!("the server has root {version} again"));
    }
    let text = render(&trust, console.clock.now())?;
    console.show("Trust", &trust, |_| text)
}

/// How long each role lives. With `within` only those of people that end so soon, and a bad outcome when
/// there is one.
fn expiring(trust: v1::Trust, within: Option<Duration>, console: &Console) -> Result<(), Failure> {
    if trust.root.is_empty() {
        return Err(Failure::no_root());
    }
    let now = console.clock.now();
    let ends = |life: &v1::RoleLife| {
        let at = life.expire_time.as_ref();
        at.map_or(0, |at| at.seconds.saturating_mul(1_000))
    };
    let mut roles = trust.roles;
    if let Some(within) = within {
        let limit = now.saturating_add(i64::try_from(within.as_millis()).unwrap_or(i64::MAX));
        roles.retain(|life| !life.is_online && ends(life) <= limit);
    }
    console.show_all("RoleLife", &roles, |roles| {
        let rows: Vec<_> = roles
            .iter()
            .map(|life| {
                vec![
                    life.role.clone(),
                    life.version.to_string(),
                    if life.is_online { "server" } else { "people" }.to_owned(),
                    human::maybe_moment(life.expire_time.as_ref(), now),
                ]
            })
            .collect();
        let table = columns(&["ROLE", "VERSION", "SIGNED BY", "ENDS"], &rows);
        listed(rows.len(), "nothing that people sign ends so soon", table)
    })?;
    if within.is_some() && !roles.is_empty() {
        console.say("sign it anew: slipway trust rotate --keys DIR");
        return Err(Failure::BadOutcome);
    }
    Ok(())
}

/// The present trust for people.
///
/// # Errors
/// Documents that cannot be read.
pub fn render(trust: &v1::Trust, now: i64) -> Result<String, Failure> {
    let online: Vec<_> = trust
        .online_keys
        .iter()
        .map(|key| vec![key.role.clone(), "server".into(), key.public_key.clone()])
        .collect();
    if trust.root.is_empty() {
        return Ok(format!(
            "the server has no root yet; make one with: slipway trust init --keys DIR\n\n{}",
            columns(&["ROLE", "HELD BY", "PUBLIC KEY"], &online)
        ));
    }
    let unreadable = |error: slipway_trust::Error| {
        Failure::new(format!("the server's trust cannot be read: {error}"))
            .hint("use a slipway and a slipwayd of the same version")
            .reason(error.code())
    };
    let root = Root::parse(&trust.root).map_err(unreadable)?;
    let targets = Targets::parse(TARGETS, &trust.targets).map_err(unreadable)?;
    let ends = |date: Date| human::moment(&human::timestamp(date.millis()), now);
    let products: Vec<&str> = targets
        .delegations
        .roles
        .iter()
        .map(|role| role.name.as_str())
        .filter(|name| *name != DIRECTOR)
        .collect();
    let mut text = facts(&[
        ("root", format!("version {}, ends {}", root.version, ends(root.expires))),
        ("targets", format!("version {}, ends {}", targets.version, ends(targets.expires))),
        ("products", if products.is_empty() { "none yet".into() } else { products.join(", ") }),
    ]);
    let mut offline = vec![("root", root.authority(&root.root)), ("targets", root.authority(&root.targets))];
    offline.extend(products.iter().filter_map(|product| Some((*product, targets.authority(product)?))));
    let mut rows: Vec<_> = offline
        .into_iter()
        .flat_map(|(role, authority)| {
            let held_by = format!("people, {} needed", authority.threshold());
            let keys = authority.public_keys().into_iter();
            keys.map(move |key| vec![role.to_owned(), held_by.clone(), key.to_string()])
        })
        .collect();
    rows.extend(online);
    text.push('\n');
    text.push_str(&columns(&["ROLE", "HELD BY", "PUBLIC KEY"], &rows));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use slipway_trust::{
        SecretKey, Signer as _,
        repo::{self, RoleSpec, RootKeys},
    };

    use super::*;

    const NOW: i64 = 1_795_356_185_000;

    #[test]
    fn the_present_trust_is_legible() {
        let key = |n: u8| SecretKey::from_seed([n; 32]);
        let single = |n: u8| RoleSpec::single(key(n).public_key());
        let several = RoleSpec { keys: vec![key(6).public_key(), key(7).public_key()], threshold: 2 };
        let keys =
            RootKeys { root: single(1), targets: single(2), snapshot: single(3), timestamp: single(4) };
        let ends = Date::from_millis(NOW).plus_days(400);
        let targets = repo::targets(1, ends, &single(5), &[("pump".to_owned(), several)]).unwrap();
        let online = v1::OnlineKey {
            role: "timestamp".into(),
            public_key: key(4).public_key().to_string(),
            ..v1::OnlineKey::default()
        };
        let trust = v1::Trust {
            root: repo::sign(&repo::root(1, ends, &keys), &[&key(1)]).unwrap(),
            targets: repo::sign(&targets, &[&key(2)]).unwrap(),
            online_keys: vec![online.clone()],
            ..v1::Trust::default()
        };
        let text = render(&trust, NOW).unwrap();
        assert!(text.starts_with("root      version 1, ends 2027-12-27 14:03:05Z (in 400d)\n"), "{text}");
        assert!(text.contains("\nproducts  pump\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("people, 1 needed")).count(), 2);
        assert_eq!(text.lines().filter(|line| line.contains("pump       people, 2 needed")).count(), 2);
        let fresh = v1::Trust { online_keys: vec![online], ..v1::Trust::default() };
        assert!(render(&fresh, NOW).unwrap().starts_with("the server has no root yet;"));
    }
}

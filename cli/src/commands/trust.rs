//! `slipway trust`: who may sign what.

use slipway_proto::v1;
use slipway_trust::{
    DIRECTOR, Date, PublicKey, SecretKey, Signer, TARGETS, Targets, TrustedSet,
    repo::{self, RoleSpec, RootKeys, lifetime},
    signed::Envelope,
};

use crate::{
    args::{Connection, TrustCommand, TrustInit},
    connect::Api,
    error::Failure,
    human,
    keys::{KeyDir, KeyName},
    output::{Console, columns, facts},
    passphrase::{self, Passphrase},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: TrustCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        TrustCommand::Init(args) => init(args, &api, console).await,
        TrustCommand::Show => {
            let trust = api.releases().get_trust(v1::GetTrustRequest::default()).await?.into_inner();
            let text = render(&trust, console.clock.now())?;
            console.show("Trust", &trust, |_| text)
        }
    }
}

/// Makes what is missing, in an order in which a cut at any point is finished by running it again:
/// keys, then the root, each durable before the next, and the server last.
async fn init(args: TrustInit, api: &Api, console: &Console) -> Result<(), Failure> {
    let trust = api.releases().get_trust(v1::GetTrustRequest::default()).await?.into_inner();
    let online = OnlineKeys::read(&trust)?;
    let mut keys = KeyDir::new(&args.keys, args.passphrase.passphrase_file.as_deref());
    check_server(&trust, keys.root()?.as_deref(), &keys)?;
    if !trust.root.is_empty() {
        console.say("the server has this root already: nothing to do");
        return Ok(());
    }
    keys.prepare(console)?;
    let missing = KeyName::ALL.iter().any(|name| !keys.has(*name));
    let passphrase = if missing { passphrase::for_new_keys(&args.passphrase)? } else { None };
    if let Some(passphrase) = &passphrase {
        keys.remember(passphrase);
    }
    let made = prepare(&mut keys, passphrase.as_ref(), &online, console.clock.now())?;
    let request = v1::InitializeTrustRequest { root: made.root, targets: made.targets };
    api.releases().initialize_trust(request).await?;
    say_done(&keys, passphrase.is_some() || !missing, console);
    Ok(())
}

fn say_done(keys: &KeyDir, protected: bool, console: &Console) {
    let path = keys.path().display();
    console.say(&format!("the server trusts the keys in {path} from now on"));
    console.say("  root.pem       signs who may sign: keep it offline, with a copy elsewhere");
    console.say("  targets.pem    signs which products there are; needed at the first release of a product");
    console.say("  publisher.pem  signs releases");
    console.say("one signature of each suffices: whoever has these files can publish");
    if !protected {
        console.say("the keys are not encrypted: whoever can read the directory has them");
    }
}

/// The keys that the server signs with by itself.
struct OnlineKeys {
    timestamp: PublicKey,
    snapshot: PublicKey,
    director: PublicKey,
}

impl OnlineKeys {
    fn read(trust: &v1::Trust) -> Result<Self, Failure> {
        let find = |role: &str| {
            let key = trust.online_keys.iter().find(|key| key.role == role);
            key.and_then(|key| key.public_key.parse::<PublicKey>().ok()).ok_or_else(|| {
                Failure::new(format!("the server named no usable {role} key"))
                    .hint("use a slipway and a slipwayd of the same version")
                    .reason("METADATA_FIELD_INVALID")
            })
        };
        Ok(Self { timestamp: find("timestamp")?, snapshot: find("snapshot")?, director: find(DIRECTOR)? })
    }
}

/// Refuses a server that has a root already, unless it is ours.
fn check_server(trust: &v1::Trust, ours: Option<&[u8]>, keys: &KeyDir) -> Result<(), Failure> {
    let path = keys.path().display();
    match ours {
        _ if trust.root.is_empty() => Ok(()),
        Some(ours) if ours == trust.root => Ok(()),
        Some(_) => Err(Failure::new(format!("the server trusts other keys than those in {path}"))
            .hint("use the key directory this server was set up with, or the server these keys belong to")
            .reason("ROOT_FOREIGN")),
        None => Err(Failure::new("the server has a root already, and its keys are somewhere else")
            .hint("use the key directory this server was set up with; a second root cannot be made")
            .reason("TRUST_ALREADY_INITIALIZED")),
    }
}

/// Root and targets, signed, ready for the server.
#[derive(Debug)]
struct Prepared {
    root: Vec<u8>,
    targets: Vec<u8>,
}

/// Makes the keys and the root that are missing and signs the first targets. Every file is durable
/// when this returns, and a second run gives the same root.
fn prepare(
    keys: &mut KeyDir,
    passphrase: Option<&Passphrase>,
    online: &OnlineKeys,
    now: i64,
) -> Result<Prepared, Failure> {
    let stored = keys.root()?;
    if let Some(root) = &stored {
        check_own_root(root, online, keys)?;
        check_complete(keys)?;
    }
    let mut signers = Vec::with_capacity(KeyName::ALL.len());
    for name in KeyName::ALL {
        signers.push(if keys.has(name) { keys.load(name)? } else { keys.create(name, passphrase)? });
    }
    let now = Date::from_millis(now);
    let root = match stored {
        Some(root) => root,
        None => {
            let root = sign_root(&signers[0], &signers[1], online, now)?;
            keys.store_root(&root)?;
            root
        }
    };
    let director = RoleSpec::single(online.director);
    let targets = repo::targets(1, now.plus_days(lifetime::TARGETS_DAYS), &director, &[])
        .map_err(|error| not_signed(&error))?;
    let targets = repo::sign(&targets, &[&signers[1]]).map_err(|error| not_signed(&error))?;
    verify(&root, &targets).map_err(|error| not_signed(&error))?;
    Ok(Prepared { root, targets })
}

fn sign_root(
    root: &SecretKey,
    targets: &SecretKey,
    online: &OnlineKeys,
    now: Date,
) -> Result<Vec<u8>, Failure> {
    let roles = RootKeys {
        root: RoleSpec::single(root.public_key()),
        targets: RoleSpec::single(targets.public_key()),
        snapshot: RoleSpec::single(online.snapshot),
        timestamp: RoleSpec::single(online.timestamp),
    };
    let body = repo::root(1, now.plus_days(lifetime::ROOT_DAYS), &roles);
    repo::sign(&body, &[root]).map_err(|error| not_signed(&error))
}

/// As a device will: the root by its own keys, the targets by the root's.
fn verify(root: &[u8], targets: &[u8]) -> Result<(), slipway_trust::Error> {
    let set = TrustedSet::from_root(root)?;
    let trusted = &set.root().body;
    let envelope = Envelope::parse(TARGETS, targets, slipway_trust::limits::TARGETS_BYTES)?;
    envelope.verify(&trusted.authority(&trusted.targets))?;
    Targets::parse(TARGETS, targets).map(drop)
}

/// A root that names other online keys was made for another server.
fn check_own_root(root: &[u8], online: &OnlineKeys, keys: &KeyDir) -> Result<(), Failure> {
    let path = keys.path().display();
    let set = keys.trusted(root)?;
    let body = &set.root().body;
    let named = |role, key: PublicKey| body.authority(role).public_keys().contains(&key);
    if named(&body.timestamp, online.timestamp) && named(&body.snapshot, online.snapshot) {
        return Ok(());
    }
    Err(Failure::new(format!("the keys in {path} were made for another server"))
        .hint("use another directory for this server; these keys are not touched")
        .reason("ROOT_FOREIGN"))
}

/// Keys are made before the root that names them: one that is missing beside a root was lost.
fn check_complete(keys: &KeyDir) -> Result<(), Failure> {
    match KeyName::ALL.iter().find(|name| !keys.has(**name)) {
        None => Ok(()),
        Some(name) => Err(Failure::new(format!(
            "{}/{} is missing, and root.json beside it names that key",
            keys.path().display(),
            name.file()
        ))
        .hint("restore it from its copy; or use an empty directory, if no server trusts these keys yet")
        .reason("KEY_MALFORMED")),
    }
}

fn not_signed(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the documents could not be signed: {error}"))
        .hint("nothing was sent; are the files in the key directory those that `slipway trust init` made?")
        .reason("SIGNER_FAILED")
}

fn render(trust: &v1::Trust, now: i64) -> Result<String, Failure> {
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
    let root = slipway_trust::Root::parse(&trust.root).map_err(unreadable)?;
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
    let offline = [("root", &root.root), ("targets", &root.targets)];
    let mut rows: Vec<_> = offline
        .into_iter()
        .flat_map(|(role, keys)| {
            let threshold = keys.threshold;
            root.authority(keys).public_keys().into_iter().map(move |key| {
                vec![role.to_owned(), format!("publisher, {threshold} needed"), key.to_string()]
            })
        })
        .collect();
    rows.extend(online);
    text.push('\n');
    text.push_str(&columns(&["ROLE", "HELD BY", "PUBLIC KEY"], &rows));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: i64 = 1_795_356_185_000;

    fn server(first: u8) -> v1::Trust {
        let key = |role: &str, n: u8| v1::OnlineKey {
            role: role.into(),
            public_key: SecretKey::from_seed([n; 32]).public_key().to_string(),
        };
        let online_keys =
            vec![key("timestamp", first), key("snapshot", first + 1), key("director", first + 2)];
        v1::Trust { online_keys, ..v1::Trust::default() }
    }

    fn run(dir: &std::path::Path, trust: &v1::Trust, now: i64) -> Result<Prepared, Failure> {
        let mut keys = KeyDir::new(dir, None);
        check_server(trust, keys.root()?.as_deref(), &keys)?;
        prepare(&mut keys, None, &OnlineKeys::read(trust)?, now)
    }

    #[test]
    fn a_run_that_was_cut_goes_on_with_the_same_keys() {
        let dir = tempfile::tempdir().unwrap();
        let first = run(dir.path(), &server(1), NOW).unwrap();
        let again = run(dir.path(), &server(1), NOW + 86_400_000).unwrap();
        assert_eq!(first.root, again.root);

        // Cut after the first key, and before the root was stored.
        let root_key = fs::read(dir.path().join("root.pem")).unwrap();
        for file in ["targets.pem", "publisher.pem", "root.json"] {
            fs::remove_file(dir.path().join(file)).unwrap();
        }
        run(dir.path(), &server(1), NOW).unwrap();
        assert_eq!(fs::read(dir.path().join("root.pem")).unwrap(), root_key);
        assert!(dir.path().join("root.json").exists());
    }

    #[test]
    fn a_key_that_was_lost_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &server(1), NOW).unwrap();
        fs::remove_file(dir.path().join("targets.pem")).unwrap();
        assert_eq!(run(dir.path(), &server(1), NOW).unwrap_err().reason_code(), Some("KEY_MALFORMED"));
        assert!(!dir.path().join("targets.pem").exists());
    }

    #[test]
    fn a_server_that_took_the_root_before_the_cut_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let made = run(dir.path(), &server(1), NOW).unwrap();
        let keys = KeyDir::new(dir.path(), None);
        let trust = v1::Trust { root: made.root.clone(), ..server(1) };
        check_server(&trust, Some(&made.root), &keys).unwrap();
    }

    #[test]
    fn keys_of_another_server_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let made = run(dir.path(), &server(1), NOW).unwrap();
        let before = fs::read(dir.path().join("root.json")).unwrap();
        assert_eq!(run(dir.path(), &server(11), NOW).unwrap_err().reason_code(), Some("ROOT_FOREIGN"));

        let elsewhere = tempfile::tempdir().unwrap();
        let theirs = run(elsewhere.path(), &server(11), NOW).unwrap();
        let trust = v1::Trust { root: theirs.root, ..server(11) };
        let keys = KeyDir::new(dir.path(), None);
        let refusal = check_server(&trust, Some(&made.root), &keys).unwrap_err();
        assert_eq!(refusal.reason_code(), Some("ROOT_FOREIGN"));
        let refusal = check_server(&trust, None, &keys).unwrap_err();
        assert_eq!(refusal.reason_code(), Some("TRUST_ALREADY_INITIALIZED"));
        assert_eq!(fs::read(dir.path().join("root.json")).unwrap(), before);
    }

    #[test]
    fn the_present_trust_is_legible() {
        let dir = tempfile::tempdir().unwrap();
        let made = run(dir.path(), &server(1), NOW).unwrap();
        let text = render(&v1::Trust { root: made.root, targets: made.targets, ..server(1) }, NOW).unwrap();
        assert!(text.starts_with("root      version 1, ends 2027-12-27 14:03:05Z (in 400d)\n"), "{text}");
        assert!(text.contains("\nproducts  none yet\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("publisher, 1 needed")).count(), 2);
        assert!(render(&server(1), NOW).unwrap().starts_with("the server has no root yet;"));
    }
}

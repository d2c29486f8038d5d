//! `slipway trust init`: the first keys, and the first root of a server.

use slipway_proto::v1;
use slipway_trust::{
    DIRECTOR, Date, PublicKey, Signer, TARGETS, Targets, TrustedSet,
    repo::{self, RoleSpec, RootKeys, lifetime},
    signed::Envelope,
};

use crate::{
    args::{KeyCounts, TrustInit},
    connect::Api,
    error::Failure,
    human,
    keys::{KeyDir, KeyRole},
    output::Console,
    passphrase::{self, Passphrase},
};

/// How many keys a role gets, and how many of them have to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Keys.
    pub keys: u32,
    /// How many of them have to sign.
    pub threshold: u32,
}

impl KeyCounts {
    /// How many keys of a role have to sign, if that was said.
    pub fn threshold(&self, role: KeyRole) -> Option<u32> {
        match role {
            KeyRole::Root => self.root_threshold,
            KeyRole::Targets => self.targets_threshold,
            KeyRole::Publisher => self.publisher_threshold,
        }
    }

    /// What was asked for of a role; `keys` are those that it gets when nothing is said.
    ///
    /// # Errors
    /// A threshold above the number of keys.
    pub fn of(&self, role: KeyRole, keys: u32) -> Result<Count, Failure> {
        let asked = match role {
            KeyRole::Root => self.root_keys,
            KeyRole::Targets => self.targets_keys,
            KeyRole::Publisher => self.publisher_keys,
        };
        let keys = asked.unwrap_or(keys);
        let threshold = self.threshold(role).unwrap_or(keys / 2 + 1);
        if threshold <= keys {
            return Ok(Count { keys, threshold });
        }
        let name = role.name();
        Err(Failure::usage(format!(
            "{threshold} of {} of {name} cannot sign",
            human::counted(keys.into(), "key")
        ))
        .hint(format!("--{name}-threshold may be at most --{name}-keys"))
        .reason("THRESHOLD_INVALID"))
    }
}

/// Makes what is missing, in an order in which a cut at any point is finished by running it again:
/// keys, then the root, each durable before the next, and the server last.
///
/// # Errors
/// Why it was not done.
pub async fn init(args: TrustInit, api: &Api, console: &Console) -> Result<(), Failure> {
    let counts = Counts::read(&args.counts)?;
    let trust = api.releases().get_trust(v1::GetTrustRequest::default()).await?.into_inner();
    let online = OnlineKeys::read(&trust)?;
    let mut keys = KeyDir::new(&args.keys, args.passphrase.source());
    let root = keys.root_file().read()?;
    check_server(&trust, root.as_deref(), &keys)?;
    if !trust.root.is_empty() {
        console.say("the server has this root already: nothing to do");
        return Ok(());
    }
    keys.prepare(console)?;
    let missing = KeyRole::ALL.into_iter().any(|role| {
        root.is_none() && keys.first(role, counts.of(role).keys).iter().any(|file| !file.exists())
    });
    let passphrase = if missing { passphrase::for_new_keys(&args.passphrase)? } else { None };
    if let Some(passphrase) = &passphrase {
        keys.remember(passphrase);
    }
    let made = prepare(&mut keys, passphrase.as_ref(), counts, &online, console.clock.now())?;
    let request = v1::InitializeTrustRequest { root: made.root, targets: made.targets };
    api.releases().initialize_trust(request).await?;
    say_done(&keys, counts, passphrase.is_some() || !missing, console)
}

/// What was asked for of each role.
#[derive(Debug, Clone, Copy)]
struct Counts([Count; 3]);

impl Counts {
    fn read(asked: &KeyCounts) -> Result<Self, Failure> {
        let [root, targets, publisher] = KeyRole::ALL.map(|role| asked.of(role, 1));
        Ok(Self([root?, targets?, publisher?]))
    }

    fn of(self, role: KeyRole) -> Count {
        let [root, targets, publisher] = self.0;
        match role {
            KeyRole::Root => root,
            KeyRole::Targets => targets,
            KeyRole::Publisher => publisher,
        }
    }
}

fn say_done(keys: &KeyDir, counts: Counts, protected: bool, console: &Console) -> Result<(), Failure> {
    let path = keys.path().display();
    console.say(&format!("the server trusts the keys in {path} from now on"));
    for (role, duty) in [
        (KeyRole::Root, "signs who may sign: keep it offline, with a copy elsewhere"),
        (KeyRole::Targets, "signs which products there are; needed at the first release of a product"),
        (KeyRole::Publisher, "signs releases"),
    ] {
        let files: Vec<String> = keys.files(role)?.iter().map(|file| file.name()).collect();
        let needed = match counts.of(role) {
            Count { keys: 1, .. } => String::new(),
            Count { keys, threshold } => format!(" ({threshold} of {keys} have to sign)"),
        };
        console.say(&format!("  {:13}  {duty}{needed}", files.join(" ")));
    }
    match KeyRole::ALL.iter().any(|role| counts.of(*role).threshold > 1) {
        false => console.say("one signature of each suffices: whoever has these files can publish"),
        true => console.say(
            "hand each key to its holder, with a copy of root.json, and keep none of them together: \
             until then whoever has these files can publish",
        ),
    }
    if !protected {
        console.say("the keys are not encrypted: whoever can read the directory has them");
    }
    Ok(())
}

/// The keys that the server signs with by itself.
pub struct OnlineKeys {
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
    counts: Counts,
    online: &OnlineKeys,
    now: i64,
) -> Result<Prepared, Failure> {
    let now = Date::from_millis(now);
    let root = match keys.root_file().read()? {
        Some(root) => {
            check_own_root(&root, online, keys)?;
            root
        }
        None => {
            let mut specs = Vec::with_capacity(KeyRole::ALL.len());
            for role in KeyRole::ALL {
                specs.push(make(keys, role, counts.of(role), passphrase)?);
            }
            if let Some(publishers) = specs.pop().filter(|spec| spec.keys.len() > 1) {
                keys.store_publishers(&publishers)?;
            }
            let root = sign_root(keys, &specs, online, now)?;
            keys.root_file().store(&root)?;
            root
        }
    };
    let trusted = keys.root_file().trusted(&root)?;
    let signers = signers(keys, KeyRole::Targets, &trusted)?;
    // Made first, and named by no document before the first release: nothing else would miss them.
    keys.publishers()?;
    let director = RoleSpec::single(online.director);
    let targets = repo::targets(1, now.plus_days(lifetime::TARGETS_DAYS), &director, &[])
        .map_err(|error| not_signed(&error))?;
    let targets = sign(&targets, &signers)?;
    verify(&root, &targets).map_err(|error| not_signed(&error))?;
    Ok(Prepared { root, targets })
}

/// The keys of a role; those that a run before made are taken.
fn make(
    keys: &mut KeyDir,
    role: KeyRole,
    count: Count,
    passphrase: Option<&Passphrase>,
) -> Result<RoleSpec, Failure> {
    let mut made = Vec::new();
    for file in keys.first(role, count.keys) {
        made.push(match file.exists() {
            false => {
                // Without a root no key is in force: a public half alone is that of a key that was lost.
                file.remove_public()?;
                file.create(passphrase)?
            }
            true => {
                let public = keys.load(&file)?.public_key();
                file.write_public(public)?;
                public
            }
        });
    }
    Ok(RoleSpec { keys: made, threshold: count.threshold })
}

fn sign_root(
    keys: &mut KeyDir,
    specs: &[RoleSpec],
    online: &OnlineKeys,
    now: Date,
) -> Result<Vec<u8>, Failure> {
    let [root, targets] = specs else { return Err(Failure::bug("a root has two offline roles")) };
    let roles = RootKeys {
        root: root.clone(),
        targets: targets.clone(),
        snapshot: RoleSpec::single(online.snapshot),
        timestamp: RoleSpec::single(online.timestamp),
    };
    let body = repo::root(1, now.plus_days(lifetime::ROOT_DAYS), &roles);
    let signers = keys.signers(KeyRole::Root, &body.authority(&body.root))?;
    sign(&body, &signers)
}

fn sign(body: &impl repo::Body, signers: &[Box<dyn Signer>]) -> Result<Vec<u8>, Failure> {
    let signers: Vec<&dyn Signer> = signers.iter().map(AsRef::as_ref).collect();
    repo::sign(body, &signers).map_err(|error| not_signed(&error))
}

/// Keys are made before the root that names them: one that is missing beside a root was lost.
fn signers(keys: &mut KeyDir, role: KeyRole, trusted: &TrustedSet) -> Result<Vec<Box<dyn Signer>>, Failure> {
    let root = &trusted.root().body;
    keys.signers(role, &root.authority(&root.targets)).map_err(|failure| match failure.reason_code() {
        Some("KEY_MALFORMED" | "SIGNATURES_MISSING" | "KEY_NOT_NAMED") => Failure::new(format!(
            "a {} key is missing in {}, and root.json there names it",
            role.name(),
            keys.path().display()
        ))
        .hint("restore it from its copy; or use an empty directory, if no server trusts these keys yet")
        .reason("KEY_MALFORMED"),
        _ => failure,
    })
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
    let set = keys.root_file().trusted(root)?;
    let body = &set.root().body;
    let named = |role, key: PublicKey| body.authority(role).public_keys().contains(&key);
    if named(&body.timestamp, online.timestamp) && named(&body.snapshot, online.snapshot) {
        return Ok(());
    }
    Err(Failure::new(format!("the keys in {path} were made for another server"))
        .hint("use another directory for this server; these keys are not touched")
        .reason("ROOT_FOREIGN"))
}

fn not_signed(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the documents could not be signed: {error}"))
        .hint("nothing was sent; are the files in the key directory those that `slipway trust init` made?")
        .reason("SIGNER_FAILED")
}

#[cfg(test)]
#[path = "trust_init_tests.rs"]
mod tests;

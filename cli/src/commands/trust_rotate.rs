//! `slipway trust rotate`: new keys for roles, or the same keys for longer.

use std::{collections::BTreeMap, path::Path};

use slipway_proto::v1;
use slipway_trust::{
    DIRECTOR, Date, PublicKey, SERVER_CA, TARGETS, Target,
    repo::{self, RoleSpec, RootKeys, lifetime},
};

use crate::{
    args::{Connection, RotatedRole, TrustRotate},
    commands::drafts,
    connect::Api,
    draft::{About, Draft, Purpose, Review},
    error::Failure,
    keys::{KeyDir, KeyRole, read_public},
    output::Console,
    passphrase,
    publish::{current::Current, sign::sign_all},
    server_ca,
};

/// Makes new keys where they are asked for, and the documents that name them; signs and publishes those
/// here, or leaves them as a draft.
///
/// # Errors
/// Why it was not done. Keys that were made by then stay, and are named by nothing.
pub async fn rotate(args: TrustRotate, connection: &Connection, console: &Console) -> Result<(), Failure> {
    if let Some(out) = &args.out {
        Draft::check_new(out)?;
    }
    let api = Api::open(connection, console).await?;
    let server_ca = server_ca(&args)?;
    let mut keys = KeyDir::new(&args.keys, args.passphrase.source());
    let (current, _) = Current::fetch_all(&api, &keys.root_file()).await?;
    let mut change = Change::none(&current);
    change.online(&args.roles, &api).await?;
    change.people(&args, &current, &mut keys, console)?;
    change.server_ca = (!server_ca.is_empty()).then(|| Target::of(&server_ca));
    let documents = change.documents(&current, &args.roles, Date::from_millis(console.clock.now()))?;
    if let Some(publishers) = change.publishers.as_ref().filter(|_| current.listed().is_empty()) {
        // There is no product whose publication could bring them into force.
        keys.store_publishers(publishers)?;
    }
    if documents.is_empty() {
        console.say("no product is published yet: its first release will name the new publishers");
        return Ok(());
    }
    let mut draft = Draft {
        about: About::new(Purpose::Trust),
        documents,
        manifest: Vec::new(),
        // A file that is in force already is not sent again.
        server_ca: if change.server_ca.as_ref() == current.targets.server_ca() {
            Vec::new()
        } else {
            server_ca
        },
        published: current.published.clone(),
    };
    let (out, root) = (args.out.as_deref(), keys.root_file());
    let Some(review) = drafts::leave_or_review(&draft, out, args.yes, &root, console)? else {
        return Ok(());
    };
    sign_here(&mut draft, &review, &mut keys)?;
    drafts::publish_trust(&draft, false, &api, console).await?;
    if let Some(publishers) = &change.publishers {
        keys.store_publishers(publishers)?;
    }
    match draft.documents.get("root") {
        Some(root) => keys.root_file().store(root),
        None => Ok(()),
    }
}

/// The file of the server's CAs that devices shall know; empty when they shall know what they know.
fn server_ca(args: &TrustRotate) -> Result<Vec<u8>, Failure> {
    match (args.roles.contains(&RotatedRole::ServerCa), &args.server_ca) {
        (true, Some(path)) => server_ca::read(path),
        (false, None) => Ok(Vec::new()),
        (true, None) => Err(Failure::usage("server-ca needs the file of the server's CAs")
            .hint("name it: slipway trust rotate server-ca --server-ca server-ca.pem …")),
        (false, Some(_)) => Err(Failure::usage("--server-ca was given, and server-ca is not rotated")
            .hint("say so: slipway trust rotate server-ca …")),
    }
}

/// Signs everything with the keys of one directory.
fn sign_here(draft: &mut Draft, review: &Review, keys: &mut KeyDir) -> Result<(), Failure> {
    let unsigned = draft.clone();
    for role in unsigned.documents.keys() {
        let kind = match role.as_str() {
            "root" => KeyRole::Root,
            TARGETS => KeyRole::Targets,
            _ => KeyRole::Publisher,
        };
        for (_, authority) in review.authorities(role) {
            let signers = keys.signers(kind, &authority).map_err(|failure| match failure.reason_code() {
                Some("SIGNATURES_MISSING") => failure.hint(
                    "make a draft (--out DRAFT), and have the others sign it: slipway trust sign DRAFT --key FILE",
                ),
                _ => failure,
            })?;
            for signer in signers {
                review.sign(draft, &*signer)?;
            }
        }
    }
    Ok(())
}

/// Who signs what from now on.
#[derive(Debug, Clone)]
struct Change {
    root: RootKeys,
    director: RoleSpec,
    /// New publishers of every product; `None` leaves each product its own.
    publishers: Option<RoleSpec>,
    /// A new file of the server's CAs.
    server_ca: Option<Target>,
}

impl Change {
    fn none(current: &Current) -> Self {
        let root = &current.root;
        let of = |keys| RoleSpec::of(&root.authority(keys));
        let director = current.targets.authority(DIRECTOR).map(|authority| RoleSpec::of(&authority));
        Self {
            root: RootKeys {
                root: of(&root.root),
                targets: of(&root.targets),
                snapshot: of(&root.snapshot),
                timestamp: of(&root.timestamp),
            },
            director: director.unwrap_or(RoleSpec { keys: Vec::new(), threshold: 1 }),
            publishers: None,
            server_ca: None,
        }
    }

    /// Has the server make its own new keys.
    async fn online(&mut self, roles: &[RotatedRole], api: &Api) -> Result<(), Failure> {
        for role in roles {
            let (name, spec) = match role {
                RotatedRole::Timestamp => ("timestamp", &mut self.root.timestamp),
                RotatedRole::Snapshot => ("snapshot", &mut self.root.snapshot),
                RotatedRole::Director => (DIRECTOR, &mut self.director),
                RotatedRole::Root | RotatedRole::Targets | RotatedRole::Publisher | RotatedRole::ServerCa => {
                    continue;
                }
            };
            let request = v1::PrepareOnlineKeyRequest { role: name.to_owned() };
            let made = api.releases().prepare_online_key(request).await?.into_inner();
            let key = made.public_key.parse().map_err(|_| {
                Failure::new(format!("the server named no usable {name} key"))
                    .hint("use a slipway and a slipwayd of the same version")
                    .reason("METADATA_FIELD_INVALID")
            })?;
            *spec = RoleSpec::single(key);
        }
        Ok(())
    }

    /// Takes the keys that were named, or makes new ones.
    fn people(
        &mut self,
        args: &TrustRotate,
        current: &Current,
        keys: &mut KeyDir,
        console: &Console,
    ) -> Result<(), Failure> {
        let published = current.listed().first().and_then(|product| current.targets.authority(product));
        let publishers = || match &published {
            Some(authority) => Ok(RoleSpec::of(authority)),
            None => KeyDir::new(&args.keys, args.passphrase.source()).publishers(),
        };
        let mut passphrase = None;
        for (asked, role, named) in [
            (RotatedRole::Root, KeyRole::Root, &args.root_key),
            (RotatedRole::Targets, KeyRole::Targets, &args.targets_key),
            (RotatedRole::Publisher, KeyRole::Publisher, &args.publisher_key),
        ] {
            if !args.roles.contains(&asked) {
                if !named.is_empty() {
                    let name = role.name();
                    return Err(Failure::usage(format!("--{name}-key was given, and {name} is not rotated"))
                        .hint(format!("say so: slipway trust rotate {name} …")));
                }
                continue;
            }
            let held = match role {
                KeyRole::Root => self.root.root.clone(),
                KeyRole::Targets => self.root.targets.clone(),
                KeyRole::Publisher => publishers()?,
            };
            let now = match named.len() {
                0 => u32::try_from(held.keys.len()).unwrap_or(1),
                named => u32::try_from(named).unwrap_or(u32::MAX),
            };
            let mut count = args.counts.of(role, now)?;
            if count.keys as usize == held.keys.len() && args.counts.threshold(role).is_none() {
                count.threshold = held.threshold;
            }
            let spec = if named.is_empty() {
                if passphrase.is_none() {
                    let new = passphrase::for_new_keys(&args.passphrase)?;
                    if let Some(new) = &new {
                        keys.remember(new);
                    }
                    passphrase = Some(new);
                }
                let mut made = Vec::new();
                for file in keys.further(role, count.keys)? {
                    made.push(file.create(passphrase.as_ref().and_then(Option::as_ref))?);
                    console.say(&format!("made {}", file.path().display()));
                }
                RoleSpec { keys: made, threshold: count.threshold }
            } else {
                let keys = named.iter().map(|text| public_key(text)).collect::<Result<_, _>>()?;
                RoleSpec { keys, threshold: count.threshold }
            };
            match role {
                KeyRole::Root => self.root.root = spec,
                KeyRole::Targets => self.root.targets = spec,
                KeyRole::Publisher => {
                    // Not those yet: what is drafted may stay a draft.
                    let in_force = match keys.has_publishers() {
                        true => keys.publishers_after(&current.targets)?,
                        false => held,
                    };
                    keys.draft_publishers(&in_force, &spec)?;
                    self.publishers = Some(spec);
                }
            }
        }
        Ok(())
    }

    /// What has to be signed, unsigned. Without a role everything is signed for longer.
    fn documents(
        &self,
        current: &Current,
        roles: &[RotatedRole],
        now: Date,
    ) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let any = |which: &[RotatedRole]| roles.is_empty() || roles.iter().any(|role| which.contains(role));
        let mut documents = BTreeMap::new();
        use RotatedRole::{Director, Publisher, Root, ServerCa, Snapshot, Targets, Timestamp};
        if any(&[Root, Targets, Timestamp, Snapshot]) {
            let ends = now.plus_days(lifetime::ROOT_DAYS);
            let body = repo::root(current.root.version + 1, ends, &self.root);
            documents.insert("root".to_owned(), sign_all(&body, &[])?);
        }
        let ends = now.plus_days(lifetime::TARGETS_DAYS);
        let products = current.listed();
        if any(&[Targets, Director, ServerCa]) || (any(&[Publisher]) && !products.is_empty()) {
            let mut body = current.targets.clone();
            body.version += 1;
            body.expires = ends;
            body.delegate_director(&self.director);
            if let Some(server_ca) = &self.server_ca {
                body.targets.insert(SERVER_CA.to_owned(), server_ca.clone());
            }
            for product in self.publishers.iter().flat_map(|_| &products) {
                let keys = self.publishers.as_ref().ok_or_else(|| Failure::bug("no publishers"))?;
                body.delegate_product(product, keys).map_err(Failure::bug)?;
            }
            documents.insert(TARGETS.to_owned(), sign_all(&body, &[])?);
        }
        if any(&[Publisher]) {
            for (product, role) in &current.products {
                let mut body = role.clone();
                body.version += 1;
                body.expires = ends;
                documents.insert(product.clone(), sign_all(&body, &[])?);
            }
        }
        Ok(documents)
    }
}

/// A public key as people name it: its file, or its digits.
fn public_key(text: &str) -> Result<PublicKey, Failure> {
    match text.parse() {
        Ok(key) => Ok(key),
        Err(_) => read_public(Path::new(text)),
    }
}

//! What a first start leaves for the person who started it: an admin token, and a profile for the
//! command line.

use crate::{
    data_dir::{DataDir, DataDirError},
    limits,
    model::{
        id,
        token::{self, Role, Token},
    },
    serve::StartError,
    service::{Context, Error},
    store::tokens::{token_get, token_insert},
};

const FILE: &str = "admin.token";
const PROFILE: &str = "client.toml";

/// Makes the admin token when it is missing, in the file and in the store.
///
/// The file is written first: a start that was killed in between is completed by the next one,
/// which finds a token in the file that the store does not know.
pub async fn admin_token(ctx: &Context, data: &mut DataDir) -> Result<(), StartError> {
    let now = ctx.clock.now();
    let make = || {
        Ok::<_, DataDirError>(format!(
            "{}\n",
            token::bearer(&id::mint(now, ctx.rng.bytes()), &ctx.rng.bytes())
        ))
    };
    let text = data.secret(FILE, "admin token", make)??;
    let Some((id, secret_sha256)) = token::read_bearer(text.trim()) else {
        return Err(DataDirError::Damaged {
            path: data.path(FILE),
            problem: "it does not hold a token; remove it to have a new one made".to_owned(),
        }
        .into());
    };
    let add = async {
        let mut tx = ctx.db.write().await?;
        if token_get(&mut tx, id).await?.is_some() {
            return Ok(());
        }
        let token = Token {
            id: id.to_owned(),
            secret_sha256,
            display_name: "first start".to_owned(),
            role: Role::Admin,
            scope: String::new(),
            created_at: now,
            created_by: "server".to_owned(),
            expires_at: now.after(limits::TOKEN_LIFE_MAX),
            revoked_at: None,
        };
        token_insert(&mut tx, &token).await?;
        tx.commit().await
    };
    add.await.map_err(|error| StartError::Load(Error::from(error)))
}

/// Writes the command line's profile with the address that is bound now.
pub fn profile(data: &mut DataDir, url: &str) -> Result<(), DataDirError> {
    let text = format!(
        "# Written by slipwayd at each start; paths are relative to this file.\n\
         server = \"{url}\"\nca = \"server-ca.pem\"\ntoken_file = \"{FILE}\"\n"
    );
    match data.read(PROFILE)? {
        Some(old) if old == text => return Ok(()),
        Some(_) => {}
        None => data.note_made(PROFILE, "profile for the command line: slipway --profile FILE"),
    }
    data.write(PROFILE, text.as_bytes(), 0o600)
}

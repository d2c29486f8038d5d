//! `slipway token`: who may do what.

use std::{path::Path, time::Duration};

use slipway_proto::v1;

use crate::{
    args::{Connection, Extent, RoleName, TokenCommand, TokenCreate, TokenRotate},
    commands::{check_new, device::say_matches, listed, pages, write_secret},
    connect::Api,
    duration,
    error::Failure,
    human, json, names,
    output::{Console, Format, columns, facts},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: TokenCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        TokenCommand::Create(args) => create(args, &api, console).await,
        TokenCommand::Rotate(args) => rotate(args, &api, console).await,
        TokenCommand::List(extent) => list(extent, &api, console).await,
        TokenCommand::Revoke { token } => {
            let name = names::full("tokens", &token);
            let token = api.access().revoke_token(v1::RevokeTokenRequest { name }).await?.into_inner();
            console.say(&format!(
                "token {} ({}) no longer works",
                names::short(&token.name),
                token.display_name
            ));
            Ok(())
        }
        TokenCommand::Whoami => {
            let token = api.access().get_caller(v1::GetCallerRequest {}).await?.into_inner();
            console.show("Token", &token, |token| render(token, console.clock.now()))
        }
    }
}

async fn create(args: TokenCreate, api: &Api, console: &Console) -> Result<(), Failure> {
    let role = match args.role {
        RoleName::Viewer => v1::Role::Viewer,
        RoleName::Operator => v1::Role::Operator,
        RoleName::Publisher => v1::Role::Publisher,
        RoleName::Admin => v1::Role::Admin,
        RoleName::Client => v1::Role::Client,
        RoleName::Ingest => v1::Role::Ingest,
    };
    let token =
        v1::Token { display_name: args.name, role: role.into(), scope: args.scope, ..v1::Token::default() };
    make(token, args.ttl, args.out.as_deref(), api, console).await
}

/// The same right once more. The old token goes on, because whoever uses it has to be given the new one first.
async fn rotate(args: TokenRotate, api: &Api, console: &Console) -> Result<(), Failure> {
    let name = names::full("tokens", &args.token);
    let tokens = all(0, api, console).await?;
    let old = tokens.into_iter().find(|token| token.name == name).ok_or_else(|| {
        Failure::new(format!("there is no token {}", names::short(&name)))
            .hint("slipway token list shows those there are")
            .reason("TOKEN_NOT_FOUND")
    })?;
    let id = names::short(&old.name).to_owned();
    if old.revoked {
        return Err(Failure::new(format!("token {id} was revoked: it has no right to pass on"))
            .hint("make a new one: slipway token create"));
    }
    let token = v1::Token {
        display_name: old.display_name,
        role: old.role,
        scope: old.scope,
        ..v1::Token::default()
    };
    // As long as the old one was meant to be, unless somebody says otherwise.
    let life = || Some(old.expire_time.as_ref()?.seconds.saturating_sub(old.create_time.as_ref()?.seconds));
    let ttl = args.ttl.or_else(|| life()?.try_into().ok().map(Duration::from_secs));
    make(token, ttl, args.out.as_deref(), api, console).await?;
    console
        .say(&format!("token {id} works as before; when nobody uses it any more: slipway token revoke {id}"));
    Ok(())
}

async fn make(
    token: v1::Token,
    ttl: Option<Duration>,
    out: Option<&Path>,
    api: &Api,
    console: &Console,
) -> Result<(), Failure> {
    check_new(out, "token")?;
    let request = v1::CreateTokenRequest { token: Some(token), ttl: ttl.map(duration::to_wire) };
    let made = api.access().create_token(request).await?.into_inner();
    let token = made.token.clone().unwrap_or_default();
    say_matches(&token.scope, api, console).await;
    if let Some(path) = out {
        let end = format!("slipway token revoke {}", names::short(&token.name));
        write_secret(path, "token", &made.secret, &end)?;
        console.say(&format!("token {} written to {}", names::short(&token.name), path.display()));
        return console.show("Token", &token, |token| render(token, console.clock.now()));
    }
    console.say(&render(&token, console.clock.now()));
    console.say("the token is shown once; whoever has it may do what it may do:");
    match console.format {
        Format::Table => console.print(&made.secret),
        Format::Json => console.json(&json::message("CreateTokenResponse", &made)?),
    }
}

async fn all(max: usize, api: &Api, console: &Console) -> Result<Vec<v1::Token>, Failure> {
    pages(console, max, |page_size, page_token| {
        let mut access = api.access();
        async move {
            let page =
                access.list_tokens(v1::ListTokensRequest { page_size, page_token }).await?.into_inner();
            Ok((page.tokens, page.next_page_token))
        }
    })
    .await
}

async fn list(extent: Extent, api: &Api, console: &Console) -> Result<(), Failure> {
    let tokens = all(extent.max, api, console).await?;
    let now = console.clock.now();
    console.show_all("Token", &tokens, |tokens| {
        let rows: Vec<_> = tokens
            .iter()
            .map(|token| {
                vec![
                    names::short(&token.name).to_owned(),
                    token.display_name.clone(),
                    role(token),
                    if token.revoked {
                        "revoked".into()
                    } else {
                        human::maybe_relative(token.expire_time.as_ref(), now)
                    },
                    token.scope.clone(),
                ]
            })
            .collect();
        listed(rows.len(), "no tokens", columns(&["ID", "NAME", "ROLE", "ENDS", "SCOPE"], &rows))
    })
}

fn render(token: &v1::Token, now: i64) -> String {
    facts(&[
        ("token", names::short(&token.name).to_owned()),
        ("name", token.display_name.clone()),
        ("role", role(token)),
        ("scope", token.scope.clone()),
        ("ends", human::maybe_moment(token.expire_time.as_ref(), now)),
        ("state", if token.revoked { "revoked".into() } else { String::new() }),
    ])
}

fn role(token: &v1::Token) -> String {
    human::enum_words(token.role().as_str_name(), "ROLE_")
}

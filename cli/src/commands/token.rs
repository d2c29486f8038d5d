//! `slipway token`: who may do what.

use slipway_proto::v1;

use crate::{
    args::{Connection, Extent, RoleName, TokenCommand, TokenCreate},
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
    };
    let token =
        v1::Token { display_name: args.name, role: role.into(), scope: args.scope, ..v1::Token::default() };
    check_new(args.out.as_deref(), "token")?;
    let request = v1::CreateTokenRequest { token: Some(token), ttl: args.ttl.map(duration::to_wire) };
    let made = api.access().create_token(request).await?.into_inner();
    let token = made.token.clone().unwrap_or_default();
    say_matches(&token.scope, api, console).await;
    if let Some(path) = &args.out {
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

async fn list(extent: Extent, api: &Api, console: &Console) -> Result<(), Failure> {
    let tokens = pages(console, extent.max, |page_size, page_token| {
        let mut access = api.access();
        async move {
            let page =
                access.list_tokens(v1::ListTokensRequest { page_size, page_token }).await?.into_inner();
            Ok((page.tokens, page.next_page_token))
        }
    })
    .await?;
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

//! `slipway webhook`: addresses that hear of events.

use std::path::Path;

use prost_types::FieldMask;
use slipway_proto::v1::{self, replay_webhook_request::Since};

use crate::{
    args::{
        Connection, Extent, SignatureName, WebhookCommand, WebhookCreate, WebhookDeliveries, WebhookReplay,
        WebhookSet,
    },
    commands::{check_new, device::say_matches, listed, pages, write_secret},
    connect::Api,
    error::Failure,
    human, json, names,
    output::{Console, Format, columns, facts},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: WebhookCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        WebhookCommand::Create(args) => create(args, &api, console).await,
        WebhookCommand::List(extent) => list(extent, &api, console).await,
        WebhookCommand::Show { webhook } => {
            let request = v1::GetWebhookRequest { name: full(&webhook) };
            let webhook = api.webhooks().get_webhook(request).await?.into_inner();
            show(&webhook, console)
        }
        WebhookCommand::Set(args) => {
            let (webhook, paths) = change(args);
            update(webhook, paths, &api, console).await
        }
        WebhookCommand::Enable { webhook } => switch(&webhook, false, &api, console).await,
        WebhookCommand::Disable { webhook } => switch(&webhook, true, &api, console).await,
        WebhookCommand::Test { webhook } => test(&webhook, &api, console).await,
        WebhookCommand::Replay(args) => replay(args, &api, console).await,
        WebhookCommand::Rotate { webhook, secret_out } => {
            rotate(&webhook, secret_out.as_deref(), &api, console).await
        }
        WebhookCommand::Delete { webhook } => {
            let request = v1::DeleteWebhookRequest { name: full(&webhook) };
            let gone = api.webhooks().delete_webhook(request).await?.into_inner();
            let waited = human::counted(u64::try_from(gone.waiting).unwrap_or(0), "event");
            console.say(&format!(
                "webhook {} ({}) is gone, and {waited} that waited for it",
                names::short(&gone.name),
                gone.display_name
            ));
            Ok(())
        }
        WebhookCommand::Deliveries(args) => deliveries(args, &api, console).await,
    }
}

fn full(given: &str) -> String {
    names::full("webhooks", given)
}

async fn create(args: WebhookCreate, api: &Api, console: &Console) -> Result<(), Failure> {
    check_new(args.secret_out.as_deref(), "secret")?;
    let signature = match args.signature {
        SignatureName::Hmac => v1::WebhookSignature::HmacSha256,
        SignatureName::Ed25519 => v1::WebhookSignature::Ed25519,
    };
    let webhook = v1::Webhook {
        display_name: args.name,
        url: args.url,
        scope: args.scope,
        event_types: args.events,
        signature: signature.into(),
        ..v1::Webhook::default()
    };
    let request = v1::CreateWebhookRequest { webhook: Some(webhook) };
    let made = api.webhooks().create_webhook(request).await?.into_inner();
    let webhook = made.webhook.clone().unwrap_or_default();
    say_matches(&webhook.scope, api, console).await;
    let id = names::short(&webhook.name).to_owned();
    let end = format!("slipway webhook delete {id}");
    let is_kept = keep(args.secret_out.as_deref(), &made.secret, &webhook, &end, console)?;
    console.say(&format!("try it: slipway webhook test {id}"));
    match console.format {
        Format::Table if is_kept => Ok(()),
        Format::Table => console.print(&made.secret),
        Format::Json => {
            let secret = if is_kept { String::new() } else { made.secret };
            console
                .json(&json::message("CreateWebhookResponse", &v1::CreateWebhookResponse { secret, ..made })?)
        }
    }
}

async fn rotate(id: &str, out: Option<&Path>, api: &Api, console: &Console) -> Result<(), Failure> {
    check_new(out, "secret")?;
    let request = v1::RotateWebhookSecretRequest { name: full(id) };
    let made = api.webhooks().rotate_webhook_secret(request).await?.into_inner();
    let webhook = made.webhook.clone().unwrap_or_default();
    let is_kept = keep(out, &made.secret, &webhook, &format!("slipway webhook rotate {id}"), console)?;
    console.say(&format!(
        "the secret before signs as well until {}",
        human::maybe_moment(made.old_expire_time.as_ref(), console.clock.now())
    ));
    match console.format {
        Format::Table if is_kept => Ok(()),
        Format::Table => console.print(&made.secret),
        Format::Json => {
            let secret = if is_kept { String::new() } else { made.secret };
            let made = v1::RotateWebhookSecretResponse { secret, ..made };
            console.json(&json::message("RotateWebhookSecretResponse", &made)?)
        }
    }
}

/// Shows a webhook whose secret was made just now, and writes that where it was asked for. Whether there is nothing left
/// to print on stdout.
fn keep(
    out: Option<&Path>,
    secret: &str,
    webhook: &v1::Webhook,
    end: &str,
    console: &Console,
) -> Result<bool, Failure> {
    console.say(&render(webhook, console.clock.now()));
    // Of a key pair there is only the public half to know, and that is no secret.
    let text = if secret.is_empty() { &webhook.public_key } else { secret };
    let Some(path) = out else {
        if !secret.is_empty() {
            console.say("the secret is shown once; who has it can sign as this server does:");
        }
        return Ok(secret.is_empty());
    };
    write_secret(path, "secret", text, end)?;
    let what = if secret.is_empty() { "public key" } else { "secret" };
    console.say(&format!("{what} written to {}", path.display()));
    Ok(true)
}

async fn list(extent: Extent, api: &Api, console: &Console) -> Result<(), Failure> {
    let webhooks = pages(console, extent.max, |page_size, page_token| {
        let mut webhooks = api.webhooks();
        async move {
            let request = v1::ListWebhooksRequest { page_size, page_token };
            let page = webhooks.list_webhooks(request).await?.into_inner();
            Ok((page.webhooks, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Webhook", &webhooks, render_list)
}

async fn switch(id: &str, disabled: bool, api: &Api, console: &Console) -> Result<(), Failure> {
    let webhook = v1::Webhook { name: full(id), disabled, ..v1::Webhook::default() };
    update(webhook, vec!["disabled".to_owned()], api, console).await
}

async fn update(
    webhook: v1::Webhook,
    paths: Vec<String>,
    api: &Api,
    console: &Console,
) -> Result<(), Failure> {
    let request = v1::UpdateWebhookRequest { webhook: Some(webhook), update_mask: Some(FieldMask { paths }) };
    let webhook = api.webhooks().update_webhook(request).await?.into_inner();
    show(&webhook, console)
}

fn change(args: WebhookSet) -> (v1::Webhook, Vec<String>) {
    let mut paths = Vec::new();
    let mut changed = |is_changed: bool, path: &str| {
        if is_changed {
            paths.push(path.to_owned());
        }
    };
    changed(args.name.is_some(), "display_name");
    changed(args.url.is_some(), "url");
    changed(args.scope.is_some(), "scope");
    changed(!args.events.is_empty(), "event_types");
    let webhook = v1::Webhook {
        name: full(&args.webhook),
        display_name: args.name.unwrap_or_default(),
        url: args.url.unwrap_or_default(),
        scope: args.scope.unwrap_or_default(),
        event_types: args.events.into_iter().filter(|event| !event.is_empty()).collect(),
        ..v1::Webhook::default()
    };
    (webhook, paths)
}

async fn test(id: &str, api: &Api, console: &Console) -> Result<(), Failure> {
    let answer = api.webhooks().test_webhook(v1::TestWebhookRequest { name: full(id) }).await?.into_inner();
    if console.format == Format::Json {
        console.json(&json::message("TestWebhookResponse", &answer)?)?;
    }
    if !answer.delivered {
        return Err(Failure::new(format!("the test was not taken: {}", answer.error))
            .hint("put the receiver right, or the address: slipway webhook set"));
    }
    console.say(&format!("{} was taken: the receiver answered {}", answer.event_id, answer.http_status));
    Ok(())
}

async fn replay(args: WebhookReplay, api: &Api, console: &Console) -> Result<(), Failure> {
    let since = match (args.since, args.position) {
        (Some(span), _) => {
            let ago = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            Some(Since::Time(human::timestamp(console.clock.now().saturating_sub(ago))))
        }
        (None, position) => position.map(Since::Position),
    };
    let request = v1::ReplayWebhookRequest { name: full(&args.webhook), since };
    let answer = api.webhooks().replay_webhook(request).await?.into_inner();
    let events = human::counted(u64::try_from(answer.events).unwrap_or(0), "event");
    console.say(&format!("{events} will be looked at once more, and sent where the webhook asks for them"));
    match answer.webhook {
        Some(webhook) if console.format == Format::Json => show(&webhook, console),
        _ => Ok(()),
    }
}

async fn deliveries(args: WebhookDeliveries, api: &Api, console: &Console) -> Result<(), Failure> {
    let filter = args.state.map_or_else(String::new, |state| format!("state = \"{}\"", state.word()));
    let parent = full(&args.webhook);
    let deliveries = pages(console, args.extent.max, |page_size, page_token| {
        let (mut webhooks, parent, filter) = (api.webhooks(), parent.clone(), filter.clone());
        async move {
            let request = v1::ListDeliveriesRequest { parent, page_size, page_token, filter };
            let page = webhooks.list_deliveries(request).await?.into_inner();
            Ok((page.deliveries, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Delivery", &deliveries, |deliveries| render_deliveries(deliveries, console.clock.now()))
}

fn show(webhook: &v1::Webhook, console: &Console) -> Result<(), Failure> {
    console.show("Webhook", webhook, |webhook| render(webhook, console.clock.now()))
}

fn render_list(webhooks: &[v1::Webhook]) -> String {
    let rows: Vec<_> = webhooks
        .iter()
        .map(|webhook| {
            vec![
                names::short(&webhook.name).to_owned(),
                webhook.display_name.clone(),
                health(webhook),
                webhook.waiting.to_string(),
                webhook.url.clone(),
                events(webhook),
                if webhook.scope.is_empty() { "all devices".into() } else { webhook.scope.clone() },
            ]
        })
        .collect();
    let header = ["ID", "NAME", "HEALTH", "WAITING", "URL", "EVENTS", "DEVICES"];
    listed(rows.len(), "no webhooks", columns(&header, &rows))
}

fn render(webhook: &v1::Webhook, now: i64) -> String {
    let last = webhook.last_success_time.as_ref();
    facts(&[
        ("webhook", names::short(&webhook.name).to_owned()),
        ("name", webhook.display_name.clone()),
        ("url", webhook.url.clone()),
        ("devices", if webhook.scope.is_empty() { "all".into() } else { webhook.scope.clone() }),
        ("events", events(webhook)),
        ("signature", human::enum_words(webhook.signature().as_str_name(), "WEBHOOK_SIGNATURE_")),
        ("public key", webhook.public_key.clone()),
        ("health", health(webhook)),
        ("because", webhook.disabled_reason.clone()),
        ("failing since", webhook.failing_since.map(|at| human::moment(&at, now)).unwrap_or_default()),
        ("last taken", last.map(|at| human::moment(at, now)).unwrap_or_default()),
        ("waiting", webhook.waiting.to_string()),
        ("position", webhook.position.to_string()),
    ])
}

fn render_deliveries(deliveries: &[v1::Delivery], now: i64) -> String {
    let rows: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            vec![
                delivery.position.to_string(),
                human::maybe_relative(delivery.event_time.as_ref(), now),
                delivery.r#type.clone(),
                delivery.subject.clone(),
                human::enum_words(delivery.state().as_str_name(), "DELIVERY_STATE_"),
                delivery.attempts.to_string(),
                delivery.next_attempt_time.map(|at| human::relative(&at, now)).unwrap_or_default(),
                delivery.error.clone(),
            ]
        })
        .collect();
    let header = ["POSITION", "HAPPENED", "TYPE", "SUBJECT", "STATE", "ATTEMPTS", "NEXT", "ERROR"];
    listed(rows.len(), "no deliveries", columns(&header, &rows))
}

fn health(webhook: &v1::Webhook) -> String {
    human::enum_words(webhook.health().as_str_name(), "WEBHOOK_HEALTH_")
}

fn events(webhook: &v1::Webhook) -> String {
    if webhook.event_types.is_empty() { "all".into() } else { webhook.event_types.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_as_a_table() {
        let webhook = v1::Webhook {
            name: "webhooks/01a".into(),
            display_name: "acme desk".into(),
            url: "https://desk.example/a".into(),
            event_types: vec!["alert.opened".into(), "alert.resolved".into()],
            health: v1::WebhookHealth::Failing.into(),
            waiting: 3,
            ..v1::Webhook::default()
        };
        assert_eq!(
            render_list(&[webhook]),
            "ID   NAME       HEALTH   WAITING  URL                     EVENTS                        DEVICES\n\
             01a  acme desk  failing  3        https://desk.example/a  alert.opened, alert.resolved  all devices\n"
        );
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let args = WebhookSet {
            webhook: "01a".into(),
            name: None,
            url: Some("https://new.example".into()),
            scope: None,
            events: vec![String::new()],
        };
        let (webhook, paths) = change(args);
        assert_eq!(paths, ["url", "event_types"]);
        assert_eq!((webhook.name.as_str(), webhook.event_types.len()), ("webhooks/01a", 0));
    }
}

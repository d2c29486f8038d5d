//! A service desk hears of its machines by webhook, over TLS on a real port, whatever it is like itself.

use std::{fs, time::Duration};

use slipway_proto::v1::{
    AcknowledgeAlertRequest, CreateWebhookRequest, Delivery, DeliveryState, GetWebhookRequest,
    ListDeliveriesRequest, ResolveAlertRequest, Role, TestWebhookRequest, UpdateWebhookRequest, Webhook,
    WebhookHealth,
};
use slipway_server::config::Webhooks;
use slipway_tests::{
    clock::wait_for,
    operator::Caller,
    receiver::{Manner, Received, Receiver},
    world::World,
};
use tonic::Code;

use crate::steps::{PATIENCE, assert_refused, measure, watch_filters};

const DAY: Duration = Duration::from_secs(24 * 3600);
const ACME: &str = "labels.customer = \"acme\"";

/// A world whose webhooks may lead to this machine, and believe these receivers.
async fn world(receivers: &[&Receiver]) -> World {
    let folder = tempfile::TempDir::new().expect("a folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, receivers.iter().map(|receiver| receiver.ca_pem.as_str()).collect::<String>())
        .expect("a file");
    let networks = ["127.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
    let world = World::start_with(|config| {
        config.webhooks = Webhooks { allow_networks: networks.into(), allow_http: false, ca: Some(ca) };
    })
    .await;
    world.init_trust();
    watch_filters(&world).await;
    world
}

async fn hook(caller: &Caller, url: String) -> String {
    let webhook = Webhook { display_name: "desk".into(), url, ..Webhook::default() };
    let request = CreateWebhookRequest { webhook: Some(webhook) };
    let made = caller.webhooks().create_webhook(request).await.expect("a webhook").into_inner();
    assert!(made.secret.starts_with("whsec_"), "{made:?}");
    made.webhook.expect("a webhook").name
}

/// So many requests, waited for.
async fn received(receiver: &Receiver, count: usize) -> Vec<Received> {
    wait_for(&format!("{count} events"), PATIENCE, || async {
        let received = receiver.received();
        (received.len() >= count).then_some(received)
    })
    .await
}

async fn deliveries(caller: &Caller, webhook: &str) -> Vec<Delivery> {
    let request = ListDeliveriesRequest { parent: webhook.to_owned(), ..Default::default() };
    caller.webhooks().list_deliveries(request).await.expect("deliveries").into_inner().deliveries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_hears_of_its_own_machines_from_the_first_sign_to_the_end() {
    let desk = Receiver::start().await;
    let world = world(&[&desk]).await;
    let ours = world.member("pump-1", &[("customer", "acme")]).await;
    let theirs = world.member("pump-2", &[("customer", "other")]).await;
    let acme = world.caller(&world.token(Role::Client, ACME, DAY).await);
    let webhook = hook(&acme, desk.url("/slipway?desk=1")).await;

    measure(&world, &theirs, 1, 300.0).await;
    measure(&world, &ours, 1, 300.0).await;
    let opened = received(&desk, 1).await.remove(0);
    let event = opened.json();
    assert_eq!(
        (opened.path.as_str(), opened.header("host")),
        ("/slipway?desk=1", format!("localhost:{}", desk.port).as_str())
    );
    assert_eq!(opened.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!(opened.header("webhook-id"), event["id"].as_str().expect("an id"));
    assert!(opened.header("webhook-signature").starts_with("v1,"), "{opened:?}");
    assert_eq!(opened.header("webhook-timestamp").len(), 10, "{opened:?}");
    assert_eq!((&event["specversion"], &event["type"]), (&"1.0".into(), &"alert.opened".into()));
    assert_eq!(event["source"], world.running.url.as_str());
    let alert = &event["data"];
    assert_eq!((&alert["device"], &alert["state"]), (&"devices/pump-1".into(), &"open".into()));
    assert!(alert["summary"].as_str().is_some_and(|text| text.contains("air filter")), "{alert}");
    let name = alert["name"].as_str().expect("a name").to_owned();
    assert_eq!(event["subject"], name.as_str());

    let request = AcknowledgeAlertRequest { name: name.clone(), ..Default::default() };
    acme.alerts().acknowledge_alert(request).await.expect("acknowledged");
    let request = ResolveAlertRequest { name: name.clone(), ..Default::default() };
    acme.alerts().resolve_alert(request).await.expect("resolved");
    let all = received(&desk, 3).await;
    let types: Vec<_> = all.iter().map(|received| received.json()["type"].clone()).collect();
    assert_eq!(types, ["alert.opened", "alert.acknowledged", "alert.resolved"]);
    assert!(all.iter().all(|received| received.json()["subject"] == name.as_str()), "none of another's");
    let sent = deliveries(&acme, &webhook).await;
    assert_eq!(
        sent.iter().map(|delivery| delivery.r#type.as_str()).collect::<Vec<_>>(),
        ["alert.resolved", "alert.acknowledged", "alert.opened"]
    );
    wait_for("all to be written down", PATIENCE, || async {
        let sent = deliveries(&acme, &webhook).await;
        sent.iter().all(|delivery| delivery.state() == DeliveryState::Delivered).then_some(())
    })
    .await;

    // Another's webhook does not exist.
    let other = world.caller(&world.token(Role::Client, "labels.customer = \"other\"", DAY).await);
    let request = GetWebhookRequest { name: webhook.clone() };
    let refused = other.webhooks().get_webhook(request).await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "WEBHOOK_NOT_FOUND", &[]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_says_nothing_holds_up_nobody_else() {
    let (silent, desk) = (Receiver::start().await, Receiver::start().await);
    silent.be(Manner::Silent);
    let world = world(&[&silent, &desk]).await;
    let admin = world.admin();
    let stuck = hook(&admin, silent.url("/")).await;
    hook(&admin, desk.url("/")).await;
    let member = world.member("pump-1", &[]).await;
    for sequence in 1..4 {
        let heard = usize::try_from(sequence).expect("a small number") * 2;
        measure(&world, &member, sequence, 300.0).await;
        let opened = received(&desk, heard - 1).await.remove(heard - 2);
        let name = opened.json()["subject"].as_str().expect("a name").to_owned();
        let request = ResolveAlertRequest { name, ..Default::default() };
        // The same alert opens again each time.
        admin.alerts().resolve_alert(request).await.expect("resolved");
        received(&desk, heard).await;
    }
    let first = desk.received()[0].header("webhook-id").to_owned();
    let asked = received(&silent, 1).await;
    assert!(
        asked.iter().all(|request| request.header("webhook-id") == first),
        "what follows waits: {asked:?}"
    );
    let waits = deliveries(&admin, &stuck).await;
    assert!(waits.iter().all(|delivery| delivery.state() == DeliveryState::Waiting), "{waits:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_receiver_answers_has_an_end() {
    let (desk, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let world = world(&[&desk, &elsewhere]).await;
    let admin = world.admin();
    let webhook = hook(&admin, desk.url("/")).await;
    let test = async || {
        let request = TestWebhookRequest { name: webhook.clone() };
        admin.webhooks().test_webhook(request).await.expect("an answer").into_inner()
    };
    let location = format!("location: {}\r\n", elsewhere.url("/"));
    for (manner, status, error) in [
        (Manner::Answer(204), 204, ""),
        (Manner::Endless, 200, ""),
        (
            Manner::With(302, location.clone()),
            302,
            "the receiver answered 302 Found; redirects are not followed",
        ),
        (
            Manner::With(307, location),
            307,
            "the receiver answered 307 Temporary Redirect; redirects are not followed",
        ),
        (Manner::Answer(404), 404, "the receiver answered 404 Not Found"),
        (Manner::Headers, 0, "the connection broke: "),
        (Manner::Close, 0, "the connection "),
        (Manner::Silent, 0, "no answer within 15 s"),
    ] {
        desk.be(manner.clone());
        let answer = test().await;
        assert_eq!(
            (answer.http_status, answer.delivered),
            (status, error.is_empty()),
            "{manner:?}: {answer:?}"
        );
        assert!(answer.error.starts_with(error), "{manner:?}: {answer:?}");
    }
    assert_eq!(elsewhere.received().len(), 0, "nobody was led away");
    assert!(desk.received().iter().all(|received| received.json()["type"] == "webhook.test"));
    world.stop().await;
}

/// Row 73: a webhook that leads into the server's own network, by number and by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_leads_nowhere_near_the_server_unless_it_is_allowed() {
    let desk = Receiver::start().await;
    let world = World::start().await;
    let admin = world.admin();
    let port = world.port();
    for url in [
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::1]:{port}/"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://0x7f.1/".to_owned(),
    ] {
        let webhook = Webhook { display_name: "desk".into(), url, ..Webhook::default() };
        let request = CreateWebhookRequest { webhook: Some(webhook) };
        let refused = admin.webhooks().create_webhook(request).await.unwrap_err();
        assert_refused(&refused, Code::InvalidArgument, "WEBHOOK_ADDRESS_REFUSED", &[]);
    }
    // A name is looked at when it is called.
    let webhook = hook(&admin, desk.url("/")).await;
    let request = TestWebhookRequest { name: webhook.clone() };
    let answer = admin.webhooks().test_webhook(request).await.expect("an answer").into_inner();
    assert!(!answer.delivered && answer.error.ends_with("is refused: it is loopback"), "{answer:?}");
    assert_eq!(desk.received().len(), 0);
    world.stop().await;
}

/// Row 76: whoever has no certificate that the server believes is not told anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_with_a_certificate_of_somebody_else_hears_nothing() {
    let (desk, believed) = (Receiver::start().await, Receiver::start().await);
    let world = world(&[&believed]).await;
    let admin = world.admin();
    let webhook = hook(&admin, desk.url("/")).await;
    let member = world.member("pump-1", &[]).await;
    measure(&world, &member, 1, 300.0).await;
    wait_for("an attempt", PATIENCE, || async {
        let first = deliveries(&admin, &webhook).await.pop()?;
        (first.attempts > 0).then(|| assert!(first.error.starts_with("no secure connection"), "{first:?}"))
    })
    .await;
    assert_eq!(desk.received().len(), 0);
    let request = GetWebhookRequest { name: webhook.clone() };
    let failing = admin.webhooks().get_webhook(request).await.expect("the webhook").into_inner();
    assert_eq!((failing.health(), failing.waiting), (WebhookHealth::Failing, 1));

    // With the right address nothing was lost.
    let change = Webhook { name: webhook, url: believed.url("/"), ..Webhook::default() };
    let mask = prost_types::FieldMask { paths: vec!["url".into()] };
    let request = UpdateWebhookRequest { webhook: Some(change), update_mask: Some(mask) };
    admin.webhooks().update_webhook(request).await.expect("changed");
    assert_eq!(received(&believed, 1).await[0].json()["type"], "alert.opened");
    world.stop().await;
}

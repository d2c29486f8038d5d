use std::{net::Ipv4Addr, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::*;
use crate::{
    model::{address::AddressPolicy, event::NewEvent, refusal::Reason, webhook::Signature},
    rng::Rng,
    service::{
        alert_testing::{caller, device},
        courier::{self, Courier},
        webhooks::{self, NewWebhook},
    },
    store::outbox::outbox_put,
    webhook::{Outbound, Resolver},
};

#[tokio::test]
async fn a_client_is_not_told_what_is_in_the_servers_network() {
    let ctx = Context::for_test_with(|ctx| {
        let policy = AddressPolicy { http: true, networks: vec!["127.0.0.0/8".parse().unwrap()] };
        let mut outbound = Outbound::new(policy, String::new(), None, Resolver::System).unwrap();
        outbound.patience = Duration::from_millis(300);
        ctx.courier = Courier::new(outbound, &Rng::seeded(3));
    })
    .await;
    device(&ctx, "pump-1", "north").await;
    let client = caller(&ctx, "aa", Role::Client, "labels.site = \"north\"").await;
    let operator = caller(&ctx, "bb", Role::Operator, "").await;
    // Closed, and open with something else behind it.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let open = other.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = other.accept().await {
            let _ = stream.write_all(b"220 mail\r\n").await;
        }
    });
    let (mut told, mut why) = (Vec::new(), Vec::new());
    for port in [closed, open] {
        let new = NewWebhook {
            display_name: "desk".to_owned(),
            url: format!("http://127.0.0.1:{port}/"),
            scope: String::new(),
            event_types: Vec::new(),
            signature: Signature::HmacSha256,
        };
        let id = webhooks::create(&ctx, &client, new).await.unwrap().id;
        let mut tx = ctx.db.write().await.unwrap();
        let event = NewEvent::test("x", ctx.clock.now());
        outbox_put(&mut tx, NewEvent { device_id: "pump-1".to_owned(), ..event }).await.unwrap();
        tx.commit().await.unwrap();
        courier::deliver(&ctx, &id).await.unwrap();
        let page = Page::parse(10, "", &["deliveries"]).unwrap();
        let everything = Filter::parse("", FILTER_FIELDS, Reason::FilterInvalid).unwrap();
        for (who, said) in [(&client, &mut told), (&operator, &mut why)] {
            let (sent, _) = list(&ctx, who, &id, &page, &everything).await.unwrap();
            said.push(sent[0].delivery.error.clone());
            said.push(webhooks::test(&ctx, who, &id).await.unwrap().1.error);
        }
    }
    told.dedup();
    assert!(told.len() == 1 && told[0].starts_with("it could not be delivered"), "{told:?}");
    assert!(why[0].contains("cannot be reached") && why[2].contains("connection broke"), "{why:?}");
}

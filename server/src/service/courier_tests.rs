use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Mutex,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::{
    model::{
        address::AddressPolicy,
        event::{EventKind, NewEvent},
        selector::Selector,
        token::Role,
        webhook::Signature,
    },
    service::{
        alert_testing::{caller, device, relabel, revoke},
        testing::TestContext,
        token_cache::TokenCaller,
        webhooks::{self, Change, NewWebhook, Since, Standing},
    },
    store::{audit::audit_before, deliveries::deliveries_page, outbox::outbox_put},
    webhook::Resolver,
};

#[path = "courier_outage_tests.rs"]
mod outages;

/// A desk without TLS, in this process: what it heard, and what it answers.
struct Desk {
    port: u16,
    status: Arc<Mutex<u16>>,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Desk {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (status, heard) = (Arc::new(Mutex::new(204)), Arc::<Mutex<Vec<_>>>::default());
        let (answers, list) = (status.clone(), heard.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut bytes, mut body) = (Vec::new(), None);
                while body.is_none() && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let text = String::from_utf8_lossy(&bytes);
                    body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                }
                let Some(body): Option<Value> = body else { continue };
                let status = *answers.lock().unwrap();
                list.lock().unwrap().push((body["id"].as_str().unwrap().to_owned(), body));
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Desk { port, status, heard }
    }

    fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    /// What came since the last look: subject and event.
    fn heard(&self) -> Vec<(String, u64)> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        let text = |body: &Value| body["subject"].as_str().unwrap().to_owned();
        heard.iter().map(|(_, body)| (text(body), body["data"]["n"].as_u64().unwrap())).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(id, _)| id.clone()).collect()
    }
}

/// A world whose webhooks may lead to this machine by http.
async fn world() -> (TestContext, Context) {
    let test = Context::for_test().await;
    let policy = AddressPolicy { http: true, networks: vec!["127.0.0.0/8".parse().unwrap()] };
    let outbound = Outbound::new(policy, "https://fleet.example".to_owned(), None, Resolver::System).unwrap();
    let ctx = Context { courier: Courier::new(outbound, &Rng::seeded(3)), ..Context::clone(&test) };
    (test, ctx)
}

async fn hook(ctx: &Context, desk: &Desk, role: Role, scope: &str) -> (Arc<TokenCaller>, String) {
    let (id, own) = match role {
        Role::Client => ("00000000000000000001", scope),
        _ => ("00000000000000000002", ""),
    };
    let caller = caller(ctx, id, role, own).await;
    let new = NewWebhook {
        display_name: "desk".to_owned(),
        url: format!("http://127.0.0.1:{}/", desk.port),
        scope: scope.to_owned(),
        event_types: Vec::new(),
        signature: Signature::HmacSha256,
    };
    let made = webhooks::create(ctx, &caller, new).await.unwrap();
    (caller, made.id)
}

async fn happen(ctx: &Context, subject: &str, device_id: &str, n: u64) {
    let mut tx = ctx.db.write().await.unwrap();
    let event = NewEvent {
        kind: EventKind::AlertChanged,
        subject: subject.to_owned(),
        device_id: device_id.to_owned(),
        at: ctx.clock.now(),
        data: json!({ "n": n }),
    };
    outbox_put(&mut tx, event).await.unwrap();
    tx.commit().await.unwrap();
}

async fn look_at(ctx: &Context, caller: &TokenCaller, id: &str) -> Standing {
    webhooks::get(ctx, caller, id).await.unwrap()
}

fn heard(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(subject, n)| ((*subject).to_owned(), *n)).collect()
}

#[tokio::test]
async fn who_took_care_is_told_to_his_own_and_to_those_who_hear_everything() {
    let (_test, ctx) = world().await;
    device(&ctx, "pump-1", "north").await;
    let operator = caller(&ctx, "dd", Role::Operator, "").await;
    for (role, scope) in [(Role::Client, "labels.site = \"north\""), (Role::Operator, "")] {
        let desk = Desk::start().await;
        let (own, id) = hook(&ctx, &desk, role, scope).await;
        let mut tx = ctx.db.write().await.unwrap();
        for (n, by) in [own.actor(), operator.actor()].into_iter().enumerate() {
            let data = json!({ "n": n, "acknowledged_by": by });
            let event = NewEvent::test("x", ctx.clock.now());
            let kind = EventKind::AlertAcknowledged;
            outbox_put(&mut tx, NewEvent { kind, device_id: "pump-1".to_owned(), data, ..event })
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        deliver(&ctx, &id).await.unwrap();
        let heard = desk.heard.lock().unwrap();
        let by: Vec<_> = heard.iter().map(|(_, body)| body["data"]["acknowledged_by"].as_str()).collect();
        let others = if scope.is_empty() { operator.actor() } else { "somebody else".to_owned() };
        assert_eq!(by, [Some(&*own.actor()), Some(&*others)], "{role:?}");
    }
}

#[tokio::test]
async fn events_come_once_and_those_of_a_subject_in_order() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    happen(&ctx, "alerts/old", "", 0).await;
    let (caller, id) = hook(&ctx, &desk, Role::Operator, "").await;
    for n in 0..30 {
        happen(&ctx, if n % 3 == 0 { "alerts/a" } else { "alerts/b" }, "", n).await;
    }
    assert_eq!(with_work(&ctx).await.unwrap(), [id.as_str()]);
    deliver(&ctx, &id).await.unwrap();
    let came = desk.heard();
    let of = |wanted: &str| -> Vec<u64> {
        came.iter().filter(|(subject, _)| subject == wanted).map(|(_, n)| *n).collect()
    };
    assert_eq!(of("alerts/a"), (0..30).filter(|n| n % 3 == 0).collect::<Vec<_>>());
    assert_eq!(of("alerts/b"), (0..30).filter(|n| n % 3 != 0).collect::<Vec<_>>());
    assert_eq!(came.len(), 30, "each once, and none from before");
    assert!(with_work(&ctx).await.unwrap().is_empty());
    let standing = look_at(&ctx, &caller, &id).await;
    assert_eq!((standing.waiting, standing.webhook.position), (0, 31));

    // Once more, under the ids that they had.
    happen(&ctx, "alerts/c", "", 7).await;
    deliver(&ctx, &id).await.unwrap();
    let before = desk.ids();
    let (_, events) = webhooks::replay(&ctx, &caller, &id, Since::Position(31)).await.unwrap();
    assert_eq!(events, 1);
    deliver(&ctx, &id).await.unwrap();
    assert_eq!(desk.ids(), [before.clone(), before].concat());
    let (_, events) = webhooks::replay(&ctx, &caller, &id, Since::Time(ctx.clock.now())).await.unwrap();
    assert_eq!(events, 32);
    assert!(webhooks::replay(&ctx, &caller, &id, Since::Position(33)).await.is_err());
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_told_nothing_more() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    let (caller, id) = hook(&ctx, &desk, Role::Operator, "").await;
    desk.answer(410);
    happen(&ctx, "alerts/a", "", 1).await;
    deliver(&ctx, &id).await.unwrap();
    let standing = look_at(&ctx, &caller, &id).await;
    assert_eq!(standing.webhook.disabled_reason, "the receiver answered 410 Gone");
}

/// Row 77: a client that would hear of others' machines, or go on hearing.
#[tokio::test]
async fn a_client_hears_of_the_devices_in_its_scope_and_only_while_it_may_call() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    device(&ctx, "pump-1", "north").await;
    device(&ctx, "pump-2", "south").await;
    let (_, id) = hook(&ctx, &desk, Role::Client, "labels.site = \"north\"").await;
    for (n, device) in [(1, "pump-1"), (2, "pump-2"), (3, ""), (4, "pump-9")] {
        happen(&ctx, &format!("alerts/{n}"), device, n).await;
    }
    ctx.tokens.reload(&ctx).await.unwrap();
    deliver(&ctx, &id).await.unwrap();
    assert_eq!(desk.heard(), heard(&[("alerts/1", 1)]));

    // Put down while the device was his, and not sent before it was another's.
    desk.answer(500);
    happen(&ctx, "alerts/1", "pump-1", 5).await;
    deliver(&ctx, &id).await.unwrap();
    desk.answer(200);
    desk.heard();
    relabel(&ctx, "pump-1", "south").await;
    relabel(&ctx, "pump-2", "north").await;
    ctx.clock.advance(Duration::from_secs(6));
    happen(&ctx, "alerts/2", "pump-2", 6).await;
    deliver(&ctx, &id).await.unwrap();
    assert_eq!(desk.heard(), heard(&[("alerts/2", 6)]));
    let mut tx = ctx.db.read().await.unwrap();
    let states: Vec<_> = deliveries_page(&mut tx, &id, i64::MAX, 9).await.unwrap();
    drop(tx);
    let states: Vec<_> = states.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Dropped, DeliveryState::Delivered]);

    // Whose last token is revoked is told nothing; it waits for the next with the same scope.
    revoke(&ctx, "00000000000000000001").await;
    ctx.tokens.reload(&ctx).await.unwrap();
    happen(&ctx, "alerts/2", "pump-2", 7).await;
    deliver(&ctx, &id).await.unwrap();
    assert_eq!(desk.heard(), []);
    caller(&ctx, "00000000000000000002", Role::Client, "labels.site = \"north\"").await;
    ctx.tokens.reload(&ctx).await.unwrap();
    deliver(&ctx, &id).await.unwrap();
    assert_eq!(desk.heard(), heard(&[("alerts/2", 7)]));
}

#[tokio::test]
async fn a_receiver_that_is_away_for_long_costs_a_window_and_no_more() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    let (caller, id) = hook(&ctx, &desk, Role::Operator, "").await;
    desk.answer(500);
    for n in 0..(u64::try_from(WINDOW).unwrap() + 200) {
        happen(&ctx, &format!("alerts/{n}"), "", n).await;
    }
    for _ in 0..4 {
        next(&ctx, &id, &mut None).await.unwrap();
    }
    let standing = look_at(&ctx, &caller, &id).await;
    assert_eq!((standing.waiting, standing.webhook.position), (WINDOW, WINDOW));
    desk.answer(200);
    deliver(&ctx, &id).await.unwrap();
    let mut came: Vec<u64> = desk.heard().into_iter().map(|(_, n)| n).collect();
    came.sort_unstable();
    assert!(came == (0..1_200).collect::<Vec<_>>(), "{} came", came.len());
}

/// Row 74: a name that leads to another address when it is asked again.
#[tokio::test]
async fn what_is_checked_is_what_is_called() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    let (_, id) = hook(&ctx, &desk, Role::Operator, "").await;
    let mut tx = ctx.db.read().await.unwrap();
    let webhook = webhook_get(&mut tx, &id).await.unwrap().unwrap();
    drop(tx);
    let named = Webhook { url: format!("http://rebind.example:{}/", desk.port), ..webhook };
    let event = NewEvent::test(&id, ctx.clock.now()).at_position(0);
    // TEST-NET-1 stands for a public address that does not answer.
    let outside: IpAddr = "192.0.2.1".parse().unwrap();
    for (answers, error) in [
        (vec![Ipv4Addr::LOCALHOST.into()], "127.0.0.1 is refused: it is loopback"),
        (vec!["::1".parse().unwrap()], "::1 is refused: it is loopback"),
        (
            vec!["::ffff:127.0.0.1".parse().unwrap()],
            "::ffff:127.0.0.1 is refused: it is IPv4 inside of IPv6 (mapped)",
        ),
        (vec!["169.254.169.254".parse().unwrap()], "169.254.169.254 is refused: it is link-local"),
        (vec![], "the name leads to no address"),
    ] {
        let asked = Arc::new(Mutex::new(0));
        let count = asked.clone();
        let told = move |name: &str| {
            assert_eq!(name, "rebind.example");
            *count.lock().unwrap() += 1;
            answers.clone()
        };
        let policy = AddressPolicy { http: true, networks: vec!["192.0.2.0/24".parse().unwrap()] };
        let outbound = Outbound::new(policy, String::new(), None, Resolver::Told(Arc::new(told))).unwrap();
        let answer = outbound.post(&named, &event, ctx.clock.now()).await;
        assert_eq!((answer.http_status, answer.error.as_str()), (0, error));
        assert_eq!(*asked.lock().unwrap(), 1, "asked once, and no more after the check");
    }
    // The first answer is for the check, the second would be for the connection: there is none.
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let told = move |_: &str| {
        let mut count = count.lock().unwrap();
        *count += 1;
        vec![if *count == 1 { outside } else { Ipv4Addr::LOCALHOST.into() }]
    };
    let policy = AddressPolicy { http: true, networks: vec!["192.0.2.0/24".parse().unwrap()] };
    let outbound = Outbound::new(policy, String::new(), None, Resolver::Told(Arc::new(told))).unwrap();
    let answer = outbound.post(&named, &event, ctx.clock.now()).await;
    assert!(!answer.is_taken(), "{answer:?}");
    assert_eq!(*asked.lock().unwrap(), 1);
    assert_eq!(desk.heard.lock().unwrap().len(), 0, "this machine was never called");
}

/// Row 73: whoever would find by the clock what answers in a network that is not his.
#[tokio::test]
async fn without_an_answer_a_client_s_attempt_takes_all_of_its_time_whatever_the_reason() {
    let (_test, ctx) = world().await;
    let desk = Desk::start().await;
    let patience = Duration::from_millis(400);
    let mut outbound = ctx.courier.outbound().clone();
    outbound.patience = patience;
    let (_, id) = hook(&ctx, &desk, Role::Client, "labels.site = \"north\"").await;
    let mut tx = ctx.db.read().await.unwrap();
    let webhook = webhook_get(&mut tx, &id).await.unwrap().unwrap();
    drop(tx);
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let event = NewEvent::test(&id, ctx.clock.now()).at_position(0);
    for (url, is_answered) in [
        // Refused before it is called, closed, open and silent, and no such name.
        ("https://10.0.0.1/".to_owned(), false),
        (format!("http://127.0.0.1:{closed}/"), false),
        (format!("http://127.0.0.1:{}/", silent.local_addr().unwrap().port()), false),
        ("http://desk.invalid/".to_owned(), false),
        (format!("http://127.0.0.1:{}/", desk.port), true),
    ] {
        let webhook = Webhook { url: url.clone(), ..webhook.clone() };
        let started = stopwatch();
        let answer = outbound.post(&webhook, &event, ctx.clock.now()).await;
        assert_eq!(answer.http_status != 0, is_answered, "{url}: {answer:?}");
        assert_eq!(started.elapsed() >= patience, !is_answered, "{url}: {:?}", started.elapsed());
    }
    // An operator reads the reason in any case.
    let own = Webhook { scope: Selector::default(), url: format!("http://127.0.0.1:{closed}/"), ..webhook };
    let started = stopwatch();
    let answer = outbound.post(&own, &event, ctx.clock.now()).await;
    assert!(answer.error.contains("cannot be reached") && started.elapsed() < patience, "{answer:?}");
}

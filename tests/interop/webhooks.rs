//! An independent library of Standard Webhooks verifies what the server signs, and nothing else.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::json;
use slipway_proto::v1::{
    CreateWebhookRequest, RotateWebhookSecretRequest, TestWebhookRequest, Webhook, WebhookSignature,
};
use slipway_server::config::Webhooks;
use slipway_tests::{
    receiver::{Received, Receiver},
    world::World,
};

use crate::judges;

/// The versions that this was written with.
const REQUIREMENTS: [&str; 2] = ["standardwebhooks==1.1.0", "cryptography==50.0.2"];

fn verify(python: &Path, folder: &Path, key: &str, requests: &[Received]) -> Output {
    let requests: Vec<_> =
        requests.iter().map(|request| json!({ "headers": request.headers, "body": request.body })).collect();
    let file = folder.join("requests.json");
    fs::write(&file, json!({ "key": key, "requests": requests }).to_string()).expect("a file");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/verify.py");
    Command::new(python).arg(script).arg(file).output().expect("python starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Row 75: only what the server signed verifies: not another body, time or id, and not by another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_library_verifies_what_was_signed_and_nothing_else() {
    let Some(python) = judges::python_with("webhooks", &REQUIREMENTS) else { return };
    let desk = Receiver::start().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &desk.ca_pem).expect("a file");
    let networks = ["127.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
    let world = World::start_with(|config| {
        config.webhooks = Webhooks { allow_networks: networks.into(), allow_http: false, ca: Some(ca) };
    })
    .await;
    let admin = world.admin();
    let test = async |name: &str| {
        let request = TestWebhookRequest { name: name.to_owned() };
        let answer = admin.webhooks().test_webhook(request).await.expect("an answer").into_inner();
        assert!(answer.delivered, "{answer:?}");
        desk.received().pop().expect("the test")
    };
    for signature in [WebhookSignature::HmacSha256, WebhookSignature::Ed25519] {
        let webhook = Webhook {
            display_name: "desk".into(),
            url: desk.url("/"),
            signature: signature.into(),
            ..Webhook::default()
        };
        let request = CreateWebhookRequest { webhook: Some(webhook) };
        let made = admin.webhooks().create_webhook(request).await.expect("a webhook").into_inner();
        let webhook = made.webhook.expect("a webhook");
        let key = if made.secret.is_empty() { webhook.public_key.clone() } else { made.secret };
        let good = test(&webhook.name).await;
        let output = verify(&python, folder.path(), &key, std::slice::from_ref(&good));
        assert!(
            output.status.success() && said(&output).trim() == "webhook.test",
            "{signature:?}: {}",
            said(&output)
        );

        let forged = |change: &dyn Fn(&mut Received)| {
            let mut request = good.clone();
            change(&mut request);
            request
        };
        let header = |name: &'static str, value: String| {
            move |request: &mut Received| drop(request.headers.insert(name.to_owned(), value.clone()))
        };
        let seconds: i64 = good.header("webhook-timestamp").parse().expect("a number");
        for (what, request) in [
            ("another body", forged(&|request| request.body = request.body.replace("test", "best"))),
            ("another id", forged(&header("webhook-id", "msg_other".to_owned()))),
            ("another time", forged(&header("webhook-timestamp", (seconds + 1).to_string()))),
            ("no signature", forged(&header("webhook-signature", "v1,AAAA".to_owned()))),
        ] {
            let output = verify(&python, folder.path(), &key, &[request]);
            assert!(
                !output.status.success() && said(&output).contains("refused"),
                "{what}: {}",
                said(&output)
            );
        }

        // While the secret changes either is enough.
        let request = RotateWebhookSecretRequest { name: webhook.name.clone() };
        let rotated =
            admin.webhooks().rotate_webhook_secret(request).await.expect("a new secret").into_inner();
        let public = rotated.webhook.expect("the webhook").public_key;
        let next = if rotated.secret.is_empty() { public } else { rotated.secret };
        let both = test(&webhook.name).await;
        for key in [&key, &next] {
            let output = verify(&python, folder.path(), key, std::slice::from_ref(&both));
            assert!(output.status.success(), "{}", said(&output));
        }
        let output = verify(&python, folder.path(), &next, std::slice::from_ref(&good));
        assert!(!output.status.success(), "what was signed before is not signed by the new one");
    }
    world.stop().await;
}

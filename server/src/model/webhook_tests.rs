use super::*;

pub fn webhook(url: &str) -> Webhook {
    Webhook {
        id: "00000000000000000000".into(),
        display_name: "desk".into(),
        url: url.into(),
        scope: Selector::default(),
        event_types: Vec::new(),
        signature: Signature::HmacSha256,
        secret: Secret([7; SECRET_BYTES]),
        old_secret: None,
        by_client: false,
        position: 0,
        enabled: true,
        disabled_reason: String::new(),
        health: Health::default(),
        created_at: Timestamp::from_seconds(0),
        created_by: "tokens/a".into(),
        updated_at: Timestamp::from_seconds(0),
        generation: 1,
    }
}

fn refused(url: &str, policy: &AddressPolicy) -> Option<Reason> {
    webhook(url).check(policy).err().map(|refusal| refusal.reason)
}

#[test]
fn addresses_that_can_be_webhooks() {
    let policy = AddressPolicy::default();
    for good in [
        "https://desk.example/a?b=c",
        "https://8.8.8.8:8443",
        "https://[2606:4700::1111]/",
        "HTTPS://büro.example",
    ] {
        assert_eq!(refused(good, &policy), None, "{good}");
    }
    let long = format!("https://desk.example/{}", "a".repeat(URL_LENGTH));
    for bad in [
        "",
        "desk.example",
        "http://desk.example",
        "ftp://desk.example",
        "file:///etc/passwd",
        "https://",
        "https://a:b@desk.example",
        "https://ann@desk.example",
        "https://desk.example/#there",
        "https://desk.example:99999",
        "https://a b/",
        "https://desk.example/a b",
        " https://desk.example/",
        "https://desk.exa\tmple/",
        "https://desk.example/a\nb",
        "https://desk.example/\u{202e}moc",
        "https://desk.example:0/",
        &long,
    ] {
        assert_eq!(refused(bad, &policy), Some(Reason::WebhookInvalid), "{bad}");
    }
}

/// Row 73: however the number of an address is written, it is that address.
#[test]
fn an_address_of_the_server_s_own_network_is_refused_however_it_is_written() {
    let policy = AddressPolicy::default();
    for bad in [
        "https://127.0.0.1",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://0/",
        "https://0x7f.1",
        "https://127.0.0.1./",
        "https://１２７.0.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "https://[0:0:0:0:0:ffff:7f00:1]",
        "https://[fd00:ec2::254]",
        "https://10.0.0.1:443",
    ] {
        assert_eq!(refused(bad, &policy), Some(Reason::WebhookAddressRefused), "{bad}");
    }
    let allowed = AddressPolicy { http: true, networks: vec!["127.0.0.0/8".parse().unwrap()] };
    assert_eq!(refused("http://127.0.0.1:8080/", &allowed), None);
    assert_eq!(refused("https://10.0.0.1/", &allowed), Some(Reason::WebhookAddressRefused));
}

#[test]
fn what_else_is_refused() {
    let policy = AddressPolicy::default();
    let field = |webhook: Webhook| webhook.check(&policy).err().and_then(|refusal| refusal.field);
    let good = || webhook("https://desk.example");
    assert_eq!(field(good()), None);
    for name in ["", "a\u{202e}b", &"x".repeat(64)] {
        assert_eq!(
            field(Webhook { display_name: name.into(), ..good() }).as_deref(),
            Some("webhook.display_name")
        );
    }
    for types in [vec!["alert.closed".to_owned()], vec!["alert.*".to_owned(); EVENT_TYPES + 1]] {
        assert_eq!(field(Webhook { event_types: types, ..good() }).as_deref(), Some("webhook.event_types"));
    }
}

//! Machines whose keys are registered: what a line does, again and corrected, and what comes of it when they
//! enrol.

use super::*;
use crate::{
    model::{device::Approval, enrolment::Registration},
    service::{
        devices,
        registrations::{self, Imported},
    },
    store::audit::audit_page,
};

fn registration(id: &str, pair: &KeyPair) -> Registration {
    use rcgen::PublicKeyData as _;
    Registration {
        device_id: id.to_owned(),
        key: slipway_trust::Sha256::of(&pair.subject_public_key_info()),
        product: "pump".to_owned(),
        hardware: "gw-a".to_owned(),
        labels: [("site".to_owned(), "north".to_owned())].into(),
    }
}

async fn state(ctx: &Context, id: &str) -> DeviceState {
    devices::get(ctx, id).await.unwrap().device.state
}

#[tokio::test]
async fn a_registered_key_needs_nothing_else() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let file = [registration("pump-1", &pair), registration("pump-2", &other)];
    let created = Imported { created: 2, ..Imported::default() };
    assert_eq!(registrations::import(&ctx, "t", &file, true).await.unwrap(), created);
    assert!(devices::get(&ctx, "pump-1").await.is_err(), "only checked");
    assert_eq!(registrations::import(&ctx, "t", &file, false).await.unwrap(), created);
    assert_eq!(state(&ctx, "pump-1").await, DeviceState::Registered);
    let asked = |id: &str, pair: &KeyPair| Enrollment { right: Right::Key, ..asking("", pair, id) };
    for (bad, expected) in [
        (asked("pump-2", &pair), Reason::DeviceIdInvalid),
        (asked("pump-1", &KeyPair::generate().unwrap()), Reason::KeyNotRegistered),
        (Enrollment { hardware: "gw-b".into(), ..asked("pump-1", &pair) }, Reason::HardwareUnknown),
        (Enrollment { product: "valve".into(), ..asked("pump-1", &pair) }, Reason::ProductMismatch),
    ] {
        assert_eq!(reason(&ctx, &bad).await, Some(expected), "{bad:?}");
    }
    assert_eq!(state(&ctx, "pump-1").await, DeviceState::Registered, "nothing was spent");
    // Its id is not said: the server knows it.
    let enrolled = enroll(&ctx, &asked("", &pair), HERE).await.unwrap();
    assert_eq!((enrolled.device.id.as_str(), enrolled.device.state), ("pump-1", DeviceState::Active));
    assert_eq!(enrolled.device.labels["site"], "north");
    let again = enroll(&ctx, &asked("pump-1", &pair), HERE).await.unwrap();
    assert_ne!(enrolled.certificate.serial, again.certificate.serial, "a repeated call");
    let unchanged = Imported { unchanged: 2, ..Imported::default() };
    assert_eq!(registrations::import(&ctx, "t", &file, false).await.unwrap(), unchanged);
    devices::revoke(&ctx, "t", "pump-2", "lost on the way").await.unwrap();
    assert_eq!(reason(&ctx, &asked("", &other)).await, Some(Reason::DeviceRevoked));
}

#[tokio::test]
async fn a_registered_id_is_nobody_else_s() {
    let ctx = ready().await;
    let (_, text) = claim(&ctx, 1).await;
    let (pair, thief) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    registrations::import(&ctx, "t", &[registration("pump-1", &pair)], false).await.unwrap();
    assert_eq!(reason(&ctx, &asking(&text, &thief, "pump-1")).await, Some(Reason::DeviceExists));
    // With the key it is the device, and the claim keeps its use.
    assert_eq!(reason(&ctx, &asking(&text, &pair, "pump-1")).await, None);
    assert_eq!(reason(&ctx, &asking(&text, &thief, "pump-2")).await, None);
}

async fn import(ctx: &Context, line: &Registration) -> Result<Imported> {
    let line = std::slice::from_ref(line);
    let checked = registrations::import(ctx, "t", line, true).await;
    let imported = registrations::import(ctx, "t", line, false).await;
    assert_eq!(checked.as_ref().ok(), imported.as_ref().ok(), "a check says what would be");
    imported
}

async fn import_refused(ctx: &Context, line: &Registration) -> (String, String) {
    match import(ctx, line).await {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::DeviceExists => {
            (refusal.message, refusal.hint)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_line_is_corrected_until_the_machine_enrols() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let right = registration("pump-1", &pair);
    let wrong = Registration {
        product: "valve".into(),
        hardware: "gw-x".into(),
        labels: [("sight".to_owned(), "north".to_owned())].into(),
        ..right.clone()
    };
    import(&ctx, &wrong).await.unwrap();
    let bad = Registration { key: right.key, ..registration("pump-2", &other) };
    assert!(registrations::import(&ctx, "t", &[right.clone(), bad], false).await.is_err());
    assert_eq!(devices::get(&ctx, "pump-1").await.unwrap().device.hardware, "gw-x", "all or nothing");

    ctx.clock.advance(Duration::from_secs(60));
    let corrected = Imported { corrected: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &right).await.unwrap(), corrected);
    let device = devices::get(&ctx, "pump-1").await.unwrap().device;
    assert_eq!((device.product.as_str(), device.hardware.as_str()), ("pump", "gw-a"));
    assert_eq!(device.labels, right.labels);
    let unchanged = Imported { unchanged: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &right).await.unwrap(), unchanged);
    assert_eq!(devices::get(&ctx, "pump-1").await.unwrap().device.generation, device.generation);
    let mut tx = ctx.db.read().await.unwrap();
    let audit = audit_page(&mut tx, 0, 10).await.unwrap();
    drop(tx);
    let entries: Vec<_> = audit.iter().filter(|entry| entry.action == "ImportDevices").collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    let said = entries.iter().find(|entry| entry.resource == "devices/pump-1").unwrap();
    assert!(said.detail.contains("gw-a") && said.detail.contains("gw-x"), "{said:?}");

    // Labels that an operator gave it since are the operator's.
    ctx.clock.advance(Duration::from_secs(60));
    let site = devices::LabelChange::Some(vec![("site".to_owned(), Some("south".to_owned()))]);
    devices::set_labels(&ctx, "t", "pump-1", &site, "").await.unwrap();
    assert_eq!(import(&ctx, &right).await.unwrap(), unchanged);
    assert_eq!(import(&ctx, &wrong).await.unwrap(), corrected);
    assert_eq!(import(&ctx, &right).await.unwrap(), corrected);
    assert_eq!(devices::get(&ctx, "pump-1").await.unwrap().device.labels["site"], "south");

    let asked = Enrollment { right: Right::Key, ..asking("", &pair, "pump-1") };
    enroll(&ctx, &asked, HERE).await.unwrap();
    assert_eq!(import(&ctx, &right).await.unwrap(), unchanged);
    let (said, hint) = import_refused(&ctx, &wrong).await;
    assert!(said.contains("pump-1 with another product") && said.contains("has enrolled"), "{said}");
    assert!(hint.contains("nothing was registered"), "{hint}");
    devices::revoke(&ctx, "t", "pump-1", "stolen").await.unwrap();
    let revoked = Imported { unchanged: 1, revoked: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &right).await.unwrap(), revoked, "the growing file of a line goes on");
    let (said, hint) = import_refused(&ctx, &wrong).await;
    assert!(said.contains("pump-1") && said.contains("revoked"), "{said}");
    assert!(hint.contains("new id"), "{hint}");
}

#[tokio::test]
async fn a_machine_that_was_revoked_before_it_enrolled_is_registered_anew_by_another_line() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let right = registration("pump-1", &pair);
    let wrong = Registration { hardware: "gw-x".into(), ..right.clone() };
    import(&ctx, &wrong).await.unwrap();
    let (said, hint) = import_refused(&ctx, &registration("pump-1", &other)).await;
    assert!(said.contains("pump-1 with another key"), "{said}");
    assert!(hint.contains("slipway device revoke pump-1"), "{hint}");
    devices::revoke(&ctx, "t", "pump-1", "a typo").await.unwrap();
    let revoked = Imported { unchanged: 1, revoked: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &wrong).await.unwrap(), revoked, "the same line again undoes no revoke");
    assert_eq!(import(&ctx, &right).await.unwrap(), revoked, "nor does another line with the same key");
    assert_eq!(state(&ctx, "pump-1").await, DeviceState::Revoked);
    let created = Imported { created: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &registration("pump-1", &other)).await.unwrap(), created, "another key");
    let asked = |pair: &KeyPair| Enrollment { right: Right::Key, ..asking("", pair, "pump-1") };
    assert_eq!(reason(&ctx, &asked(&pair)).await, Some(Reason::KeyNotRegistered), "the key of before");
    let device = enroll(&ctx, &asked(&other), HERE).await.unwrap().device;
    assert_eq!((device.state, device.enrolled_by), (DeviceState::Active, registration("", &other).right()));
}

#[tokio::test]
async fn no_older_line_takes_a_revoke_back() {
    let ctx = ready().await;
    let [stolen, second, third] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let first_line = Registration { hardware: "gw-x".into(), ..registration("pump-1", &stolen) };
    let corrected = registration("pump-1", &stolen);
    import(&ctx, &first_line).await.unwrap();
    import(&ctx, &corrected).await.unwrap();
    devices::revoke(&ctx, "t", "pump-1", "stolen").await.unwrap();
    let revoked = Imported { unchanged: 1, revoked: 1, ..Imported::default() };
    for line in [&corrected, &first_line] {
        assert_eq!(import(&ctx, line).await.unwrap(), revoked);
    }
    // Nor when the machine got another key meanwhile, in use or revoked too.
    import(&ctx, &registration("pump-1", &second)).await.unwrap();
    let (said, hint) = import_refused(&ctx, &first_line).await;
    assert!(said.contains("the key of pump-1 was revoked"), "{said}");
    assert!(hint.contains("a new key"), "{hint}");
    devices::revoke(&ctx, "t", "pump-1", "stolen too").await.unwrap();
    for key in [&stolen, &second] {
        assert_eq!(import(&ctx, &registration("pump-1", key)).await.unwrap(), revoked);
        let asked = Enrollment { right: Right::Key, ..asking("", key, "pump-1") };
        assert!(enroll(&ctx, &asked, HERE).await.is_err());
    }
    let created = Imported { created: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &registration("pump-1", &third)).await.unwrap(), created);
}

#[tokio::test]
async fn a_name_that_a_stranger_took_and_nobody_approved_can_be_registered() {
    let ctx = ready().await;
    let new = NewClaim {
        product: "pump".into(),
        hardware: vec!["gw-a".into()],
        uses: 9,
        approve: true,
        ..NewClaim::default()
    };
    let (_, text) = claims::create(&ctx, "t", new).await.unwrap();
    let [stranger, own, approved] = [(); 3].map(|()| KeyPair::generate().unwrap());
    let asked = Enrollment {
        attributes: [("serial".to_owned(), "not this machine's".to_owned())].into(),
        ..asking(&text, &stranger, "pump-1")
    };
    enroll(&ctx, &asked, HERE).await.unwrap();
    enroll(&ctx, &asking(&text, &approved, "pump-2"), HERE).await.unwrap();
    devices::approve(&ctx, "t", "pump-2", "").await.unwrap();
    for id in ["pump-1", "pump-2"] {
        import_refused(&ctx, &registration(id, &own)).await;
        devices::revoke(&ctx, "t", id, "not ours").await.unwrap();
    }
    let revoked = Imported { unchanged: 1, revoked: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &registration("pump-1", &stranger)).await.unwrap(), revoked);
    import_refused(&ctx, &registration("pump-2", &own)).await;
    let created = Imported { created: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &registration("pump-1", &own)).await.unwrap(), created);
    let device = devices::get(&ctx, "pump-1").await.unwrap().device;
    assert_eq!((device.state, device.inventory.attributes.len()), (DeviceState::Registered, 0));
    assert!(!device.has_enrolled() && device.enrolled_by == registration("", &own).right());
    assert_eq!(reason(&ctx, &asked).await, Some(Reason::DeviceExists), "the stranger");
    let asked = Enrollment { right: Right::Key, ..asking("", &own, "pump-1") };
    assert_eq!(enroll(&ctx, &asked, HERE).await.unwrap().device.state, DeviceState::Active);
}

#[tokio::test]
async fn what_cannot_be_registered() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let good = registration("pump-1", &pair);
    import(&ctx, &good).await.unwrap();
    let refusal = async |file: &[Registration]| match registrations::import(&ctx, "t", file, false).await {
        Err(Error::Refused(refusal)) => (refusal.reason, refusal.field.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    let (fresh, third) = (registration("pump-2", &other), slipway_trust::Sha256::of(b"a third key"));
    for (bad, reason, field) in [
        (Registration { device_id: "pump-3".into(), ..good.clone() }, Reason::DeviceExists, ""),
        (Registration { key: third, ..good.clone() }, Reason::DeviceExists, ""),
        (
            Registration { device_id: "Pump".into(), ..good.clone() },
            Reason::RegistrationInvalid,
            ".device_id",
        ),
        (Registration { product: "root".into(), ..good.clone() }, Reason::RegistrationInvalid, ".product"),
        (Registration { hardware: "a b".into(), ..good.clone() }, Reason::RegistrationInvalid, ".hardware"),
        (Registration { key: fresh.key, ..good.clone() }, Reason::RegistrationInvalid, ".key"),
        (fresh.clone(), Reason::RegistrationInvalid, ".device_id"),
    ] {
        let expected = (reason, format!("registrations[1]{field}"));
        assert_eq!(refusal(&[fresh.clone(), bad.clone()]).await, expected, "{bad:?}");
        assert!(devices::get(&ctx, "pump-2").await.is_err(), "all or nothing");
    }
    assert_eq!(refusal(&[]).await.0, Reason::RegistrationInvalid);
}

/// Registered, enrolled, and one who has the signing request that was sent then.
async fn enrolled_by_key() -> (TestContext, KeyPair, Enrollment) {
    let (ctx, pair) = (ready().await, KeyPair::generate().unwrap());
    import(&ctx, &registration("pump-1", &pair)).await.unwrap();
    let asked = Enrollment { right: Right::Key, ..asking("", &pair, "pump-1") };
    enroll(&ctx, &asked, HERE).await.unwrap();
    (ctx, pair, asked)
}

#[tokio::test]
async fn a_call_that_is_repeated_late_waits_for_a_yes_as_a_renewal_does() {
    let (ctx, _, asked) = enrolled_by_key().await;
    let too_late = limits::DEVICE_CERTIFICATE + ctx.renew_after_expiry + crate::model::time::DAY;
    for _ in 0..2 {
        ctx.clock.advance(too_late);
        for _ in 0..2 {
            assert_eq!(reason(&ctx, &asked).await, Some(Reason::RenewalNeedsApproval));
        }
        let device = devices::get(&ctx, "pump-1").await.unwrap().device;
        assert_eq!(
            (device.state, device.standing.renewal),
            (DeviceState::Quarantined, Approval::Waiting),
            "an operator sees it"
        );
        devices::clear_quarantine(&ctx, "t", "pump-1").await.unwrap();
        assert_eq!(reason(&ctx, &asked).await, None);
        let device = devices::get(&ctx, "pump-1").await.unwrap().device;
        assert_eq!(device.standing.renewal, Approval::Free, "one yes is one certificate");
    }
    let mut tx = ctx.db.read().await.unwrap();
    let audit = audit_page(&mut tx, 0, 20).await.unwrap();
    let acts: Vec<_> = audit.iter().map(|entry| entry.action.as_str()).collect();
    let once = ["AskRenewal", "ClearQuarantine", "Enroll"];
    assert_eq!(acts[acts.len() - 7..], [&["Enroll"], &once[..], &once[..]].concat());
    assert!(audit.last().unwrap().detail.starts_with("again: serial "), "{audit:?}");
}

#[tokio::test]
async fn who_repeats_an_old_call_leaves_the_device_its_renewals() {
    let (ctx, pair, asked) = enrolled_by_key().await;
    for _ in 0..limits::RENEWALS {
        assert_eq!(reason(&ctx, &asked).await, None);
    }
    assert_eq!(reason(&ctx, &asked).await, Some(Reason::RateLimited));
    let renewal = renew::Renewal {
        device_id: "pump-1".to_owned(),
        csr: csr(&pair, "pump-1"),
        proof: renew::Proof::Certificate(registration("", &pair).key),
    };
    for _ in 0..limits::RENEWALS {
        renew::renew(&ctx, &renewal).await.unwrap();
    }
    assert!(renew::renew(&ctx, &renewal).await.is_err());
}

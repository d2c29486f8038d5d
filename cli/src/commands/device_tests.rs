//! Devices and updates as people read them.

use super::*;

const NOW: i64 = 1_795_356_185_000;

/// A device with everything that a person wants to see.
pub(crate) fn pump() -> v1::Device {
    v1::Device {
        name: "devices/pump-01".into(),
        product: "pump".into(),
        hardware: "gw-a".into(),
        state: v1::DeviceState::Active.into(),
        labels: [("site".to_owned(), "north".to_owned()), ("ring".to_owned(), "canary".to_owned())].into(),
        components: vec![v1::InstalledComponent {
            component: "system".into(),
            version: "1.0.0".into(),
            counter: 1,
            slot: "a".into(),
            ..v1::InstalledComponent::default()
        }],
        agent_version: "0.1.0".into(),
        last_seen_time: Some(human::timestamp(NOW - 12_000)),
        create_time: Some(human::timestamp(NOW - 86_400_000)),
        consent: vec![v1::DataClass::Essential.into(), v1::DataClass::Diagnostic.into()],
        online: true,
        ..v1::Device::default()
    }
}

#[test]
fn a_device_in_full() {
    assert_eq!(
        render(&pump(), NOW),
        "device    pump-01\n\
         product   pump\n\
         hardware  gw-a\n\
         state     active\n\
         runs      system 1.0.0 (counter 1, slot a)\n\
         labels    ring=canary, site=north\n\
         seen      2026-11-22 14:02:53Z (12s ago)\n\
         online    yes\n\
         enrolled  2026-11-21 14:03:05Z (1d ago)\n\
         agent     0.1.0\n\
         consent   essential, diagnostic\n"
    );
}

#[test]
fn a_device_that_needs_somebody() {
    let late = v1::Device {
        state: v1::DeviceState::Quarantined.into(),
        renewal_waits: true,
        duplicate_identity_time: Some(human::timestamp(NOW - 60_000)),
        ..pump()
    };
    let text = render(&late, NOW);
    assert!(text.contains("quarantined, waits for a yes to renew its certificate\n"), "{text}");
    let line = "duplicate  its key was in use at two addresses at once, 2026-11-22 14:02:05Z (1m ago)\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn devices_as_a_table() {
    let quarantined = v1::Device {
        name: "devices/pump-02".into(),
        state: v1::DeviceState::Quarantined.into(),
        quarantined_until: Some(human::timestamp(NOW + 3_600_000)),
        online: false,
        labels: Default::default(),
        alerts: Some(v1::DeviceAlerts {
            count: 2,
            severity: v1::AlertSeverity::Critical.into(),
            health: v1::AlertHealth::OutOfSpecification.into(),
            suppressed: true,
        }),
        ..pump()
    };
    assert!(render(&quarantined, NOW).contains("\nalerts    2, critical* (out of specification)\n"));
    assert_eq!(
        render_list(&[pump(), quarantined], NOW),
        "ID       PRODUCT  HARDWARE  STATE                                   RUNS          SEEN               ALERTS        LABELS\n\
         pump-01  pump     gw-a      active                                  system 1.0.0  online (12s ago)                 ring=canary, site=north\n\
         pump-02  pump     gw-a      quarantined until 2026-11-22 15:03:05Z  system 1.0.0  offline (12s ago)  2, critical*\n"
    );
}

#[test]
fn a_device_as_a_client_reads_it() {
    let shown = v1::Device {
        name: "devices/pump-01".into(),
        product: "pump".into(),
        hardware: "gw-a".into(),
        state: v1::DeviceState::Active.into(),
        online: true,
        last_seen_time: Some(human::timestamp(NOW - 12_000)),
        components: vec![v1::InstalledComponent {
            component: "system".into(),
            version: "1.0.0".into(),
            ..v1::InstalledComponent::default()
        }],
        ..v1::Device::default()
    };
    assert_eq!(
        render(&shown, NOW),
        "device    pump-01\n\
         product   pump\n\
         hardware  gw-a\n\
         state     active\n\
         runs      system 1.0.0\n\
         seen      2026-11-22 14:02:53Z (12s ago)\n\
         online    yes\n"
    );
}

#[test]
fn updates_as_a_table() {
    let update = v1::Update {
        name: "devices/pump-01/updates/u1".into(),
        rollout: "rollouts/r1".into(),
        wave: 1,
        release: "releases/pump/2.1.0".into(),
        from_version: "2.0.0".into(),
        state: v1::UpdateState::RolledBack.into(),
        reason: Some(v1::Reason { code: "HEALTH_CHECK_FAILED".into(), detail: "exit code 1".into() }),
        bytes_fetched: 3 << 20,
        update_time: Some(human::timestamp(NOW - 60_000)),
        ..v1::Update::default()
    };
    assert_eq!(
        render_updates(&[update], NOW),
        "DEVICE   RELEASE     FROM   STATE        CHANGED  FETCHED  ROLLOUT    REASON\n\
         pump-01  pump/2.1.0  2.0.0  rolled back  1m ago   3.0 MiB  r1 wave 1  HEALTH_CHECK_FAILED: exit code 1\n"
    );
}

#[test]
fn a_device_says_by_what_right_it_is_one() {
    let device = v1::Device { enrolled_by: "claims/c1".into(), ..pump() };
    let text = render(&device, NOW);
    assert!(text.contains("enrolled  2026-11-21 14:03:05Z (1d ago), by claims/c1\n"), "{text}");
    let early = v1::Device {
        state: v1::DeviceState::Registered.into(),
        enrolled_by: "keys/ab".into(),
        components: Vec::new(),
        ..pump()
    };
    let text = render(&early, NOW);
    assert!(text.contains("state       registered\n") && text.contains("registered  2026"), "{text}");
}

//! `slipway device explain`: why a device does what it does, in sentences.

use std::fmt::Write as _;

use slipway_proto::v1;

use crate::{
    commands::device::{component_words, duplicate, reason_words, state, update_state},
    human, names,
};

/// The whole answer for people. `ended` is the last rollout of the product that ended well, if it did so without the
/// device. `now` in milliseconds since 1970.
pub fn render(answer: &v1::ExplainDeviceResponse, ended: Option<&v1::Rollout>, now: i64) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = device(&mut text, answer, now);
    let _ = verdicts(&mut text, answer, now);
    let _ = ended.map(|rollout| without(&mut text, rollout, now));
    let _ = updates(&mut text, &answer.updates, now);
    text
}

fn device(text: &mut String, answer: &v1::ExplainDeviceResponse, now: i64) -> std::fmt::Result {
    let Some(device) = &answer.device else { return Ok(()) };
    let name = names::short(&device.name);
    let who = match device.state() {
        v1::DeviceState::Revoked => {
            writeln!(text, "{name} is revoked: its calls are refused, and it is offered nothing.")?;
            "It is".to_owned()
        }
        _ => format!("{name} is {}", state(device)),
    };
    let seen = match &device.last_seen_time {
        Some(time) => format!("last seen {}", human::moment(time, now)),
        None if device.state() == v1::DeviceState::Registered => "it has not enrolled yet".into(),
        None => "never seen since it enrolled".into(),
    };
    writeln!(
        text,
        "{who} of product {}, hardware {}, and {}; {seen}.",
        device.product,
        device.hardware,
        if device.online { "online" } else { "offline" },
    )?;
    for component in &device.components {
        writeln!(text, "It runs {}.", component_words(component))?;
    }
    if device.floor > 0 {
        writeln!(text, "It never goes below release counter {}.", device.floor)?;
    }
    if let Some(held) = &answer.metadata {
        writeln!(
            text,
            "It trusts root {}, timestamp {}, snapshot {}, targets {}, product {} and assignment {}.",
            held.root, held.timestamp, held.snapshot, held.targets, held.product, held.assignment
        )?;
    }
    if device.state() == v1::DeviceState::Pending {
        writeln!(text, "It waits for an operator's yes: slipway device approve {name}.")?;
    }
    if device.renewal_waits {
        writeln!(
            text,
            "Its certificate ended too long ago: it gets a new one after slipway device unquarantine {name}."
        )?;
    }
    if device.duplicate_identity_time.is_some() {
        writeln!(
            text,
            "Look into it: {}. If all is well: slipway device unquarantine {name}.",
            duplicate(device, now)
        )?;
    }
    if let Some(blocked) = &device.blocked {
        writeln!(text, "It installs nothing at the moment: {}", reason_words(blocked))?;
    }
    Ok(())
}

fn verdicts(text: &mut String, answer: &v1::ExplainDeviceResponse, now: i64) -> std::fmt::Result {
    writeln!(text)?;
    match (answer.offer.as_str(), answer.verdicts.is_empty()) {
        ("", true) => writeln!(text, "It is offered nothing: no rollout of its product is active.")?,
        ("", false) => writeln!(text, "At its next check-in it is offered nothing:")?,
        (offer, _) => writeln!(
            text,
            "At its next check-in it is offered {} by rollout {}.",
            names::short(offer),
            names::short(&answer.rollout)
        )?,
    }
    for verdict in &answer.verdicts {
        let place = match verdict.wave {
            0 => "which does not select it".into(),
            wave => {
                format!("in whose wave {wave} it stands, at {}%", human::number(verdict.position * 100.0))
            }
        };
        let name = names::short(&verdict.rollout);
        let release = names::short(&verdict.release);
        writeln!(
            text,
            "  rollout {name} of {release}, {place}{}",
            if verdict.reasons.is_empty() { ": offers" } else { ":" }
        )?;
        for reason in &verdict.reasons {
            write!(text, "    {}: {}", reason.code, reason.detail)?;
            match &reason.until {
                Some(until) => writeln!(text, " This can change at {}.", human::moment(until, now))?,
                None => writeln!(text)?,
            }
        }
    }
    Ok(())
}

/// Whoever is left out when the last wave has passed would otherwise never hear why it is behind.
fn without(text: &mut String, rollout: &v1::Rollout, now: i64) -> std::fmt::Result {
    writeln!(
        text,
        "The last rollout of its product, {} of {}, ended {} and did not update it: it was left out or not there. It needs \
         another rollout; one with --standing waits for those that are left out by their alerts.",
        names::short(&rollout.name),
        names::short(&rollout.release),
        human::maybe_relative(rollout.update_time.as_ref(), now)
    )
}

/// Whether a rollout that ended did so without the device: it neither updated it nor brought what it runs.
pub fn is_without(rollout: &v1::Rollout, answer: &v1::ExplainDeviceResponse) -> bool {
    let version = rollout.release.rsplit('/').next().unwrap_or_default();
    let components = answer.device.iter().flat_map(|device| &device.components);
    !answer.updates.iter().any(|update| update.rollout == rollout.name)
        && !components.into_iter().any(|component| component.version == version)
}

fn updates(text: &mut String, updates: &[v1::Update], now: i64) -> std::fmt::Result {
    if updates.is_empty() {
        return writeln!(text, "\nIt has had no update yet.");
    }
    writeln!(text, "\nIts updates, newest first:")?;
    for update in updates {
        write!(text, "  {}", names::short(&update.release))?;
        if !update.from_version.is_empty() {
            write!(text, " from {}", update.from_version)?;
        }
        write!(text, ": {}", update_state(update.state()))?;
        if let Some(time) = &update.update_time {
            write!(text, " {}", human::moment(time, now))?;
        }
        writeln!(text)?;
        if let Some(reason) = &update.reason {
            writeln!(text, "    because {}", reason_words(reason))?;
        }
        write!(
            text,
            "    attempt {}, {} fetched, {} written; rollout {}, wave {}",
            update.attempt.max(1),
            human::bytes(update.bytes_fetched),
            human::bytes(update.bytes_written),
            names::short(&update.rollout),
            update.wave
        )?;
        match &update.deadline {
            Some(deadline) => writeln!(text, "; times out {}", human::moment(deadline, now))?,
            None => writeln!(text)?,
        }
        for event in &update.history {
            let time = event.time.as_ref().map_or_else(|| "-".into(), human::absolute);
            let state = update_state(event.state());
            write!(text, "    {time}  {state:<11}  by {}", event.actor)?;
            match &event.reason {
                Some(reason) => writeln!(text, "  {}", reason_words(reason))?,
                None => writeln!(text)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_356_185_000;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(human::timestamp(NOW + seconds * 1_000))
    }

    fn answer() -> v1::ExplainDeviceResponse {
        let event = |state: v1::UpdateState, seconds, actor: &str, code: &str| v1::UpdateEvent {
            state: state.into(),
            time: at(seconds),
            actor: actor.into(),
            reason: (!code.is_empty())
                .then(|| v1::Reason { code: code.into(), detail: "the health command exited with 1".into() }),
        };
        v1::ExplainDeviceResponse {
            device: Some(v1::Device {
                name: "devices/pump-01".into(),
                product: "pump".into(),
                hardware: "gw-a".into(),
                state: v1::DeviceState::Active.into(),
                online: true,
                last_seen_time: at(-12),
                floor: 1,
                components: vec![v1::InstalledComponent {
                    component: "system".into(),
                    version: "2.0.0".into(),
                    counter: 2,
                    slot: "b".into(),
                    ..v1::InstalledComponent::default()
                }],
                blocked: Some(v1::Reason {
                    code: "STALE_METADATA".into(),
                    detail: "the timestamp expired 2 days ago".into(),
                }),
                ..v1::Device::default()
            }),
            verdicts: vec![v1::RolloutVerdict {
                rollout: "rollouts/r2".into(),
                release: "releases/pump/2.1.0".into(),
                wave: 2,
                position: 0.342,
                reasons: vec![
                    v1::VerdictReason {
                        code: "WAVE_NOT_OPEN".into(),
                        detail: "Wave 1 is not done.".into(),
                        until: None,
                    },
                    v1::VerdictReason {
                        code: "SOAKING".into(),
                        detail: "Wave 1 has to hold for 5 minutes.".into(),
                        until: at(300),
                    },
                ],
            }],
            updates: vec![v1::Update {
                name: "devices/pump-01/updates/u1".into(),
                rollout: "rollouts/r1".into(),
                wave: 1,
                release: "releases/pump/2.0.1".into(),
                from_version: "2.0.0".into(),
                state: v1::UpdateState::RolledBack.into(),
                reason: Some(v1::Reason {
                    code: "HEALTH_CHECK_FAILED".into(),
                    detail: "the health command exited with 1".into(),
                }),
                bytes_fetched: 3 << 20,
                bytes_written: 8 << 20,
                attempt: 1,
                update_time: at(-3_600),
                history: vec![
                    event(v1::UpdateState::Offered, -3_700, "server", ""),
                    event(v1::UpdateState::Trial, -3_650, "device", ""),
                    event(v1::UpdateState::RolledBack, -3_600, "device", "HEALTH_CHECK_FAILED"),
                ],
                ..v1::Update::default()
            }],
            metadata: Some(v1::MetadataVersions {
                root: 1,
                timestamp: 8,
                snapshot: 5,
                targets: 2,
                product: 3,
                assignment: 4,
            }),
            ..v1::ExplainDeviceResponse::default()
        }
    }

    #[test]
    fn everything_is_a_sentence() {
        assert_eq!(
            render(&answer(), None, NOW),
            "\
pump-01 is active of product pump, hardware gw-a, and online; last seen 2026-11-22 14:02:53Z (12s ago).
It runs system 2.0.0 (counter 2, slot b).
It never goes below release counter 1.
It trusts root 1, timestamp 8, snapshot 5, targets 2, product 3 and assignment 4.
It installs nothing at the moment: STALE_METADATA: the timestamp expired 2 days ago

At its next check-in it is offered nothing:
  rollout r2 of pump/2.1.0, in whose wave 2 it stands, at 34.2%:
    WAVE_NOT_OPEN: Wave 1 is not done.
    SOAKING: Wave 1 has to hold for 5 minutes. This can change at 2026-11-22 14:08:05Z (in 5m).

Its updates, newest first:
  pump/2.0.1 from 2.0.0: rolled back 2026-11-22 13:03:05Z (1h ago)
    because HEALTH_CHECK_FAILED: the health command exited with 1
    attempt 1, 3.0 MiB fetched, 8.0 MiB written; rollout r1, wave 1
    2026-11-22 13:01:25Z  offered      by server
    2026-11-22 13:02:15Z  trial        by device
    2026-11-22 13:03:05Z  rolled back  by device  HEALTH_CHECK_FAILED: the health command exited with 1
"
        );
    }

    #[test]
    fn that_a_device_is_revoked_comes_first() {
        let device = answer().device.map(|d| v1::Device { state: v1::DeviceState::Revoked.into(), ..d });
        let text = render(&v1::ExplainDeviceResponse { device, ..answer() }, None, NOW);
        assert!(
            text.starts_with(
                "pump-01 is revoked: its calls are refused, and it is offered nothing.\n\
                 It is of product pump, hardware gw-a, and online; last seen "
            ),
            "{text}"
        );
    }

    #[test]
    fn an_offer_and_an_idle_device() {
        let device = answer().device.map(|d| v1::Device { blocked: None, floor: 0, ..d });
        let idle =
            v1::ExplainDeviceResponse { device: device.clone(), ..v1::ExplainDeviceResponse::default() };
        let text = render(&idle, None, NOW);
        assert!(text.contains("\nIt is offered nothing: no rollout of its product is active.\n"), "{text}");
        assert!(text.ends_with("\nIt has had no update yet.\n"), "{text}");

        let new = device.clone().map(|d| v1::Device {
            components: vec![v1::InstalledComponent {
                component: "system".into(),
                slot: "a".into(),
                ..v1::InstalledComponent::default()
            }],
            ..d
        });
        let text = render(&v1::ExplainDeviceResponse { device: new, ..idle.clone() }, None, NOW);
        assert!(
            text.contains("\nIt runs system as delivered (slot a), not updated by Slipway yet.\n"),
            "{text}"
        );

        let offered = v1::ExplainDeviceResponse {
            offer: "releases/pump/2.1.0".into(),
            rollout: "rollouts/r2".into(),
            verdicts: vec![v1::RolloutVerdict {
                rollout: "rollouts/r2".into(),
                release: "releases/pump/2.1.0".into(),
                wave: 1,
                position: 0.05,
                reasons: vec![],
            }],
            ..idle
        };
        let text = render(&offered, None, NOW);
        assert!(
            text.contains(
                "At its next check-in it is offered pump/2.1.0 by rollout r2.\n  \
                 rollout r2 of pump/2.1.0, in whose wave 1 it stands, at 5%: offers\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_rollout_that_ended_without_it_is_named() {
        let ended = v1::Rollout {
            name: "rollouts/r9".into(),
            release: "releases/pump/3.0.0".into(),
            update_time: at(-7_200),
            ..v1::Rollout::default()
        };
        let answer = answer();
        assert!(is_without(&ended, &answer));
        let text = render(&answer, Some(&ended), NOW);
        assert!(
            text.contains(
                "The last rollout of its product, r9 of pump/3.0.0, ended 2h ago and did not update it"
            ),
            "{text}"
        );
        assert!(text.contains("--standing"), "{text}");
        let its_own = v1::Rollout { name: answer.updates[0].rollout.clone(), ..ended.clone() };
        assert!(!is_without(&its_own, &answer));
        assert!(!is_without(&v1::Rollout { release: "releases/pump/2.0.0".into(), ..ended }, &answer));
    }
}

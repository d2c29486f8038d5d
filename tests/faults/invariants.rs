//! What must hold whatever was killed.

use std::{collections::BTreeMap, time::Duration};

use slipway_agent::{config::StateDir, journal::Journal, machine::Snapshot};
use slipway_proto::v1::{GetDeviceRequest, ListUpdatesRequest, Update};
use slipway_tests::{clock::wait_for, fleet::Fleet};
use sqlx::{Connection as _, SqliteConnection};

/// Every device runs one of the published images, whole, and its agent still talks to the server.
pub async fn every_device_works(fleet: &mut Fleet, images: &[Vec<u8>]) {
    for index in 0..fleet.devices.len() {
        wait_for("the device to come to rest and report it", Duration::from_secs(90), || async {
            let device = &fleet.devices[index];
            let name = format!("devices/{}", device.id);
            let known = fleet.admin().fleet().get_device(GetDeviceRequest { name }).await.ok()?.into_inner();
            let slot = &known.components.first()?.slot;
            (known.online && device.boot("default") == *slot && device.boot("try") == "none").then_some(())
        })
        .await;
        let device = &mut fleet.devices[index];
        let running = device.running();
        assert_eq!(device.boot("running"), device.boot("default"), "{}: on trial for ever", device.id);
        assert!(
            images.contains(&running),
            "{} runs {} bytes that nobody published\n{}",
            device.id,
            running.len(),
            device.last_words()
        );
        let working = device.agent.as_mut().is_some_and(slipway_tests::processes::Process::is_running);
        assert!(working, "{}: the agent ended\n{}", device.id, device.last_words());
    }
}

/// What the agents hold as acknowledged, the server has.
pub async fn no_acknowledged_report_is_missing(fleet: &mut Fleet) {
    for device in &mut fleet.devices {
        device.agent = None;
    }
    fleet.server.kill();
    let file = format!("sqlite:{}", fleet.data().join("slipway.db").display());
    let mut db = SqliteConnection::connect(&file).await.expect("the server's database");
    let mut total = 0;
    for device in &fleet.devices {
        let journal = StateDir::new(&device.state).journal();
        let last = Journal::peek(&journal).expect("the agent's journal").last.expect("a record");
        let memory = serde_json::from_slice::<Snapshot>(&last).expect("a snapshot").memory;
        let kept: Vec<i64> = sqlx::query_scalar("SELECT sequence FROM reports WHERE device_id = $1")
            .bind(&device.id)
            .fetch_all(&mut db)
            .await
            .expect("the reports");
        // What left the outbox was acknowledged.
        let acknowledged: Vec<u64> = (1..=memory.sequence)
            .filter(|n| memory.outbox.iter().all(|report| report.sequence != *n))
            .collect();
        let missing: Vec<&u64> =
            acknowledged.iter().filter(|n| i64::try_from(**n).is_ok_and(|n| !kept.contains(&n))).collect();
        assert!(missing.is_empty(), "{}: acknowledged and lost: {missing:?}", device.id);
        total += acknowledged.len();
    }
    println!("{total} acknowledged reports, none missing");
    assert!(total > 100, "only {total} reports: the campaign tested nothing");
}

/// Replays every update of the rollouts from offer to end and counts how many ran side by side.
pub async fn no_wave_was_ever_over_its_limit(fleet: &Fleet, rollouts: &[String], limits: [u32; 2]) {
    let mut side_by_side: BTreeMap<(String, u32), Vec<(i64, i64)>> = BTreeMap::new();
    for update in updates(fleet).await {
        let moment = |time: &Option<prost_types::Timestamp>| {
            time.as_ref().map_or(0, |t| t.seconds * 1000 + i64::from(t.nanos) / 1_000_000)
        };
        let changes = side_by_side.entry((update.rollout.clone(), update.wave)).or_default();
        changes.push((moment(&update.create_time), 1));
        if update.deadline.is_none() {
            // Finished: it left before anything else that happened in the same millisecond.
            changes.push((moment(&update.update_time), -1));
        }
    }
    assert!(side_by_side.len() >= rollouts.len(), "fewer waves than rollouts: {side_by_side:?}");
    for ((rollout, wave), mut changes) in side_by_side {
        changes.sort_unstable();
        let mut now = 0;
        let peak = changes
            .iter()
            .map(|(_, change)| {
                now += change;
                now
            })
            .max()
            .unwrap_or(0);
        let limit = i64::from(limits[usize::try_from(wave).unwrap_or(1) - 1]);
        assert!(peak <= limit, "{rollout}, wave {wave}: {peak} in flight, {limit} allowed");
    }
}

async fn updates(fleet: &Fleet) -> Vec<Update> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListUpdatesRequest {
            parent: "devices/-".to_owned(),
            page_size: 1000,
            page_token,
            ..ListUpdatesRequest::default()
        };
        let page = fleet.admin().fleet().list_updates(request).await.expect("updates").into_inner();
        all.extend(page.updates);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

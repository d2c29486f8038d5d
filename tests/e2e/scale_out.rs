//! Two replicas on one PostgreSQL and one bucket: whichever is asked, it is one server.

use std::{error::Error as _, fs, path::Path, time::Duration};

use slipway_proto::v1::{
    AlertState, CreateLimitRequest, CreateTokenRequest, GetCallerRequest, GetTrustRequest, Limit,
    RevokeDeviceRequest, RevokeTokenRequest, Role, Rollout, RolloutState, SendTelemetryRequest, Token,
    UpdateState, WatchAlertsRequest, WatchRolloutRequest, Wave,
};
use slipway_tests::{
    bare::Bare,
    clock::{stopwatch, wait_for},
    desk::{Desk, HARDWARE, enroll},
    member::Member,
    operator::Caller,
    postgres::fresh_schema,
    processes::{self, Process},
    s3::{ACCESS_KEY, S3, SECRET_KEY},
};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tonic::Code;

use crate::steps::{MIB, PATIENCE, has_called, look, noise, plan, reading, roll_out, wave};

/// "Within seconds": what one replica decides, the other knows after this time at the latest.
const SECONDS: Duration = Duration::from_secs(5);

/// Two replicas, and what they share.
struct Pair {
    folder: TempDir,
    ports: [u16; 2],
    _servers: [Process; 2],
    _bucket: S3,
}

impl Pair {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let bucket = S3::start(&folder.path().join("s3"), "fleet").await.expect("an object store");
        let database = database().await;
        let ports = [processes::free_port(), processes::free_port()];
        let options = ["--database-url", database.as_str(), "--objects", "s3://fleet/slipway"];
        let options = [&options[..], &["--check-in-interval", "1"]].concat();
        let endpoint = bucket.endpoint();
        let settings = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ];
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let one = processes::serve_with(&first, ports[0], &options, &settings);
        share(&first, &second);
        let two = processes::serve_with(&second, ports[1], &options, &settings);
        let pair = Pair { folder, ports, _servers: [one, two], _bucket: bucket };
        pair.desk(0).init_trust();
        wait_for("the other replica to know the root", SECONDS, || async {
            let trust = pair.admin(1).releases().get_trust(GetTrustRequest::default()).await.ok()?;
            (!trust.into_inner().root.is_empty()).then_some(())
        })
        .await;
        pair
    }

    /// The administrator, at one of the two.
    fn desk(&self, replica: usize) -> Desk {
        let folder = self.folder.path().to_owned();
        Desk { data: folder.join(["first", "second"][replica]), folder, port: self.ports[replica] }
    }

    fn admin(&self, replica: usize) -> Caller {
        self.desk(replica).admin()
    }

    fn ca(&self) -> String {
        self.desk(0).read("server-ca.pem")
    }

    /// New devices, enrolled at one replica and calling the other.
    async fn members(&self, count: u32) -> Vec<Member> {
        let claim = self.admin(0).claim(count, &[]).await;
        let mut members = Vec::new();
        for number in 0..count {
            let (at, ca, id) = (number as usize % 2, self.ca(), format!("pump-{number}"));
            let enrolled = Member::enroll(self.ports[at], &ca, &claim, &id, HARDWARE).await;
            let mut member = enrolled.expect("a device");
            member.move_to(self.ports[1 - at], &ca);
            member.settle().await;
            members.push(member);
        }
        members
    }
}

/// A schema of its own, as a URL.
async fn database() -> String {
    let (url, schema) = fresh_schema();
    let mut connection = PgConnection::connect(&url).await.expect("the cluster");
    let make = format!("CREATE SCHEMA {schema}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut connection).await.expect("a schema");
    connection.close().await.expect("closed");
    format!("{url}?options=-c%20search_path%3D{schema}")
}

/// What an operator copies to a second replica: keys and authorities, and here the token too.
fn share(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("keys")).expect("a folder");
    for name in ["version", "server-ca.pem", "device-ca.pem", "admin.token"] {
        fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
    for key in fs::read_dir(from.join("keys")).expect("the keys") {
        let key = key.expect("a key");
        fs::copy(key.path(), to.join("keys").join(key.file_name())).expect("a copy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_is_never_over_its_limit_with_two_replicas_polled_at_once() {
    const DEVICES: u32 = 24;
    const LIMIT: u32 = 5;
    let pair = Pair::start().await;
    let mut members = pair.members(DEVICES).await;
    let image = noise(1, MIB + 1);
    pair.desk(0).publish(&image, "1.0.0");
    let waves =
        vec![Wave { max_in_flight: LIMIT, ..wave(50.0) }, Wave { max_in_flight: LIMIT, ..wave(100.0) }];
    let name = roll_out(&pair.admin(1), Rollout { waves, ..plan("1.0.0", "") }).await;

    let mut offers = 0;
    let start = stopwatch();
    loop {
        // Everybody asks at the same moment, half of them here and half of them there.
        let calls = members.into_iter().map(|mut member| {
            tokio::spawn(async move {
                member.check_in().await.expect("an answer");
                member
            })
        });
        let calls: Vec<_> = calls.collect();
        members = Vec::new();
        for call in calls {
            members.push(call.await.expect("no panic"));
        }
        for replica in 0..2 {
            let rollout = look(&pair.admin(replica), &name).await;
            assert!(rollout.waves.iter().all(|wave| wave.in_flight <= LIMIT), "{rollout:?}");
        }
        let mut in_flight = 0;
        for member in members.iter_mut().filter(|member| !member.update.is_empty()) {
            in_flight += 1;
            offers += 1;
            for state in [UpdateState::Downloading, UpdateState::Staged, UpdateState::Trial] {
                member.report(state).await.expect("taken");
            }
            member.report(UpdateState::Succeeded).await.expect("taken");
            member.runs("1.0.0", 1);
        }
        let opened = look(&pair.admin(0), &name).await.waves.iter().filter(|wave| wave.admitted > 0).count();
        assert!(in_flight <= LIMIT * opened as u32, "{in_flight} devices worked on it in {opened} waves");
        if look(&pair.admin(0), &name).await.state() != RolloutState::Running {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{:?}", look(&pair.admin(0), &name).await);
    }
    let rollout = look(&pair.admin(1), &name).await;
    assert_eq!((rollout.state(), offers), (RolloutState::Succeeded, DEVICES), "{rollout:?}");
    println!("{DEVICES} devices, {LIMIT} at once: {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_publishes_a_real_agent_installs_from_the_other() {
    let pair = Pair::start().await;
    let image = noise(1, 2 * MIB + 3);
    pair.desk(0).publish(&image, "1.0.0");
    let folder = pair.folder.path();
    let (state, slots) = (folder.join("state"), folder.join("slots"));
    enroll(&pair.desk(1).claim_file(1), "pump-1", &state, &slots, &[]);
    let _agent = processes::agent(&state, &folder.join("agent.log"), &[]);
    has_called(&pair.admin(0), "pump-1").await;
    let name = roll_out(&pair.admin(0), plan("1.0.0", "")).await;
    wait_for("the rollout to succeed", PATIENCE, || async {
        (look(&pair.admin(1), &name).await.state() == RolloutState::Succeeded).then_some(())
    })
    .await;
    let held = ["a", "b"].map(|slot| fs::read(slots.join(format!("slot-{slot}.img"))).unwrap_or_default());
    assert!(held.contains(&image), "the image is in no slot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_revoked_at_one_replica_is_refused_at_the_other_within_seconds() {
    let pair = Pair::start().await;
    let mut members = pair.members(1).await;
    let token = Token { display_name: "a viewer".into(), role: Role::Viewer.into(), ..Token::default() };
    let request = CreateTokenRequest { token: Some(token), ttl: None };
    let made = pair.admin(0).access().create_token(request).await.expect("a token").into_inner();
    let viewer = Caller::connect(pair.ports[1], &pair.ca(), Some(&made.secret), None);
    wait_for("the token to be known", SECONDS, || async {
        viewer.access().get_caller(GetCallerRequest {}).await.ok()
    })
    .await;
    let revoke = RevokeTokenRequest { name: made.token.expect("a token").name };
    pair.admin(0).access().revoke_token(revoke).await.expect("revoked");
    let status = wait_for("the token to be refused", SECONDS, || async {
        viewer.access().get_caller(GetCallerRequest {}).await.err()
    })
    .await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");

    let member = &mut members[0];
    member.move_to(pair.ports[1], &pair.ca());
    member.check_in().await.expect("an answer");
    let revoke = RevokeDeviceRequest { name: format!("devices/{}", member.id), ..Default::default() };
    pair.admin(0).fleet().revoke_device(revoke).await.expect("revoked");
    let start = stopwatch();
    let status = loop {
        match member.check_in().await {
            // The connection was cut with the call on it; on the next one it is said why.
            Err(status) if status.source().is_some() => {}
            Err(status) => break status,
            Ok(_) => {}
        }
        assert!(start.elapsed() < SECONDS, "a revoked device is still served");
    };
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_who_is_revoked_loses_his_connections_and_streams_at_both_within_seconds() {
    let pair = Pair::start().await;
    let member = &pair.members(1).await[0];
    let mut lines = Vec::new();
    for port in pair.ports {
        let mut line = Bare::connect(port, &pair.ca(), member.identity()).await;
        // There is no such segment, which only a device of the fleet is told.
        assert_eq!(line.get(&format!("/segments/{}", "0".repeat(64))).await, 404);
        lines.push(line);
    }
    let token = Token { display_name: "a viewer".into(), role: Role::Viewer.into(), ..Token::default() };
    let request = CreateTokenRequest { token: Some(token), ttl: None };
    let made = pair.admin(0).access().create_token(request).await.expect("a token").into_inner();
    pair.desk(0).publish(b"image", "1.0.0");
    let rollout = roll_out(&pair.admin(0), plan("1.0.0", "id = \"pump-0\"")).await;
    let mut ends = Vec::new();
    for port in pair.ports {
        let viewer = Caller::connect(port, &pair.ca(), Some(&made.secret), None);
        let alerts = wait_for("the token to be known", SECONDS, || async {
            viewer.alerts().watch_alerts(WatchAlertsRequest::default()).await.ok()
        });
        let mut alerts = alerts.await.into_inner();
        let watch = WatchRolloutRequest { name: rollout.clone() };
        let mut watched = wait_for("the rollout to be known", SECONDS, || async {
            viewer.rollouts().watch_rollout(watch.clone()).await.ok()
        })
        .await
        .into_inner();
        ends.push(tokio::spawn(async move {
            let ended = async { while alerts.message().await.is_ok_and(|message| message.is_some()) {} };
            let also = async { while watched.message().await.is_ok_and(|message| message.is_some()) {} };
            tokio::join!(ended, also)
        }));
    }
    let start = stopwatch();
    let revoke = RevokeTokenRequest { name: made.token.expect("a token").name };
    pair.admin(0).access().revoke_token(revoke).await.expect("revoked");
    let revoke = RevokeDeviceRequest { name: format!("devices/{}", member.id), ..Default::default() };
    pair.admin(0).fleet().revoke_device(revoke).await.expect("revoked");
    for line in lines {
        assert!(line.ends_within(SECONDS).await, "a revoked device keeps its connection");
    }
    for end in ends {
        tokio::time::timeout(SECONDS, end).await.expect("streams of a revoked token end").expect("no panic");
    }
    let took = start.elapsed();
    assert!(took < SECONDS, "{took:?}");
    println!("connections and streams at both replicas ended after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_of_one_replica_reaches_a_watcher_of_the_other() {
    let pair = Pair::start().await;
    let mut members = pair.members(1).await;
    let limit =
        Limit { name: "limits/filter".into(), metric: "pressure".into(), value: 250.0, ..Limit::default() };
    pair.admin(1)
        .alerts()
        .create_limit(CreateLimitRequest { limit: Some(limit), take_over: false })
        .await
        .expect("a limit");
    let watch = pair.admin(1).alerts().watch_alerts(WatchAlertsRequest::default()).await;
    let mut stream = watch.expect("a stream").into_inner();
    let member = &mut members[0];
    member.move_to(pair.ports[0], &pair.ca());
    let now = slipway_server::clock::Clock::System.now().millis() / 1000;
    let readings = (0..12).map(|second| reading(now - 12 + second, 300.0)).collect();
    let request = SendTelemetryRequest { sequence: 1, readings, ..Default::default() };
    member.caller.device().send_telemetry(request).await.expect("taken");
    let alert = loop {
        let message = tokio::time::timeout(SECONDS, stream.message()).await.expect("within seconds");
        if let Some(alert) = message.expect("no error").expect("no end").alert {
            break alert;
        }
    };
    assert_eq!((alert.device.as_str(), alert.state()), ("devices/pump-0", AlertState::Open));
}

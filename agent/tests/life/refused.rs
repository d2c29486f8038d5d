//! A server that is not there, is another one, or wants nothing more to do with this device.

use std::{sync::Arc, time::Duration};

use slipway_agent::{
    clock::Clock,
    identity::Identity,
    link::{self, Link},
    machine::{Reason, Slot},
    telemetry::Telemetry,
};
use slipway_proto::v1::{CheckInRequest, UpdateState::Succeeded};
use tokio::net::TcpListener;

use crate::{
    device::Device,
    fleet::{Fleet, NOW},
};

/// Why a check-in with this server fails, for people.
async fn failure(server: &str, ca_pem: &str) -> Reason {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap();
    let clock = Clock::from_source(Arc::new(|| NOW));
    let link = Link::new(server, &[ca], None::<Identity>, &clock).unwrap();
    let status = link.device().check_in(CheckInRequest::default()).await.unwrap_err();
    link::reason(&status)
}

#[tokio::test]
async fn why_the_server_is_not_reached_is_a_sentence() {
    let fleet = Fleet::start(NOW).await;
    let good = format!("https://{}", fleet.addr);
    let other = Fleet::start(NOW).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("https://{}", mute.local_addr().unwrap());
    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closes = format!("https://{}", rude.local_addr().unwrap());
    tokio::spawn(async move { while rude.accept().await.is_ok() {} });
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other_tongue = format!("https://{}", plain.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = plain.accept().await {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let _ = tcp.read(&mut [0; 64]).await;
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let named = good.replace("127.0.0.1", "localhost");

    for (server, ca, code, text) in [
        (&nobody, &fleet.ca_pem, "SERVER_UNREACHABLE", "Connection refused"),
        (&closes, &fleet.ca_pem, "SERVER_UNREACHABLE", "the TLS handshake broke off"),
        (&other_tongue, &fleet.ca_pem, "SERVER_UNREACHABLE", "does not speak TLS"),
        (&good, &other.ca_pem, "SERVER_CERTIFICATE", "not signed by the CA in server-ca.pem"),
        (&named, &fleet.ca_pem, "SERVER_CERTIFICATE", "for another name"),
    ] {
        let reason = failure(server, ca).await;
        assert_eq!(reason.code, code, "{reason:?}");
        assert!(reason.detail.contains(server.as_str()) && reason.detail.contains(text), "{reason:?}");
        for word in ["transport", "status:", "os error", "Error(", "tonic", "rustls"] {
            assert!(!reason.detail.contains(word), "{reason:?}");
        }
    }
    tokio::time::pause();
    let reason = failure(&silent, &fleet.ca_pem).await;
    assert_eq!(reason.detail, format!("cannot reach {silent}: no answer within 10 s"));
    drop(mute);
}

/// Ten hours of a device that was revoked, and the hour in which it is taken back.
#[tokio::test]
async fn a_revoked_device_works_on_and_seldom_asks_whether_it_is_forgiven() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let sysroot = device.folder().join("sysroot");
    let minute = Duration::from_secs(60);
    let (telemetry, _) = Telemetry::open(&device.state(), &sysroot, minute, NOW).unwrap();
    let running = device.run_with(Some(Box::new(telemetry)));
    fleet.until(|world| (world.requests > 3).then_some(())).await;
    let before = {
        let mut world = fleet.world.lock().unwrap();
        world.revoked = true;
        world.requests
    };
    tokio::time::pause();
    tokio::time::sleep(600 * minute).await;
    let requests = fleet.world.lock().unwrap().requests - before;
    assert!((10..=25).contains(&requests), "{requests} requests in ten hours");
    let status = device.status();
    assert_eq!(status.news.blocked.as_ref().unwrap().code, "DEVICE_REVOKED");
    assert!(status.to_text().contains("blocked         DEVICE_REVOKED: the device"), "{}", status.to_text());
    assert_eq!(device.running(), Slot::A);

    let (update, before) = {
        let mut world = fleet.world.lock().unwrap();
        world.revoked = false;
        (world.offer(3), world.requests)
    };
    let mut waited = Duration::ZERO;
    while fleet.world.lock().unwrap().requests == before {
        assert!(waited <= 60 * minute, "it asks within the hour");
        tokio::time::sleep(minute).await;
        waited += minute;
    }
    tokio::time::resume();
    assert_eq!(fleet.end_of(&update).await.state(), Succeeded);
    running.stop().await;
    assert_eq!(device.status().news.blocked, None);
}

#[tokio::test]
async fn a_report_that_the_server_cannot_take_does_not_keep_the_device_from_the_next_update() {
    let fleet = Fleet::start(NOW).await;
    let device = Device::enrolled(&fleet, "").await;
    let running = device.run();
    {
        let mut world = fleet.world.lock().unwrap();
        let stuck = world.offer(3);
        world.chokes_on = Some(stuck);
    }
    fleet.until(|world| world.inventory.components.iter().any(|part| part.counter == 3).then_some(())).await;
    let next = {
        let mut world = fleet.world.lock().unwrap();
        world.publish(4, 0, 6);
        world.offer(4)
    };
    assert_eq!(fleet.end_of(&next).await.state(), Succeeded);
    // It is kept, and sent when the server can take it.
    let stuck = fleet.world.lock().unwrap().chokes_on.take().unwrap();
    assert_eq!(fleet.end_of(&stuck).await.state(), Succeeded);
    running.stop().await;
}

//! What a check-in costs at which nothing changed, beside a bare tonic unary call over the same TLS, in the same run.
//!
//! Both servers are processes of their own, so that the CPU they burn can be told from the callers'. The same devices
//! call both, with the same certificates, message and pattern: every connection has one call in flight. Rounds alternate
//! between the two; the best of each counts, because what disturbs a round only ever adds.

mod bare;
mod device;

use std::time::Duration;

use slipway_tests::{clock, cpu, fleet::Fleet, operator::Caller};

use crate::{bare::Bare, device::Device};

/// Devices, each on a connection of its own.
const DEVICES: usize = 50;
/// Calls of each device in a round.
const CALLS: u32 = 200;
/// Rounds of each server.
const ROUNDS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(folder) =
        arguments.iter().position(|a| a == bare::ARGUMENT).and_then(|at| arguments.get(at + 1))
    {
        bare::serve(folder.as_ref());
        return;
    }
    // One thread for all callers leaves the rest of the machine to the servers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Its commands wait for processes, which one thread that also drives calls must not.
    let fleet = Fleet::start(DEVICES, b"factory", &[], &[]);
    runtime.block_on(measure(&fleet));
}

async fn measure(fleet: &Fleet) {
    println!("{DEVICES} devices, {CALLS} calls each, best of {ROUNDS} rounds");
    let bare = Bare::start(fleet);
    let server_ca = read(&fleet.data().join("server-ca.pem"));
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for device in &fleet.devices {
        let identity = (read(&device.state.join("certificate.pem")), read(&device.state.join("key.pem")));
        let pair = Some((identity.0.as_str(), identity.1.as_str()));
        let mut caller = Device::new(&Caller::connect(fleet.port, &server_ca, None, pair));
        caller.settle().await;
        plain.push(Device::with(&Caller::connect(bare.port, &bare.ca_pem, None, pair), caller.request()));
        ours.push(caller);
    }

    let mut best = [f64::INFINITY; 2];
    let mut wall = [Duration::MAX; 2];
    // The first round of each warms up connections and caches.
    for round in 0..=ROUNDS {
        for (which, (devices, process)) in
            [(&mut ours, fleet.server.id()), (&mut plain, bare.process.id())].into_iter().enumerate()
        {
            let (micros, took) = one_round(devices, process).await;
            if round > 0 {
                best[which] = best[which].min(micros);
                wall[which] = wall[which].min(took);
            }
        }
    }

    println!("{:<34} {:>12} {:>12}", "SERVER", "CPU us/call", "calls/s");
    for (name, which) in [("slipwayd, check-in, nothing new", 0), ("tonic, unary, does nothing", 1)] {
        let calls = DEVICES as f64 * f64::from(CALLS);
        println!("{name:<34} {:>12.1} {:>12.0}", best[which], calls / wall[which].as_secs_f64());
    }
    println!("{:<34} {:>11.2}x (at most 2.00)", "ratio", best[0] / best[1]);
}

/// Microseconds of CPU that the server took for a call, and how long the round took.
async fn one_round(devices: &mut [Device], process: u32) -> (f64, Duration) {
    let (before, watch) = (cpu::used(process), clock::stopwatch());
    let calls: Vec<_> = devices
        .iter()
        .map(|device| {
            let mut device = device.clone();
            tokio::spawn(async move {
                for _ in 0..CALLS {
                    device.call().await;
                }
            })
        })
        .collect();
    for call in calls {
        call.await.expect("every call is answered");
    }
    let used = cpu::used(process) - before;
    let count = devices.len() as f64 * f64::from(CALLS);
    (used.as_secs_f64() * 1e6 / count, watch.elapsed())
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

//! A server whose keys were lost or exchanged does not start, and says which and what to do.

use std::fs;

use slipway_tests::{
    fleet::Fleet,
    processes::{attempt, free_port},
};

use crate::steps::assert_documented;

/// What a start says that ends at once, and the codes it ends with.
fn refused(fleet: &Fleet) -> String {
    let (data, listen) = (fleet.path("server"), format!("127.0.0.1:{}", free_port()));
    let output = attempt("slipwayd", &["serve", "--data", &data, "--listen", &listen]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_made_a_second_time_once_the_fleet_relies_on_it() {
    let mut fleet = Fleet::start(1, b"factory", &[], &[]);
    let stranger = Fleet::start(0, b"", &[], &[]);
    fleet.server.kill();
    for name in ["director", "snapshot", "timestamp", "device-ca", "server-ca"] {
        let file = fleet.data().join(format!("keys/{name}.pem"));
        let certificate = fleet.data().join(format!("{name}.pem"));
        let kept = (fs::read(&file).expect("a key"), fs::read(&certificate).ok());
        // First another server's key, then none; of an authority the certificate goes with it.
        for other in [Some(stranger.data()), None] {
            for path in [&file, &certificate].into_iter().filter(|path| path.exists()) {
                let below = path.strip_prefix(fleet.data()).expect("a path below the data").to_owned();
                match &other {
                    Some(data) => drop(fs::copy(data.join(&below), path).expect("a copy")),
                    None => fs::remove_file(path).expect("gone"),
                }
            }
            let said = refused(&fleet);
            let path = file.to_string_lossy();
            assert!(said.contains(&*path) && said.contains("relies on key "), "{said}");
            assert!(said.contains("hint: ") && said.contains("backup"), "{said}");
            assert!(said.contains("see docs/errors/SERVER_KEY_LOST.md"), "{said}");
            assert_documented("SERVER_KEY_LOST");
            assert_eq!(file.exists(), other.is_some(), "nothing was made: {said}");
        }
        fs::write(&file, kept.0).expect("the key from a backup");
        if let Some(kept) = kept.1 {
            fs::write(&certificate, kept).expect("the certificate from a backup");
        }
    }
    fleet.restart_server();
    assert!(fleet.slipway(&["device", "list"]).contains("pump-1"));
}

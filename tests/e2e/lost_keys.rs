//! A server whose keys were lost or exchanged does not start, and says which and what to do.

use std::{fs, path::Path};

use slipway_tests::{
    fleet::Fleet,
    processes::{attempt, free_port},
};

use crate::steps::{assert_documented, has_called};

/// What a start says that ends at once, and the codes it ends with.
fn refused(fleet: &Fleet) -> String {
    let (data, listen) = (fleet.path("server"), format!("127.0.0.1:{}", free_port()));
    let output = attempt("slipwayd", &["serve", "--data", &data, "--listen", &listen]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_ca_is_made_while_the_server_is_stopped_and_nowhere_else() {
    let mut fleet = Fleet::start(1, b"factory", &["--check-in-interval", "1"], &[]);
    let (data, elsewhere) = (fleet.path("server"), fleet.path("elsewhere"));
    let say = |arguments: &[&str]| {
        let output = attempt("slipwayd", arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for command in [&["ca", "next"][..], &["ca", "retire", "1"]] {
        let (done, said) = say(&[command, &["--data", &data]].concat());
        assert!(!done && said.contains("see docs/errors/DATA_DIRECTORY_IN_USE.md"), "{said}");
        let (done, said) = say(&[command, &["--data", &elsewhere]].concat());
        assert!(!done && said.contains("is not the data directory of a server"), "{said}");
        assert!(!Path::new(&elsewhere).exists(), "nothing was made");
    }
    fleet.server.kill();
    let (done, said) = say(&["ca", "retire", "1", "--data", &data]);
    assert!(!done && said.contains("it signs the server's certificate"), "{said}");
    let (done, said) = say(&["ca", "next", "--data", &data]);
    assert!(
        done && said.contains("generation 2 signs this server's certificate from its next start on"),
        "{said}"
    );
    fleet.restart_server();
    // Enrolled with the first, and told of nothing.
    fleet.run_agent(0);
    has_called(&fleet.admin(), "pump-1").await;
    // The record knows the second: it is missed like every other key.
    fleet.server.kill();
    fs::remove_file(fleet.data().join("keys/server-ca-2.pem")).expect("gone");
    let said = refused(&fleet);
    assert!(
        said.contains("server-ca-2.pem") && said.contains("see docs/errors/SERVER_KEY_LOST.md"),
        "{said}"
    );
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

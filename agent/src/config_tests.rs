//! What `agent.toml` may say, and who may work with it.

use std::collections::BTreeSet;

use super::*;

fn config() -> Config {
    Config {
        server: "https://127.0.0.1:7443".to_owned(),
        device_id: "pump-1".to_owned(),
        product: "pump".to_owned(),
        hardware: "gw-a".to_owned(),
        component: "system".to_owned(),
        slots: PathBuf::from("slots"),
        slot_size: 0,
        health_command: "test -s \"$SLIPWAY_SLOT\"".to_owned(),
        health_deadline_seconds: 60,
        contact_wait_seconds: 30,
        telemetry_interval_seconds: 60,
        new_key_at_renewal: false,
        key_store: String::new(),
        tpm: String::new(),
        bundles: Bundles::Assigned,
        metrics: Settings::default(),
        attributes: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
    }
}

#[test]
fn reads_what_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path());
    assert!(matches!(Config::read(&state), Err(ConfigError::NotEnrolled { .. })));
    config().write(&state).unwrap();
    assert_eq!(Config::read(&state).unwrap(), config());
}

#[test]
fn refuses_unknown_keys_with_their_line_and_values_out_of_range() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path());
    let text = toml::to_string(&config()).unwrap();
    fs::write(state.config(), format!("helth_command = \"true\"\n{text}")).unwrap();
    let message = Config::read(&state).unwrap_err().to_string();
    assert!(message.contains("line 1") && message.contains("helth_command"), "{message}");

    fs::write(state.config(), format!("{text}bundles = \"off\"\n")).unwrap();
    let message = Config::read(&state).unwrap_err().to_string();
    assert!(message.contains("bundles stands below [attributes]"), "{message}");

    let wrong = Config { health_deadline_seconds: 0, ..config() };
    assert!(matches!(wrong.write(&state), Err(ConfigError::Invalid { .. })));
    let wrong = Config { server: "http://x".to_owned(), ..config() };
    assert!(matches!(wrong.write(&state), Err(ConfigError::Invalid { .. })));
}

#[test]
fn every_setting_is_known_as_one() {
    let full = Config { key_store: "file".to_owned(), tpm: "/dev/tpm0".to_owned(), ..config() };
    let table = toml::Table::try_from(full).unwrap();
    let names = table.keys().map(String::as_str).filter(|name| *name != "attributes");
    let known = BTreeSet::from_iter(SETTINGS.split(' '));
    assert_eq!(BTreeSet::from_iter(names), known);
}

#[test]
fn one_agent_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path());
    let lock = state.lock().unwrap();
    assert!(matches!(state.lock(), Err(ConfigError::Locked { .. })));
    // As a process that is being started holds it.
    let held = lock.0.try_clone().unwrap();
    drop(lock);
    state.lock().unwrap();
    drop(held);
}

#[test]
fn programs_are_listened_to_on_this_machine_only() {
    let read = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        config().write(&state).unwrap();
        let written = fs::read_to_string(state.config()).unwrap();
        assert!(!written.contains("metrics"), "off, and not spoken of");
        fs::write(state.config(), format!("{written}\n[metrics]\n{text}\n")).unwrap();
        Config::read(&state).map(|config| config.metrics).map_err(|error| error.to_string())
    };
    let text = "statsd = [\"/run/a\", \"127.0.0.1:8125\"]\notlp = [\"[::1]:4318\"]\n[metrics.classes]\n\"pump.\" = \"diagnostic\"";
    assert_eq!(read(text).unwrap().statsd, ["/run/a", "127.0.0.1:8125"]);
    for (text, expected) in [
        ("statsd = [\"0.0.0.0:8125\"]", "metrics.statsd is \"0.0.0.0:8125\"; it has to be an absolute path"),
        ("otlp = [\"run/otlp\"]", "metrics.otlp is \"run/otlp\""),
        ("otlp = [\"192.0.2.1:4318\"]", "metrics.otlp is"),
        ("series = 501", "metrics.series is 501; it has to be 1 to 500"),
        ("component = \"system\"", "metrics.component is \"system\""),
        ("classes = { \"\" = \"essential\" }", "essential"),
        ("port = 1", "port"),
    ] {
        let wrong = read(text).unwrap_err();
        assert!(wrong.contains(expected), "{text}: {wrong}");
    }
}

use std::path::Path;

use super::*;

fn with_file(text: &str, options: Options) -> Result<Config, ConfigError> {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("slipwayd.toml");
    std::fs::write(&path, text).unwrap();
    Config::resolve(Options { config: Some(path), ..options })
}

#[test]
fn flags_win_over_the_file() {
    let options = Options { data: Some("/a".into()), ..Options::default() };
    let text = "data = \"/b\"\nlisten = \"0.0.0.0:1\"\nmetrics_token = true\n";
    let config = with_file(text, options.clone()).unwrap();
    assert_eq!((config.data.as_path(), config.listen.port()), (Path::new("/a"), 1));
    assert!(config.metrics_token && !Config::resolve(options).unwrap().metrics_token);
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = with_file("data = \"/b\"\nlisten_on = \"x\"\n", Options::default()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("listen_on"), "{error}");
}

#[test]
fn values_that_make_no_sense() {
    for text in [
        "listen = \"0.0.0.0:1\"",
        "data = \"/a\"\npublic_names = [\"https://x\"]",
        "data = \"/a\"\ndatabase_url = \"mysql://x\"",
        "data = \"/a\"\nobjects = \"bucket\"",
        "data = \"/a\"\nlisten = \"localhost\"",
        "data = \"/a\"\nlog = \"a=b=c\"",
        "data = \"/a\"\ncheck_in_interval = 0",
        "data = \"/a\"\nrenew_after_expiry = 36501",
        "data = \"/a\"\n[[anomalies]]\nalerts = false\nselector = \"labels.x =\"",
        "data = \"/a\"\n[[anomalies]]\nmetric = \"x\"",
        "data = \"/a\"\nwebhook_allow_networks = [\"10.0.0.0/33\"]",
    ] {
        assert!(with_file(text, Options::default()).is_err(), "{text}");
    }
    assert!(check_environment(["SLIPWAYD_LISTENN".to_owned()].into_iter()).is_err());
    assert!(check_environment(["PATH".to_owned(), "SLIPWAYD_LOG".to_owned()].into_iter()).is_ok());
}

#[test]
fn names_and_urls() {
    let mut config = Config::in_dir("/a");
    let bound: SocketAddr = "0.0.0.0:7443".parse().unwrap();
    assert_eq!(config.public_url(bound), "https://127.0.0.1:7443");
    config.public_names = vec!["fleet.example".to_owned()];
    assert_eq!(config.public_url(bound), "https://fleet.example:7443");
    let names = config.certificate_names("host_with_underscore");
    assert_eq!(names, ["localhost", "127.0.0.1", "::1", "fleet.example"]);
}

#[test]
fn webhooks_lead_nowhere_near_unless_it_is_said() {
    assert_eq!(with_file("data = \"/a\"", Options::default()).unwrap().webhooks, Webhooks::default());
    let text = "data = \"/a\"\nwebhook_allow_networks = [\"10.0.0.0/8\"]\nwebhook_allow_http = true\nwebhook_ca = \"/b\"";
    let from_file = with_file(text, Options::default()).unwrap().webhooks;
    let network = |text: &str| -> Vec<_> { vec![text.parse().unwrap()] };
    let expected =
        Webhooks { allow_networks: network("10.0.0.0/8"), allow_http: true, ca: Some("/b".into()) };
    assert_eq!(from_file, expected);
    let webhooks = WebhookOptions { allow_networks: network("fd00::/8"), ..WebhookOptions::default() };
    let config = with_file(text, Options { webhooks, ..Options::default() }).unwrap();
    assert_eq!(config.webhooks, Webhooks { allow_networks: network("fd00::/8"), ..expected });
}

#[test]
fn rules_on_anomalies_are_read_from_the_file() {
    let text = "data = \"/a\"\n[[anomalies]]\nmetric = \"system.cpu.*\"\nalerts = false\n";
    let config = with_file(text, Options::default()).unwrap();
    let rule = AnomalyRule { metric: "system.cpu.*".into(), selector: String::new(), alerts: false };
    assert_eq!(config.anomalies, [rule]);
}

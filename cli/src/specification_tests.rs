use super::*;

const FILE: &str = r#"name = "pumps"

[[limit]]
id = "air-filter"
metric = "hw.filter.differential_pressure"
above = 250
unit = "Pa"
lead_time = "5d"
failure_mode = "clogged"

[[limit]]
id = "salt"
metric = "pump.salt.level"
below = 10.5
consumable = true
severity = "warning"

[[fix]]
id = "valve-leak"
failure_mode = "leak"
release = "pump/2.1.0"
"#;

#[test]
fn a_file_is_what_is_asked_of_the_server() {
    let request = Specification::parse(FILE.to_owned()).unwrap().request;
    assert_eq!((request.set.as_str(), request.limits.len(), request.fixes.len()), ("pumps", 2, 1));
    let air = &request.limits[0];
    assert_eq!((air.name.as_str(), air.value, air.below), ("limits/air-filter", 250.0, false));
    assert_eq!(air.lead_time, Some(prost_types::Duration { seconds: 432_000, nanos: 0 }));
    assert_eq!(air.severity(), v1::AlertSeverity::Critical);
    let salt = &request.limits[1];
    assert_eq!((salt.value, salt.below, salt.consumable), (10.5, true, true));
    assert_eq!(salt.severity(), v1::AlertSeverity::Warning);
    assert_eq!(request.fixes[0].release, "releases/pump/2.1.0");
}

#[test]
fn says_all_that_is_wrong_with_its_line() {
    let bad = FILE.replace("lead_time = \"5d\"", "lead_time = \"5 days\"").replace("below = 10.5\n", "");
    let problem = Specification::parse(bad).unwrap_err();
    assert!(problem.starts_with("2 faults\nline 8: "), "{problem}");
    assert!(problem.contains("\n  lead_time = \"5 days\"\nline 11: say either above"), "{problem}");
}

#[test]
fn keys_that_are_none_or_missing_are_told_with_everything_else() {
    let bad = FILE
        .replace("name = \"pumps\"\n", "nam = \"pumps\"\n")
        .replace("unit", "units")
        .replace("lead_time = \"5d\"", "lead_time = \"5 days\"")
        .replace("metric = \"pump.salt.level\"\n", "metrics = \"pump.salt.level\"\n")
        .replace("release = \"pump/2.1.0\"\n", "");
    let problem = Specification::parse(bad).unwrap_err();
    let places: Vec<&str> = problem.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    let expected = [
        "1: there is no `nam` here; there is name, limit, fix",
        "1: `name` is missing",
        "7: there is no `units` here; there is id, metric, above, below",
        "8: ` ` in `5 days` is not a unit",
        "11: `metric` is missing: say metric = \"…\"",
        "13: there is no `metrics` here",
        "18: `release` is missing",
    ];
    assert_eq!(places.len(), expected.len(), "{problem}");
    assert!(problem.starts_with("7 faults\n"), "{problem}");
    for (said, expected) in places.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}: {expected}");
    }
    let kinds = FILE
        .replace("above = 250", "above = \"250 Pa\"")
        .replace("unit = \"Pa\"", "unit = 5")
        .replace("consumable = true", "consumable = \"yes\"");
    let problem = Specification::parse(kinds).unwrap_err();
    for said in
        ["line 6: `above` is a number", "line 7: `unit` is a text", "line 15: `consumable` is true or false"]
    {
        assert!(problem.contains(said), "{problem}");
    }
    let entries = Specification::parse("name = \"a\"\nlimit = 5\n".to_owned()).unwrap_err();
    assert!(entries.starts_with("line 2: write [[limit]] on a line of its own"), "{entries}");
}

#[test]
fn a_bound_may_be_left_to_be_learned() {
    let learned = FILE.replace("above = 250", "learn = \"below\"\nfactor = 4");
    let request = Specification::parse(learned).unwrap().request;
    let air = &request.limits[0];
    assert_eq!((air.value, air.below, air.severity()), (0.0, true, v1::AlertSeverity::Unspecified));
    assert_eq!(air.learned.as_ref().unwrap().factor, 4.0);
    for (wrong, said) in [
        ("above = 250\nlearn = \"above\"", "line 6: say either above"),
        ("learn = \"high\"", "line 6: say learn = "),
        ("above = 250\nfactor = 4", "line 7: factor is for bounds"),
    ] {
        let problem = Specification::parse(FILE.replace("above = 250", wrong)).unwrap_err();
        assert!(problem.contains(said), "{problem}");
    }
}

#[test]
fn what_the_server_refuses_gets_its_line() {
    let file = Specification::parse(FILE.to_owned()).unwrap();
    let violation = |field: &str| (field.to_owned(), "is wrong".to_owned());
    let all = [violation("fixes[0].release"), violation("limits[1].metric"), violation("set")];
    let failure = file.refused(Path::new("pumps.toml"), &all).unwrap().to_string();
    let expected = "error: pumps.toml: 3 faults\nline 1: is wrong\n  name = \"pumps\"\n\
        line 13: is wrong\n  metric = \"pump.salt.level\"\nline 21: is wrong\n  release = \"pump/2.1.0\"\n";
    assert!(failure.starts_with(expected), "{failure}");
    assert!(file.refused(Path::new("pumps.toml"), &[violation("page_size")]).is_none());
}

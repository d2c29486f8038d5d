use slipway_insight::Side;

use super::*;
use crate::model::limit::{Limit, tests::filter_limit};

const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200); // 2026-03-01

fn days(count: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + count * span_millis(DAY))
}

fn expected(p10: i64, p50: i64, p90: Option<i64>, percent: Option<u8>) -> Finding {
    Finding::Expected(Forecast {
        p10_ms: days(p10).millis(),
        p50_ms: days(p50).millis(),
        p90_ms: p90.map(|day| days(day).millis()),
        percent,
        slope_per_day: 1.0,
        slope_error: 0.1,
        spread: 1.0,
        readings: 100,
        span_days: 30.0,
        half_life_days: 30.0,
        comparable: 0,
        by_lives: None,
    })
}

/// Dates that were learned from so many others.
fn by_others(finding: Finding, comparable: u32) -> Finding {
    match finding {
        Finding::Expected(forecast) => Finding::Expected(Forecast { comparable, ..forecast }),
        other => other,
    }
}

fn evidence(value: f64) -> Evidence {
    Evidence {
        metric: "filter.pressure_drop".to_owned(),
        unit: "Pa".to_owned(),
        value,
        at_ms: NOW.millis(),
        limit: 250.0,
        slope_per_day: 1.0,
        readings: 100,
    }
}

fn see(current: Option<&Alert>, limit: &Limit, finding: &Finding, now: Timestamp) -> Option<Alert> {
    let evidence = evidence(231.0);
    let seen = Observation { device_id: "pump-3", component: "filter", limit, evidence: &evidence, finding };
    advance(current, &seen, "fresh".to_owned(), now)
}

fn opened() -> Alert {
    see(None, &filter_limit(), &expected(20, 25, Some(31), Some(80)), NOW).unwrap()
}

#[test]
fn speaks_to_a_technician() {
    let alert = opened();
    assert_eq!(
        alert.summary,
        "The air filter of pump-3: pressure drop is 231 Pa and will reach 250 Pa between 21 March and 1 April (80 % sure)."
    );
    assert_eq!(
        alert.recommendation,
        "Inspect the air filter of pump-3 by 18 March: pressure drop will reach 250 Pa between 21 March and 1 April (80 % sure)."
    );
    assert_eq!(alert.act_by, Some(days(17)));
    assert_eq!((alert.kind, alert.severity), (Kind::Prognosis, Severity::Info));
    assert_eq!((alert.state, alert.health), (AlertState::Open, Health::MaintenanceRequired));

    let within_a_month = see(None, &filter_limit(), &expected(4, 8, Some(11), Some(80)), NOW).unwrap();
    assert!(within_a_month.summary.contains("between 5 and 12 March (80 % sure)"), "{within_a_month:?}");

    let by_others = by_others(expected(20, 25, Some(31), Some(80)), 31);
    assert_eq!(
        see(None, &filter_limit(), &by_others, NOW).unwrap().summary,
        "The air filter of pump-3: pressure drop is 231 Pa and will reach 250 Pa between 21 March and 1 April (80 % sure), \
         judging by 31 before it on devices of this model."
    );
}

#[test]
fn claims_no_percentage_that_readings_do_not_carry() {
    let alert = see(None, &filter_limit(), &expected(20, 25, Some(31), None), NOW).unwrap();
    assert!(alert.summary.ends_with("about 26 March (a rough date)."), "{}", alert.summary);
    let gained = see(Some(&alert), &filter_limit(), &expected(20, 25, Some(31), Some(80)), NOW).unwrap();
    assert!(gained.summary.contains("80 % sure"), "{}", gained.summary);
}

#[test]
fn what_is_near_is_told_with_its_hour() {
    let limit = Limit { lead_time: Duration::ZERO, ..filter_limit() };
    let after = |minutes: u32| NOW.after(Duration::from_secs(60) * minutes);
    let Finding::Expected(forecast) = expected(0, 1, None, None) else { panic!() };
    let near = Finding::Expected(Forecast {
        p10_ms: after(46).millis(),
        p50_ms: after(90).millis(),
        p90_ms: Some(days(4).millis()),
        ..forecast
    });
    let alert = see(None, &limit, &near, NOW).unwrap();
    assert!(alert.summary.ends_with("about 1 March 01:30 UTC (a rough date)."), "{}", alert.summary);
    assert!(alert.recommendation.contains("by 1 March 00:46 UTC: "), "{}", alert.recommendation);
    let Finding::Expected(forecast) = near else { panic!() };
    let sure = Finding::Expected(Forecast { percent: Some(80), ..forecast });
    let alert = see(None, &limit, &sure, NOW).unwrap();
    assert!(alert.summary.contains("between 1 March 00:46 UTC and 5 March (80 % sure)"), "{}", alert.summary);
    // Of two hours of one day both are told, also where only one of them is near.
    let noon = NOW.after(DAY / 2);
    let [p10_ms, p50_ms, p90_ms] = [11, 13, 15].map(|hour| NOW.after(2 * DAY + hour * DAY / 24).millis());
    let Finding::Expected(forecast) = sure else { panic!() };
    let a_day = Finding::Expected(Forecast { p10_ms, p50_ms, p90_ms: Some(p90_ms), ..forecast });
    let alert = see(None, &limit, &a_day, noon).unwrap();
    assert!(alert.summary.contains("between 3 March 11:00 UTC and 3 March 15:00 UTC"), "{}", alert.summary);
}

#[test]
fn a_consumable_is_reordered() {
    let salt =
        Limit { consumable: true, side: Side::Below, value: 10.0, part: "salt".to_owned(), ..filter_limit() };
    let alert = see(None, &salt, &expected(20, 25, Some(31), Some(80)), NOW).unwrap();
    assert_eq!(alert.kind, Kind::Consumable);
    assert!(alert.recommendation.starts_with("Reorder for the salt of pump-3 by 18 March"), "{alert:?}");
}

#[test]
fn says_nothing_twice() {
    let alert = opened();
    let same = expected(20, 25, Some(31), Some(80));
    assert_eq!(see(Some(&alert), &filter_limit(), &same, NOW), None);
    // The date moves by half a day: not worth a message. By three: worth one.
    assert_eq!(see(Some(&alert), &filter_limit(), &expected(21, 25, Some(31), Some(80)), NOW), None);
    let moved = see(Some(&alert), &filter_limit(), &expected(17, 22, Some(28), Some(80)), NOW).unwrap();
    assert_eq!((moved.id.as_str(), moved.generation), ("fresh", 2));
    assert_eq!(moved.act_by, Some(days(14)));
    assert_eq!(moved.severity, Severity::Warning);
}

#[test]
fn urgency_does_not_flicker() {
    let limit = filter_limit();
    let warning = see(None, &limit, &expected(17, 20, None, Some(80)), NOW).unwrap();
    assert_eq!(warning.severity, Severity::Warning);
    // 14.5 days to act would be "plan it" for a new alert.
    let mut nearly = expected(17, 20, None, Some(80));
    if let Finding::Expected(forecast) = &mut nearly {
        forecast.p10_ms += span_millis(DAY) / 2;
    }
    assert_eq!(see(Some(&warning), &limit, &nearly, NOW), None);
    let away = see(Some(&warning), &limit, &expected(40, 50, None, Some(80)), NOW).unwrap();
    assert_eq!(away.severity, Severity::Info);
}

#[test]
fn a_crossing_is_now() {
    let alert = opened();
    let crossed = see(Some(&alert), &filter_limit(), &Finding::Crossed { value: 260.0 }, NOW).unwrap();
    assert_eq!(crossed.id, alert.id);
    assert_eq!((crossed.kind, crossed.severity), (Kind::StateDetection, Severity::Critical));
    assert_eq!(crossed.health, Health::OutOfSpecification);
    assert_eq!(crossed.recommendation, "Inspect the air filter of pump-3 now.");
    assert_eq!(crossed.standing(), Standing::Crossed);
}

#[test]
fn acknowledging_survives_getting_worse() {
    let taken = opened().acknowledge("desk", NOW).unwrap().unwrap();
    assert_eq!(taken.state, AlertState::Acknowledged);
    assert_eq!(taken.acknowledge("desk", NOW), Ok(None));
    assert_eq!(taken.acknowledge("other", NOW).unwrap_err().reason, Reason::AlertStateRefused);
    let worse = see(Some(&taken), &filter_limit(), &Finding::Crossed { value: 260.0 }, NOW).unwrap();
    assert_eq!((worse.state, worse.acknowledged_by.as_str()), (AlertState::Acknowledged, "desk"));
}

#[test]
fn resolves_by_itself_and_opens_again_under_its_id_within_a_day() {
    let alert = opened().acknowledge("desk", NOW).unwrap().unwrap();
    let gone = see(Some(&alert), &filter_limit(), &Finding::Clear(NoForecast::NoTrend), NOW).unwrap();
    assert_eq!((gone.state, gone.resolved_at, gone.act_by), (AlertState::Resolved, Some(NOW), None));
    assert_eq!(gone.resolve(NOW).unwrap_err().reason, Reason::AlertStateRefused);
    assert_eq!(gone.acknowledge("desk", NOW).unwrap_err().reason, Reason::AlertStateRefused);
    assert_eq!(see(Some(&gone), &filter_limit(), &Finding::Clear(NoForecast::NoTrend), NOW), None);

    let back = expected(10, 12, Some(15), Some(80));
    let later = NOW.after(DAY / 2);
    let again = see(Some(&gone), &filter_limit(), &back, later).unwrap();
    assert_eq!((again.id.as_str(), again.created_at), (alert.id.as_str(), alert.created_at));
    assert_eq!((again.state, again.acknowledged_by.as_str()), (AlertState::Open, ""));
    assert_eq!(again.generation, gone.generation + 1);

    let other = {
        let evidence = evidence(231.0);
        let limit = filter_limit();
        let seen = Observation {
            device_id: "pump-3",
            component: "filter",
            limit: &limit,
            evidence: &evidence,
            finding: &back,
        };
        advance(Some(&gone), &seen, "second".to_owned(), NOW.after(DAY)).unwrap()
    };
    assert_eq!((other.id.as_str(), other.created_at, other.generation), ("second", NOW.after(DAY), 1));
}

#[test]
fn too_few_readings_change_nothing() {
    let few = Finding::Clear(NoForecast::TooFewReadings);
    assert_eq!(see(Some(&opened()), &filter_limit(), &few, NOW), None);
    assert_eq!(see(None, &filter_limit(), &few, NOW), None);
}

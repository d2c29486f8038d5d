//! `slipway limit`: bounds that metrics are forecast against.

use slipway_proto::v1;

use crate::{
    args::{Connection, LimitCommand, LimitSet},
    commands::{device::say_matches, limit_apply, listed, pages},
    connect::Api,
    duration,
    error::Failure,
    human, names,
    output::{Console, columns, facts},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: LimitCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        LimitCommand::Set(args) => {
            let take_over = args.take_over;
            let request = v1::CreateLimitRequest { limit: Some(limit(*args)), take_over };
            let limit = api.alerts().create_limit(request).await?.into_inner();
            console.say(&format!("limit {} is set: {}", names::short(&limit.name), sentence(&limit)));
            say_matches(&limit.selector, &api, console).await;
            console.show("Limit", &limit, render_one)
        }
        LimitCommand::Apply(args) => limit_apply::run(args, &api, console).await,
        LimitCommand::List(extent) => {
            let limits = list(&api, console, extent.max).await?;
            console.show_all("Limit", &limits, render_list)
        }
        LimitCommand::Show { limit } => {
            let name = names::full("limits", &limit);
            let limits = list(&api, console, MOST).await?;
            let found = limits.iter().find(|known| known.name == name).ok_or_else(|| {
                Failure::new(format!("there is no limit {}", names::short(&name)))
                    .hint("list what there is: slipway limit list")
                    .reason("LIMIT_NOT_FOUND")
            })?;
            console.show("Limit", found, render_one)
        }
        LimitCommand::Delete { limit, force } => {
            let request = v1::DeleteLimitRequest { name: names::full("limits", &limit), force };
            let limit = api.alerts().delete_limit(request).await?.into_inner();
            let until = match limit.managed_by.as_str() {
                "" => String::new(),
                file => format!("; it comes back when {file} is applied again"),
            };
            let id = names::short(&limit.name);
            console.say(&format!("limit {id} is gone; its open alerts are resolved{until}"));
            Ok(())
        }
    }
}

/// Every limit there can be.
const MOST: usize = 1_000;
/// Devices without which nothing is learned.
const LEAST_DEVICES: u32 = 10;

async fn list(api: &Api, console: &Console, most: usize) -> Result<Vec<v1::Limit>, Failure> {
    pages(console, most, |page_size, page_token| {
        let mut alerts = api.alerts();
        async move {
            let request = v1::ListLimitsRequest { page_size, page_token };
            let page = alerts.list_limits(request).await?.into_inner();
            Ok((page.limits, page.next_page_token))
        }
    })
    .await
}

fn limit(args: LimitSet) -> v1::Limit {
    let severity = match args.severity.as_deref() {
        Some("info") => v1::AlertSeverity::Info,
        Some("warning") => v1::AlertSeverity::Warning,
        Some(_) => v1::AlertSeverity::Critical,
        // The server knows which one is usual.
        None => v1::AlertSeverity::Unspecified,
    };
    v1::Limit {
        name: names::full("limits", &args.name),
        selector: args.selector,
        component: args.component,
        metric: args.metric,
        value: args.value.unwrap_or_default(),
        learned: args.learn.then(|| v1::LearnedLimit {
            factor: args.factor.unwrap_or_default(),
            ..v1::LearnedLimit::default()
        }),
        below: args.below,
        consumable: args.consumable,
        lead_time: Some(duration::to_wire(args.lead_time)),
        horizon: args.horizon.map(duration::to_wire),
        part: args.part,
        unit: args.unit,
        failure_mode: args.failure_mode,
        severity: severity.into(),
        source: args.source,
        ..v1::Limit::default()
    }
}

/// What crossing it means: `metric at or above 80 on component filter`.
fn sentence(limit: &v1::Limit) -> String {
    let side = if limit.below { "below" } else { "above" };
    let mut text = match &limit.learned {
        // What is usual is no bound that a value could be at.
        Some(learned) => format!("{} {side} {}", limit.metric, learned_bound(learned)),
        None => format!("{} at or {side} {}", limit.metric, quantity(limit.value, &limit.unit)),
    };
    if !limit.component.is_empty() {
        text.push_str(&format!(" on component {}", limit.component));
    }
    text
}

/// What is known of a bound that is learned: `12.5 V (learned from 40 devices)`, `what is learned: 7 of 10 devices`.
fn learned_bound(learned: &v1::LearnedLimit) -> String {
    let known: Vec<(&v1::LearnedBound, f64)> =
        learned.bounds.iter().filter_map(|bound| Some((bound, bound.value?))).collect();
    match known.as_slice() {
        [] => {
            let most = learned.bounds.iter().map(|bound| bound.devices).max().unwrap_or(0);
            format!("what is usual (learning: {most} of {LEAST_DEVICES} devices)")
        }
        [(bound, value)] => {
            format!("{} (learned from {} devices)", quantity(*value, &bound.unit), bound.devices)
        }
        several => format!("what is usual (learned for {} models)", several.len()),
    }
}

fn quantity(value: f64, unit: &str) -> String {
    let number = human::number(value);
    if unit.is_empty() || unit == "1" { number } else { format!("{number} {unit}") }
}

fn render_one(limit: &v1::Limit) -> String {
    let mut text = facts(&[
        ("limit", names::short(&limit.name).to_owned()),
        ("alert when", sentence(limit)),
        ("severity", severity(limit)),
        ("failure mode", limit.failure_mode.clone()),
        ("kind", kind(limit).to_owned()),
        ("part", limit.part.clone()),
        ("lead time", lead_time(limit)),
        ("horizon", horizon(limit)),
        ("devices", devices(limit)),
        ("source", limit.source.clone()),
        ("specification", specification(limit)),
    ]);
    let Some(learned) = &limit.learned else { return text };
    let rows: Vec<_> = learned
        .bounds
        .iter()
        .map(|bound| {
            let of = |value: f64| quantity(value, &bound.unit);
            let known = bound.value.is_some();
            vec![
                format!("{} on {}", bound.product, bound.hardware),
                bound.component.clone(),
                bound.value.map_or_else(|| "learning".to_owned(), of),
                if known { of(bound.median) } else { "-".to_owned() },
                if known {
                    bound.devices.to_string()
                } else {
                    format!("{} of {LEAST_DEVICES}", bound.devices)
                },
                if known { bound.beyond.to_string() } else { "-".to_owned() },
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&listed(
        rows.len(),
        "nothing is learned yet: the server looks within minutes, and no device has told this metric for a day",
        columns(&["MODEL", "COMPONENT", "BOUND", "MEDIAN", "DEVICES", "BEYOND"], &rows),
    ));
    text
}

fn render_list(limits: &[v1::Limit]) -> String {
    let rows: Vec<_> = limits
        .iter()
        .map(|limit| {
            vec![
                names::short(&limit.name).to_owned(),
                sentence(limit),
                severity(limit),
                if limit.failure_mode.is_empty() { "-".to_owned() } else { limit.failure_mode.clone() },
                lead_time(limit),
                horizon(limit),
                specification(limit),
                devices(limit),
            ]
        })
        .collect();
    let header =
        ["ID", "ALERT WHEN", "SEVERITY", "FAILURE MODE", "LEAD TIME", "HORIZON", "SPECIFICATION", "DEVICES"];
    listed(rows.len(), "no limits", columns(&header, &rows))
}

fn severity(limit: &v1::Limit) -> String {
    match limit.severity() {
        v1::AlertSeverity::Unspecified => "critical".to_owned(),
        known => human::enum_word(known.as_str_name(), "ALERT_SEVERITY_"),
    }
}

fn kind(limit: &v1::Limit) -> &'static str {
    match limit {
        limit if limit.learned.is_some() => "learned",
        limit if limit.consumable => "consumable",
        _ => "wear",
    }
}

fn lead_time(limit: &v1::Limit) -> String {
    ahead(limit, limit.lead_time.as_ref(), "0s")
}

fn horizon(limit: &v1::Limit) -> String {
    ahead(limit, limit.horizon.as_ref(), "90d")
}

/// Nothing is forecast against a bound that is learned.
fn ahead(limit: &v1::Limit, span: Option<&prost_types::Duration>, default: &str) -> String {
    match span {
        _ if limit.learned.is_some() => "-".to_owned(),
        None => default.to_owned(),
        Some(span) => duration::show(duration::from_wire(span)),
    }
}

fn devices(limit: &v1::Limit) -> String {
    if limit.selector.is_empty() { "all devices".to_owned() } else { limit.selector.clone() }
}

/// The file that it belongs to.
fn specification(limit: &v1::Limit) -> String {
    if limit.managed_by.is_empty() { "by hand".to_owned() } else { limit.managed_by.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(bounds: Vec<v1::LearnedBound>) -> v1::Limit {
        v1::Limit {
            name: "limits/heat".into(),
            metric: "hw.temperature".into(),
            severity: v1::AlertSeverity::Warning.into(),
            learned: Some(v1::LearnedLimit { factor: 6.0, bounds, learn_time: None }),
            ..v1::Limit::default()
        }
    }

    fn bound(hardware: &str, value: Option<f64>, devices: u32) -> v1::LearnedBound {
        v1::LearnedBound {
            product: "pump".into(),
            hardware: hardware.into(),
            component: "motor".into(),
            unit: "Cel".into(),
            value,
            median: 50.0,
            devices,
            beyond: 1,
            learn_time: None,
        }
    }

    #[test]
    fn what_is_learned_is_said_in_words() {
        let sentence = |bounds| sentence(&learned(bounds));
        assert_eq!(sentence(vec![]), "hw.temperature above what is usual (learning: 0 of 10 devices)");
        assert_eq!(
            sentence(vec![bound("gw-a", None, 7), bound("gw-b", None, 2)]),
            "hw.temperature above what is usual (learning: 7 of 10 devices)"
        );
        assert_eq!(
            sentence(vec![bound("gw-a", Some(71.0), 250), bound("gw-b", None, 2)]),
            "hw.temperature above 71 Cel (learned from 250 devices)"
        );
        assert_eq!(
            render_one(&learned(vec![bound("gw-a", Some(71.0), 250), bound("gw-b", None, 2)])),
            "limit          heat\n\
             alert when     hw.temperature above 71 Cel (learned from 250 devices)\n\
             severity       warning\n\
             kind           learned\n\
             lead time      -\n\
             horizon        -\n\
             devices        all devices\n\
             specification  by hand\n\
             \n\
             MODEL         COMPONENT  BOUND     MEDIAN  DEVICES  BEYOND\n\
             pump on gw-a  motor      71 Cel    50 Cel  250      1\n\
             pump on gw-b  motor      learning  -       2 of 10  -\n"
        );
    }

    #[test]
    fn limits_as_a_table() {
        let limit = v1::Limit {
            name: "limits/filter".into(),
            metric: "pressure".into(),
            component: "filter".into(),
            value: 250.0,
            unit: "Pa".into(),
            lead_time: Some(prost_types::Duration { seconds: 1_209_600, nanos: 0 }),
            failure_mode: "clogged".into(),
            source: "data sheet, page 3".into(),
            managed_by: "pumps".into(),
            ..v1::Limit::default()
        };
        let low = v1::Limit {
            name: "limits/salt".into(),
            metric: "salt".into(),
            value: 0.0,
            below: true,
            consumable: true,
            severity: v1::AlertSeverity::Warning.into(),
            ..v1::Limit::default()
        };
        assert_eq!(
            render_list(&[limit.clone(), low]),
            "\
ID      ALERT WHEN                                       SEVERITY  FAILURE MODE  LEAD TIME  HORIZON  SPECIFICATION  DEVICES
filter  pressure at or above 250 Pa on component filter  critical  clogged       14d        90d      pumps          all devices
salt    salt at or below 0                               warning   -             0s         90d      by hand        all devices
"
        );
        assert_eq!(
            render_one(&limit),
            "\
limit          filter
alert when     pressure at or above 250 Pa on component filter
severity       critical
failure mode   clogged
kind           wear
lead time      14d
horizon        90d
devices        all devices
source         data sheet, page 3
specification  pumps
"
        );
    }
}

//! `slipway wear`: how long parts still live, by the recorded lives of others.

use std::{path::Path, time::Duration};

use slipway_proto::v1;
use tonic_types::StatusExt as _;

use crate::{
    args::{Connection, WearApply, WearCommand},
    commands::{device::say_matches, listed, pages},
    connect::Api,
    duration,
    error::Failure,
    human, names,
    output::{Console, columns, facts},
    wear::{
        WearFile,
        lives::{self, Lives},
    },
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: WearCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    match command {
        WearCommand::Apply(args) => apply(args, connection, console).await,
        WearCommand::List(extent) => {
            let api = Api::open(connection, console).await?;
            let models = pages(console, extent.max, |page_size, page_token| {
                let mut wear = api.wear();
                async move {
                    let request = v1::ListWearModelsRequest { page_size, page_token };
                    let page = wear.list_wear_models(request).await?.into_inner();
                    Ok((page.wear_models, page.next_page_token))
                }
            })
            .await?;
            console.show_all("WearModel", &models, render_list)
        }
        WearCommand::Show { model } => {
            let api = Api::open(connection, console).await?;
            let name = names::full("wearModels", &model);
            let model = api.wear().get_wear_model(v1::GetWearModelRequest { name }).await?.into_inner();
            console.show("WearModel", &model, |model| render(model, console.clock.now()))
        }
        WearCommand::Restart { model, device } => {
            let api = Api::open(connection, console).await?;
            let (name, device) = (names::full("wearModels", &model), names::full("devices", &device));
            let request = v1::RestartWearModelRequest { name, device: device.clone() };
            let model = api.wear().restart_wear_model(request).await?.into_inner();
            let part = if model.part.is_empty() { &model.component } else { &model.part };
            console.say(&format!("the {part} of {} is followed from new", names::short(&device)));
            Ok(())
        }
        WearCommand::Delete { model } => {
            let api = Api::open(connection, console).await?;
            let name = names::full("wearModels", &model);
            let model = api.wear().delete_wear_model(v1::DeleteWearModelRequest { name }).await?.into_inner();
            let name = names::short(&model.name);
            console.say(&format!("wear model {name} is gone; its open alerts are resolved"));
            Ok(())
        }
    }
}

async fn apply(args: WearApply, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let file = WearFile::read(&args.file)?;
    let sensors: Vec<&str> = file.model.sensors.iter().map(|sensor| sensor.metric.as_str()).collect();
    let Lives { lives, rows, left_out } = lives::read(&args.lives, &sensors)?;
    if !left_out.is_empty() {
        console
            .say(&format!("columns that are no sensor of the model are left out: {}", left_out.join(", ")));
    }
    console.say(&format!(
        "{} of {rows} rows are sent",
        human::counted(lives.len() as u64, "life").replace("lifes", "lives")
    ));
    let api = Api::open(connection, console).await?;
    let first = v1::ApplyWearModelRequest {
        wear_model: Some(file.model.clone()),
        validate_only: args.dry_run,
        lives: Vec::new(),
    };
    let messages = std::iter::once(first).chain(lives::messages(lives, sensors.len()));
    let answer = api.wear().apply_wear_model(futures_util::stream::iter(messages)).await;
    let applied = answer.map_err(|status| refused(&file, &args.file, status))?.into_inner();
    let model = applied.wear_model.clone().unwrap_or_default();
    console.say(&sentence(&model, applied.action(), args.dry_run));
    if !args.dry_run {
        say_matches(&model.selector, &api, console).await;
    }
    console.show("ApplyWearModelResponse", &applied, |_| render(&model, console.clock.now()))
}

fn refused(file: &WearFile, path: &Path, status: tonic::Status) -> Failure {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    let violations: Vec<(String, String)> =
        violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect();
    file.refused(path, &violations).unwrap_or_else(|| status.into())
}

/// What became of it, or would.
fn sentence(model: &v1::WearModel, action: v1::WearModelAction, is_dry_run: bool) -> String {
    use v1::WearModelAction as Action;
    let followed = human::counted(model.devices, "device");
    let (is, would) = match action {
        Action::Create | Action::Unspecified => ("is set".to_owned(), "would be new".to_owned()),
        Action::Update => {
            let goes_on = format!("goes on following {followed}");
            (format!("is changed, and {goes_on}"), "would change, and go on following its devices".to_owned())
        }
        Action::Restart => (
            "is changed, and follows all devices anew".to_owned(),
            "would follow all devices anew".to_owned(),
        ),
        Action::Keep => ("is as the files say already".to_owned(), "is as the files say already".to_owned()),
    };
    let name = names::short(&model.name);
    if is_dry_run {
        format!("wear model {name} {would} (a dry run: nothing was changed)")
    } else {
        format!("wear model {name} {is}")
    }
}

/// So many steps of the model, as a time.
fn span(model: &v1::WearModel, steps: f64) -> String {
    let step = model.step.as_ref().map(duration::from_wire).unwrap_or_default();
    let span = Duration::try_from_secs_f64((step.as_secs_f64() * steps).round()).unwrap_or_default();
    duration::show(span)
}

fn render(model: &v1::WearModel, now: i64) -> String {
    let fit = model.fit.clone().unwrap_or_default();
    let devices = if model.selector.is_empty() { "all devices" } else { &model.selector };
    let mut text = facts(&[
        ("wear model", names::short(&model.name).to_owned()),
        ("component", model.component.clone()),
        ("part", model.part.clone()),
        ("devices", devices.to_owned()),
        ("followed now", human::counted(model.devices, "device")),
        ("step", span(model, 1.0)),
        ("looks ahead", format!("{} steps ({})", model.horizon, span(model, f64::from(model.horizon)))),
        ("learned from", format!("{} lives, {} rows", fit.lives, fit.rows)),
        (
            "error",
            format!(
                "{:.1} steps ({}), of lives that it was not learned from",
                fit.error,
                span(model, fit.error)
            ),
        ),
        ("within P10-P90", format!("{:.0} % of them at any time (meant: 80 %)", 100.0 * fit.coverage)),
        ("failure mode", model.failure_mode.clone()),
        ("severity", human::enum_word(model.severity().as_str_name(), "ALERT_SEVERITY_")),
        (
            "lead time",
            model.lead_time.as_ref().map(duration::from_wire).map(duration::show).unwrap_or_default(),
        ),
        ("source", model.source.clone()),
        ("changed", model.update_time.as_ref().map(|at| human::moment(at, now)).unwrap_or_default()),
        ("by", model.updated_by.clone()),
    ]);
    let row = |sensor: &v1::WearSensor| {
        let sign = fit.signs.iter().find(|sign| sign.metric == sensor.metric);
        let unit = if sensor.unit.is_empty() { String::new() } else { format!(" {}", sensor.unit) };
        let (shows, new) = match sign {
            Some(sign) => {
                let side = if sign.rises { "rises" } else { "falls" };
                (side, format!("{}{unit}", human::number(sign.new_value)))
            }
            None => ("not used", "-".to_owned()),
        };
        vec![sensor.metric.clone(), shows.to_owned(), new]
    };
    let rows: Vec<_> = model.sensors.iter().map(row).collect();
    text.push('\n');
    text.push_str(&columns(&["SENSOR", "WITH WEAR", "WHEN NEW"], &rows));
    text
}

fn render_list(models: &[v1::WearModel]) -> String {
    let row = |model: &v1::WearModel| {
        let fit = model.fit.clone().unwrap_or_default();
        vec![
            names::short(&model.name).to_owned(),
            model.component.clone(),
            format!("{} of {}", fit.signs.len(), model.sensors.len()),
            fit.lives.to_string(),
            span(model, fit.error),
            span(model, f64::from(model.horizon)),
            model.devices.to_string(),
            if model.selector.is_empty() { "all devices".to_owned() } else { model.selector.clone() },
        ]
    };
    let rows: Vec<_> = models.iter().map(row).collect();
    let header = ["ID", "COMPONENT", "SENSORS", "LIVES", "ERROR", "LOOKS AHEAD", "FOLLOWED", "DEVICES"];
    listed(rows.len(), "no wear models", columns(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fan() -> v1::WearModel {
        let sensor = |metric: &str, unit: &str| v1::WearSensor { metric: metric.into(), unit: unit.into() };
        v1::WearModel {
            name: "wearModels/fan".into(),
            component: "fan".into(),
            sensors: vec![sensor("fan.current", "A"), sensor("fan.speed", "")],
            step: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            horizon: 125,
            part: "exhaust fan".into(),
            lead_time: Some(prost_types::Duration { seconds: 2 * 86_400, nanos: 0 }),
            severity: v1::AlertSeverity::Critical.into(),
            fit: Some(v1::WearFit {
                lives: 100,
                rows: 20_631,
                signs: vec![v1::WearSign { metric: "fan.current".into(), rises: true, new_value: 2.25 }],
                error: 14.96,
                coverage: 0.781,
            }),
            devices: 3,
            ..v1::WearModel::default()
        }
    }

    #[test]
    fn a_model_in_full_and_in_a_list() {
        assert_eq!(
            render(&fan(), 0),
            "\
wear model      fan
component       fan
part            exhaust fan
devices         all devices
followed now    3 devices
step            1h
looks ahead     125 steps (5d 5h)
learned from    100 lives, 20631 rows
error           15.0 steps (14h 57m), of lives that it was not learned from
within P10-P90  78 % of them at any time (meant: 80 %)
severity        critical
lead time       2d

SENSOR       WITH WEAR  WHEN NEW
fan.current  rises      2.25 A
fan.speed    not used   -
"
        );
        assert_eq!(
            render_list(&[fan()]),
            "\
ID   COMPONENT  SENSORS  LIVES  ERROR    LOOKS AHEAD  FOLLOWED  DEVICES
fan  fan        1 of 2   100    14h 57m  5d 5h        3         all devices
"
        );
        assert_eq!(render_list(&[]), "no wear models");
    }

    #[test]
    fn what_became_of_it_is_one_sentence() {
        use v1::WearModelAction as Action;
        assert_eq!(sentence(&fan(), Action::Create, false), "wear model fan is set");
        assert_eq!(
            sentence(&fan(), Action::Update, false),
            "wear model fan is changed, and goes on following 3 devices"
        );
        assert_eq!(
            sentence(&fan(), Action::Restart, true),
            "wear model fan would follow all devices anew (a dry run: nothing was changed)"
        );
    }
}

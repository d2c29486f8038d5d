//! `slipway alert`: what a service desk acts on.

use std::{cell::Cell, fs, io, path::Path};

use slipway_proto::v1;
use tonic::Status;

use crate::{
    args::{AlertCommand, AlertList, AlertWatch, Connection},
    commands::{alert_show, listed, pages, silence},
    connect::Api,
    error::Failure,
    human, json, names,
    output::{Console, Format, columns},
    private_file,
    retry::{Backoff, Stop},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: AlertCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        AlertCommand::List(args) => list(args, &api, console).await,
        AlertCommand::Show(args) => alert_show::run(args, &api, console).await,
        AlertCommand::Watch(args) => watch(args, &api, console).await,
        AlertCommand::Silence(command) => silence::run(command, &api, console).await,
        AlertCommand::Ack { alert, note } => {
            let request = v1::AcknowledgeAlertRequest {
                name: names::full("alerts", &alert),
                note,
                ..Default::default()
            };
            let alert = api.alerts().acknowledge_alert(request).await?.into_inner();
            console.say(&format!(
                "alert {} is acknowledged by {}",
                names::short(&alert.name),
                alert.acknowledged_by
            ));
            Ok(())
        }
        AlertCommand::Resolve { alert, note } => {
            let request =
                v1::ResolveAlertRequest { name: names::full("alerts", &alert), note, ..Default::default() };
            let alert = api.alerts().resolve_alert(request).await?.into_inner();
            console.say(&format!(
                "alert {} is resolved; it opens again if the cause returns within a day",
                names::short(&alert.name)
            ));
            Ok(())
        }
    }
}

async fn list(args: AlertList, api: &Api, console: &Console) -> Result<(), Failure> {
    let resolved = Cell::new(None);
    let alerts = pages(console, args.list.extent.max, |page_size, page_token| {
        let (mut alerts, filter, resolved) = (api.alerts(), args.list.filter.clone(), &resolved);
        async move {
            let request = v1::ListAlertsRequest { page_size, page_token, filter, living_only: !args.all };
            let page = alerts.list_alerts(request).await?.into_inner();
            resolved.set(resolved.get().or(page.resolved_count));
            Ok((page.alerts, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Alert", &alerts, |alerts| render_list(alerts, args.all, console.clock.now()))?;
    if let Some(text) = resolved.get().and_then(left_out) {
        console.say(&text);
    }
    Ok(())
}

/// How many resolved alerts a list lacks. The server counts them no further than 1,001.
fn left_out(resolved: i32) -> Option<String> {
    let what = match resolved {
        ..=0 => return None,
        1 => "1 resolved alert is".to_owned(),
        count @ ..=1_000 => format!("{count} resolved alerts are"),
        _ => "more than 1000 resolved alerts are".to_owned(),
    };
    Some(format!("{what} not shown; --all shows them, too"))
}

/// Streams changes for ever, or until `--count` of them. A change counts as seen when its line is out.
async fn watch(args: AlertWatch, api: &Api, console: &Console) -> Result<(), Failure> {
    let mut position = Position::read(args.resume_token, args.state.as_deref())?;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut backoff = Backoff::default();
    loop {
        let stop = match changes(
            api,
            console,
            &mut position,
            args.include_suppressed,
            &mut left,
            &mut backoff,
        )
        .await
        {
            Ok(()) => return Ok(()),
            Err(stop) => stop,
        };
        backoff.pause_stream(stop, u32::MAX, console).await?;
    }
}

/// One stream until it breaks, or until nothing is `left` to wait for.
async fn changes(
    api: &Api,
    console: &Console,
    position: &mut Position<'_>,
    include_suppressed: bool,
    left: &mut u64,
    backoff: &mut Backoff,
) -> Result<(), Stop> {
    let request = v1::WatchAlertsRequest { resume_token: position.token.clone(), include_suppressed };
    let mut stream = api.alerts().watch_alerts(request).await?.into_inner();
    while let Some(change) = stream.message().await? {
        backoff.reset();
        if let Some(alert) = &change.alert {
            match console.format {
                Format::Table => console.print(&line(alert, console.clock.now()))?,
                Format::Json => console.json_line(&json::message("WatchAlertsResponse", &change)?)?,
            }
            *left -= 1;
        }
        position.advance(change.resume_token)?;
        if *left == 0 {
            return Ok(());
        }
    }
    Err(Status::unavailable("the server ended the stream").into())
}

/// How far the changes were dealt with.
struct Position<'a> {
    token: String,
    file: Option<&'a Path>,
}

impl<'a> Position<'a> {
    fn read(given: Option<String>, file: Option<&'a Path>) -> Result<Self, Failure> {
        let token = match (given, file) {
            (Some(token), _) => token,
            (None, None) => String::new(),
            (None, Some(path)) => match fs::read_to_string(path) {
                Ok(text) => text.trim().to_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                Err(error) => return Err(Failure::file("read the resume token from", path, &error)),
            },
        };
        Ok(Self { token, file })
    }

    fn advance(&mut self, token: String) -> Result<(), Failure> {
        if token.is_empty() || token == self.token {
            return Ok(());
        }
        self.token = token;
        let Some(path) = self.file else { return Ok(()) };
        private_file::replace(path, format!("{}\n", self.token).as_bytes())
            .map_err(|error| Failure::file("keep the resume token in", path, &error))
    }
}

/// One change on one line.
fn line(alert: &v1::Alert, now: i64) -> String {
    let time = alert.update_time.as_ref().map_or_else(|| "-".into(), human::absolute);
    let mut text = format!(
        "{time}  {:<12}  {:<8}  {}  {}: {}",
        state(alert),
        severity(alert),
        names::short(&alert.name),
        place(alert),
        said(alert)
    );
    if !alert.suppressed_by.is_empty() {
        text.push_str(&format!(" Suppressed by {}.", alert.suppressed_by));
    }
    // The recommendation repeats the forecast; `alert show` has it in full.
    if let Some(time) = &alert.act_by {
        text.push_str(&format!(" Act by {}.", human::date_near(time, now)));
    }
    if !alert.note.is_empty() {
        text.push_str(&format!(" Note: {}", alert.note));
    }
    text.replace('\n', " ")
}

/// What is the matter; of what is over, why, and what was the matter.
fn said(alert: &v1::Alert) -> String {
    match alert.state() {
        v1::AlertState::Resolved if !alert.recommendation.is_empty() => {
            format!("{} It was: {}", alert.recommendation, alert.summary)
        }
        _ => alert.summary.clone(),
    }
}

/// What it is about: `pump-03/filter`, `pump-03`, or the selector of several devices.
fn place(alert: &v1::Alert) -> String {
    let mut text =
        if alert.device.is_empty() { alert.selector.clone() } else { names::short(&alert.device).to_owned() };
    if !alert.component.is_empty() {
        text.push_str(&format!("/{}", alert.component));
    }
    text
}

/// Where it stands; one that wakes nobody says so.
pub(super) fn state(alert: &v1::Alert) -> String {
    let state = human::enum_words(alert.state().as_str_name(), "ALERT_STATE_");
    if alert.suppressed_by.is_empty() { state } else { format!("{state}*") }
}

pub(super) fn severity(alert: &v1::Alert) -> String {
    human::enum_words(alert.severity().as_str_name(), "ALERT_SEVERITY_")
}

fn render_list(alerts: &[v1::Alert], has_all: bool, now: i64) -> String {
    let rows: Vec<_> = alerts
        .iter()
        .map(|alert| {
            vec![
                names::short(&alert.name).to_owned(),
                state(alert),
                severity(alert),
                place(alert),
                human::maybe_relative(alert.act_by.as_ref(), now),
                human::maybe_relative(alert.update_time.as_ref(), now),
                said(alert),
            ]
        })
        .collect();
    let header = ["ID", "STATE", "SEVERITY", "WHERE", "ACT BY", "CHANGED", "SUMMARY"];
    let mut text = columns(&header, &rows);
    if alerts.iter().any(|alert| !alert.suppressed_by.is_empty()) {
        text.push_str("* wakes nobody: silenced, or explained by an outage (slipway alert show)\n");
    }
    let nothing = if has_all { "no alerts" } else { "no alerts; --all also shows those that are resolved" };
    listed(rows.len(), nothing, text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const NOW: i64 = 1_795_356_185_000;
    const DAY: i64 = 86_400_000;

    pub(crate) fn alert() -> v1::Alert {
        let at = |ms: i64| Some(human::timestamp(NOW + ms));
        v1::Alert {
            name: "alerts/a1".into(),
            device: "devices/pump-03".into(),
            component: "filter".into(),
            kind: v1::AlertKind::Prognosis.into(),
            state: v1::AlertState::Open.into(),
            severity: v1::AlertSeverity::Warning.into(),
            health: v1::AlertHealth::MaintenanceRequired.into(),
            summary: "The air filter reaches 250 Pa around 2026-12-06.".into(),
            recommendation: "Order a new one before 2026-11-29.".into(),
            act_by: at(7 * DAY),
            forecast: Some(v1::Forecast {
                p10: at(12 * DAY),
                p50: at(14 * DAY),
                p90: None,
                explanation: "linear trend over 200 readings".into(),
                comparable_parts: 31,
            }),
            evidence: Some(v1::Evidence {
                metric: "pressure".into(),
                unit: "Pa".into(),
                value: 212.5,
                time: at(0),
                limit: 250.0,
                slope_per_day: 2.7,
                readings: 200,
            }),
            create_time: at(0),
            update_time: at(0),
            ..v1::Alert::default()
        }
    }

    #[test]
    fn one_change_is_one_line() {
        assert_eq!(
            line(&alert(), NOW),
            "2026-11-22 14:03:05Z  open          warning   a1  pump-03/filter: \
             The air filter reaches 250 Pa around 2026-12-06. Act by 2026-11-29."
        );
        let hushed = v1::Alert { suppressed_by: "silences/s1".into(), act_by: None, ..alert() };
        assert!(
            line(&hushed, NOW).contains("  open*  ")
                && line(&hushed, NOW).ends_with(" Suppressed by silences/s1.")
        );
        let noted = v1::Alert { note: "Ann comes on Monday.".into(), ..alert() };
        assert!(line(&noted, NOW).ends_with(" Act by 2026-11-29. Note: Ann comes on Monday."));
        let soon = v1::Alert { act_by: Some(human::timestamp(NOW + 46 * 60_000)), ..alert() };
        assert!(line(&soon, NOW).ends_with(" Act by 2026-11-22 14:49 UTC."), "{}", line(&soon, NOW));
    }

    #[test]
    fn alerts_as_a_table() {
        assert_eq!(
            render_list(&[alert()], false, NOW),
            "\
ID  STATE  SEVERITY  WHERE           ACT BY  CHANGED   SUMMARY
a1  open   warning   pump-03/filter  in 7d   just now  The air filter reaches 250 Pa around 2026-12-06.
"
        );
    }

    #[test]
    fn a_list_says_what_it_leaves_out() {
        assert_eq!(left_out(0), None);
        assert_eq!(left_out(1).unwrap(), "1 resolved alert is not shown; --all shows them, too");
        assert_eq!(left_out(12).unwrap(), "12 resolved alerts are not shown; --all shows them, too");
        assert!(left_out(1_001).unwrap().starts_with("more than 1000 resolved alerts are not shown"));
        assert_eq!(render_list(&[], false, NOW), "no alerts; --all also shows those that are resolved");
        assert_eq!(render_list(&[], true, NOW), "no alerts");
    }

    #[test]
    fn the_position_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("position");
        let mut position = Position::read(None, Some(&file)).unwrap();
        assert_eq!(position.token, "");
        position.advance("t1".into()).unwrap();
        position.advance(String::new()).unwrap();
        assert_eq!(Position::read(None, Some(&file)).unwrap().token, "t1");
        assert_eq!(Position::read(Some("t9".into()), None).unwrap().token, "t9");
    }
}

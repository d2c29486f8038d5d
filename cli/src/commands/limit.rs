//! `slipway limit`: bounds that metrics are forecast against.

use slipway_proto::v1;

use crate::{
    args::{Connection, LimitCommand, LimitSet},
    commands::{device::say_matches, limit_apply, listed, pages},
    connect::Api,
    duration,
    error::Failure,
    human, names,
    output::{Console, columns},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: LimitCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        LimitCommand::Set(args) => {
            let request = v1::CreateLimitRequest { limit: Some(limit(args)) };
            let limit = api.alerts().create_limit(request).await?.into_inner();
            console.say(&format!("limit {} is set: {}", names::short(&limit.name), sentence(&limit)));
            say_matches(&limit.selector, &api, console).await;
            console.show("Limit", &limit, |limit| render_list(std::slice::from_ref(limit)))
        }
        LimitCommand::Apply(args) => limit_apply::run(args, &api, console).await,
        LimitCommand::List(extent) => {
            let limits = pages(console, extent.max, |page_size, page_token| {
                let mut alerts = api.alerts();
                async move {
                    let request = v1::ListLimitsRequest { page_size, page_token };
                    let page = alerts.list_limits(request).await?.into_inner();
                    Ok((page.limits, page.next_page_token))
                }
            })
            .await?;
            console.show_all("Limit", &limits, render_list)
        }
        LimitCommand::Delete { limit } => {
            let name = names::full("limits", &limit);
            let limit = api.alerts().delete_limit(v1::DeleteLimitRequest { name }).await?.into_inner();
            console
                .say(&format!("limit {} is gone; its open alerts are resolved", names::short(&limit.name)));
            Ok(())
        }
    }
}

fn limit(args: LimitSet) -> v1::Limit {
    v1::Limit {
        name: names::full("limits", &args.name),
        selector: args.selector,
        component: args.component,
        metric: args.metric,
        value: args.value,
        below: args.below,
        consumable: args.consumable,
        lead_time: Some(duration::to_wire(args.lead_time)),
        horizon: args.horizon.map(duration::to_wire),
        part: args.part,
        unit: args.unit,
        failure_mode: args.failure_mode,
        ..v1::Limit::default()
    }
}

/// What crossing it means: `metric above 80 on component filter`.
fn sentence(limit: &v1::Limit) -> String {
    let side = if limit.below { "below" } else { "above" };
    let mut text = format!("{} {side} {}", limit.metric, human::number(limit.value));
    if !limit.unit.is_empty() && limit.unit != "1" {
        text.push_str(&format!(" {}", limit.unit));
    }
    if !limit.component.is_empty() {
        text.push_str(&format!(" on component {}", limit.component));
    }
    text
}

fn render_list(limits: &[v1::Limit]) -> String {
    let span = |span: Option<&prost_types::Duration>, default: &str| {
        span.map_or_else(|| default.to_owned(), |span| duration::show(duration::from_wire(span)))
    };
    let rows: Vec<_> = limits
        .iter()
        .map(|limit| {
            vec![
                names::short(&limit.name).to_owned(),
                sentence(limit),
                if limit.consumable { "consumable".into() } else { "wear".into() },
                span(limit.lead_time.as_ref(), "0s"),
                span(limit.horizon.as_ref(), "90d"),
                if limit.selector.is_empty() { "all devices".into() } else { limit.selector.clone() },
            ]
        })
        .collect();
    listed(
        rows.len(),
        "no limits",
        columns(&["ID", "ALERT WHEN", "KIND", "LEAD TIME", "HORIZON", "DEVICES"], &rows),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_as_a_table() {
        let limit = v1::Limit {
            name: "limits/filter".into(),
            metric: "pressure".into(),
            component: "filter".into(),
            value: 250.0,
            lead_time: Some(prost_types::Duration { seconds: 1_209_600, nanos: 0 }),
            ..v1::Limit::default()
        };
        assert_eq!(
            render_list(&[limit]),
            "ID      ALERT WHEN                              KIND  LEAD TIME  HORIZON  DEVICES\n\
             filter  pressure above 250 on component filter  wear  14d        90d      all devices\n"
        );
    }
}

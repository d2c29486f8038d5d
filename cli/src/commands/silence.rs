//! `slipway alert silence`: what wakes nobody, until when, and why.

use slipway_proto::v1;

use crate::{
    args::SilenceCommand,
    commands::{listed, pages},
    connect::Api,
    error::Failure,
    human, names,
    output::{Console, columns},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: SilenceCommand, api: &Api, console: &Console) -> Result<(), Failure> {
    match command {
        SilenceCommand::Create(args) => {
            let span = i64::try_from(args.lasts.as_millis()).unwrap_or(i64::MAX);
            let end = console.clock.now().saturating_add(span);
            let silence = v1::Silence {
                matcher: args.matcher,
                reason: args.reason,
                end_time: Some(human::timestamp(end)),
                ..v1::Silence::default()
            };
            let request = v1::CreateSilenceRequest { silence: Some(silence) };
            let silence = api.alerts().create_silence(request).await?.into_inner();
            console.say(&format!(
                "silence {} begins; alerts that match are flagged, and told when it ends if they are open then",
                names::short(&silence.name)
            ));
            console.show("Silence", &silence, |silence| {
                render(std::slice::from_ref(silence), console.clock.now())
            })
        }
        SilenceCommand::List { extent, ended } => {
            let silences = pages(console, extent.max, |page_size, page_token| {
                let mut alerts = api.alerts();
                async move {
                    let request = v1::ListSilencesRequest { page_size, page_token, include_ended: ended };
                    let page = alerts.list_silences(request).await?.into_inner();
                    Ok((page.silences, page.next_page_token))
                }
            })
            .await?;
            console.show_all("Silence", &silences, |silences| render(silences, console.clock.now()))
        }
        SilenceCommand::Delete { silence } => {
            let name = names::full("silences", &silence);
            let silence = api.alerts().delete_silence(v1::DeleteSilenceRequest { name }).await?.into_inner();
            console.say(&format!(
                "silence {} is over; what it kept back and is still open is told now",
                names::short(&silence.name)
            ));
            Ok(())
        }
    }
}

fn render(silences: &[v1::Silence], now: i64) -> String {
    let rows: Vec<_> = silences
        .iter()
        .map(|silence| {
            vec![
                names::short(&silence.name).to_owned(),
                human::maybe_relative(silence.end_time.as_ref(), now),
                silence.matcher.clone(),
                silence.reason.clone(),
                silence.created_by.clone(),
            ]
        })
        .collect();
    listed(rows.len(), "no silences", columns(&["ID", "ENDS", "ALERTS", "WHY", "BY"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_as_a_table() {
        let silence = v1::Silence {
            name: "silences/s1".into(),
            matcher: "labels.site = north".into(),
            reason: String::from("new switch"),
            end_time: Some(human::timestamp(7_200_000)),
            create_time: None,
            created_by: "tokens/1 (ann)".into(),
        };
        assert_eq!(
            render(&[silence], 0),
            "ID  ENDS   ALERTS               WHY         BY\n\
             s1  in 2h  labels.site = north  new switch  tokens/1 (ann)\n"
        );
        assert_eq!(render(&[], 0), "no silences");
    }
}

//! `slipway authority`: manufacturers whose machines may enrol by their own certificates.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use slipway_proto::v1;

use crate::{
    args::{AuthorityCommand, AuthorityImport, Connection, Extent},
    commands::{labels, listed, pages},
    connect::Api,
    error::Failure,
    human, input, names,
    output::{Console, columns},
};

/// A certificate, with what people write around it.
const CERTIFICATE_LIMIT: u64 = 1 << 20;

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(
    command: AuthorityCommand,
    connection: &Connection,
    console: &Console,
) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        AuthorityCommand::Import(args) => import(args, &api, console).await,
        AuthorityCommand::List(extent) => list(extent, &api, console).await,
        AuthorityCommand::Remove { authority } => {
            let request = v1::DeleteAuthorityRequest { name: names::full("authorities", &authority) };
            let gone = api.fleet().delete_authority(request).await?.into_inner();
            console.say(&format!(
                "authority {} removed; devices that enrolled with it stay",
                names::short(&gone.name)
            ));
            Ok(())
        }
    }
}

async fn import(args: AuthorityImport, api: &Api, console: &Console) -> Result<(), Failure> {
    let path = &args.certificate;
    let pem = input::read(path, CERTIFICATE_LIMIT)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.unwrap_or_default();
    let [certificate] = found.as_slice() else {
        return Err(Failure::new(format!("{} holds {} certificates in PEM", path.display(), found.len()))
            .hint("give the one certificate of the authority; import others under names of their own")
            .reason("AUTHORITY_INVALID"));
    };
    let authority = v1::Authority {
        certificate_der: certificate.to_vec(),
        product: args.product,
        hardware: args.hardware,
        labels: args.labels.into_iter().collect(),
        approve: args.approve,
        ..v1::Authority::default()
    };
    let request = v1::CreateAuthorityRequest { authority: Some(authority), authority_id: args.name };
    let made = api.fleet().create_authority(request).await?.into_inner();
    console.show("Authority", &made, |made| {
        let hardware = if made.hardware.is_empty() { "any".into() } else { made.hardware.join(", ") };
        let then = if made.approve { "; each device has to be approved" } else { "" };
        format!(
            "authority {}: {}, product {}, hardware {hardware}, until {}{then}",
            names::short(&made.name),
            made.subject,
            made.product,
            human::maybe_moment(made.expire_time.as_ref(), console.clock.now()),
        )
    })
}

async fn list(extent: Extent, api: &Api, console: &Console) -> Result<(), Failure> {
    let authorities = pages(console, extent.max, |page_size, page_token| {
        let mut fleet = api.fleet();
        async move {
            let request = v1::ListAuthoritiesRequest { page_size, page_token };
            let page = fleet.list_authorities(request).await?.into_inner();
            Ok((page.authorities, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Authority", &authorities, |all| render_list(all, console.clock.now()))
}

fn render_list(authorities: &[v1::Authority], now: i64) -> String {
    let rows: Vec<_> = authorities
        .iter()
        .map(|authority| {
            vec![
                names::short(&authority.name).to_owned(),
                authority.product.clone(),
                authority.hardware.join(", "),
                super::claim::start(authority.approve),
                human::maybe_relative(authority.expire_time.as_ref(), now),
                authority.subject.clone(),
                labels(&authority.labels),
            ]
        })
        .collect();
    let header = ["NAME", "PRODUCT", "HARDWARE", "STARTS", "ENDS", "SUBJECT", "LABELS"];
    listed(rows.len(), "no authorities", columns(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_as_a_table() {
        let now = 1_795_356_185_000;
        let authority = v1::Authority {
            name: "authorities/acme".into(),
            product: "pump".into(),
            hardware: vec!["gw-a".into()],
            subject: "CN=ACME devices".into(),
            expire_time: Some(human::timestamp(now + 86_400_000)),
            approve: true,
            ..v1::Authority::default()
        };
        assert_eq!(
            render_list(&[authority], now),
            "NAME  PRODUCT  HARDWARE  STARTS   ENDS   SUBJECT          LABELS\n\
             acme  pump     gw-a      pending  in 1d  CN=ACME devices\n"
        );
        assert_eq!(render_list(&[], now), "no authorities");
    }
}

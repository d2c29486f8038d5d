//! `slipway claim`: the right to enrol devices.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;
use slipway_proto::v1;

use crate::{
    args::{ClaimCommand, ClaimCreate, ClaimFile, Connection, Extent},
    commands::{check_new, labels, listed, pages, write_secret},
    connect::Api,
    duration,
    error::Failure,
    human, names,
    output::{Console, columns},
    rng,
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: ClaimCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        ClaimCommand::Create(args) => create(args, &api, console).await,
        ClaimCommand::File(args) => file(args, &api, console).await,
        ClaimCommand::List(extent) => list(extent, &api, console).await,
        ClaimCommand::Revoke { claim } => {
            let name = names::full("claims", &claim);
            let claim = api.fleet().revoke_claim(v1::RevokeClaimRequest { name }).await?.into_inner();
            console.say(&format!(
                "claim {} ended; the {} that used it stay",
                names::short(&claim.name),
                human::counted(u64::from(claim.used), "device")
            ));
            Ok(())
        }
    }
}

async fn create(args: ClaimCreate, api: &Api, console: &Console) -> Result<(), Failure> {
    check_new(args.out.as_deref(), "claim")?;
    // A claim without a root is of no use to a device: find out before making one.
    let trust = api.releases().get_trust(v1::GetTrustRequest::default()).await?.into_inner();
    if trust.root.is_empty() {
        return Err(Failure::no_root());
    }
    let claim = v1::Claim {
        product: args.product,
        hardware: args.hardware,
        labels: args.labels.into_iter().collect(),
        uses: args.uses,
        device_id: args.device_id,
        device_id_pattern: args.device_id_pattern,
        approve: args.approve,
        ..v1::Claim::default()
    };
    let request = v1::CreateClaimRequest {
        claim: Some(claim),
        ttl: args.ttl.map(duration::to_wire),
        request_id: rng::request_id(),
    };
    let made = api.fleet().create_claim(request).await?.into_inner();
    if made.root.is_empty() {
        return Err(Failure::no_root());
    }
    let claim = made.claim.clone().unwrap_or_default();
    say_unknown(&claim.product, api, console).await;
    let server = args.device_server.as_deref().unwrap_or(&api.server);
    let file = claim_file(server, &made.server_ca_pem, &made.root, Some(&made.token), &claim.product);
    console.say(&format!(
        "claim {}: {} of product {}, hardware {}, until {}{}",
        names::short(&claim.name),
        human::counted(u64::from(claim.uses.max(1)), "device"),
        claim.product,
        claim.hardware.join(", "),
        human::maybe_moment(claim.expire_time.as_ref(), console.clock.now()),
        if claim.approve { "; each has to be approved: slipway device approve" } else { "" },
    ));
    let Some(path) = &args.out else {
        return console.json(&file);
    };
    let end = format!("slipway claim revoke {}", names::short(&claim.name));
    write_secret(path, "claim", &format!("{file:#}"), &end)?;
    console.say(&format!("written to {}; whoever has this file can enrol a device", path.display()));
    Ok(())
}

/// A claim file for machines that need no token. There is nothing secret in it.
async fn file(args: ClaimFile, api: &Api, console: &Console) -> Result<(), Failure> {
    check_new(args.out.as_deref(), "claim file")?;
    let anchors = api.fleet().get_anchors(v1::GetAnchorsRequest {}).await?.into_inner();
    if anchors.root.is_empty() {
        return Err(Failure::no_root());
    }
    say_unknown(&args.product, api, console).await;
    let server = args.device_server.as_deref().unwrap_or(&api.server);
    let file = claim_file(server, &anchors.server_ca_pem, &anchors.root, None, &args.product);
    let Some(path) = &args.out else {
        return console.json(&file);
    };
    std::fs::write(path, format!("{file:#}\n"))
        .map_err(|error| Failure::file("write the claim file to", path, &error))?;
    console.say(&format!("written to {}; there is no secret in it", path.display()));
    Ok(())
}

/// Says that nothing was published for a product: its name may be a typing error, and a device does not change
/// its product. That it cannot be asked is no failure of what was done.
async fn say_unknown(product: &str, api: &Api, console: &Console) {
    let filter = format!("product = \"{product}\"");
    let request = v1::ListReleasesRequest { page_size: 1, filter, ..v1::ListReleasesRequest::default() };
    let Ok(page) = api.releases().list_releases(request).await else { return };
    if page.into_inner().releases.is_empty() {
        console.say(&format!(
            "note: no release of product {product} is published yet; is it what you mean? See slipway release list"
        ));
    }
}

/// What a device needs to enrol, and to believe nobody else.
fn claim_file(
    server: &str,
    server_ca_pem: &str,
    root: &[u8],
    token: Option<&str>,
    product: &str,
) -> serde_json::Value {
    let mut file = json!({
        "server": server,
        "server_ca_pem": server_ca_pem,
        "root": BASE64.encode(root),
        "product": product,
    });
    if let Some(token) = token {
        file["token"] = token.into();
    }
    file
}

/// The state that new devices start in.
pub fn start(approve: bool) -> String {
    if approve { "pending".into() } else { "active".into() }
}

async fn list(extent: Extent, api: &Api, console: &Console) -> Result<(), Failure> {
    let claims = pages(console, extent.max, |page_size, page_token| {
        let mut fleet = api.fleet();
        async move {
            let page = fleet.list_claims(v1::ListClaimsRequest { page_size, page_token }).await?.into_inner();
            Ok((page.claims, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Claim", &claims, |claims| render_list(claims, console.clock.now()))
}

fn render_list(claims: &[v1::Claim], now: i64) -> String {
    let rows: Vec<_> = claims
        .iter()
        .map(|claim| {
            let ends = match claim.revoked {
                true => "revoked".into(),
                false => human::maybe_relative(claim.expire_time.as_ref(), now),
            };
            vec![
                names::short(&claim.name).to_owned(),
                claim.product.clone(),
                claim.hardware.join(", "),
                format!("{} of {}", claim.used, claim.uses.max(1)),
                ends,
                format!("{}{}", claim.device_id, claim.device_id_pattern),
                start(claim.approve),
                labels(&claim.labels),
            ]
        })
        .collect();
    let header = ["ID", "PRODUCT", "HARDWARE", "USED", "ENDS", "DEVICE", "STARTS", "LABELS"];
    listed(rows.len(), "no claims", columns(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_file_has_what_a_device_needs() {
        let file = |token| claim_file("https://a:1", "PEM", b"{}", token, "pump");
        assert_eq!(
            file(Some("secret")),
            json!({"server": "https://a:1", "server_ca_pem": "PEM", "root": "e30=", "token": "secret", "product": "pump"})
        );
        assert_eq!(
            file(None),
            json!({"server": "https://a:1", "server_ca_pem": "PEM", "root": "e30=", "product": "pump"})
        );
    }

    #[test]
    fn claims_as_a_table() {
        let now = 1_795_356_185_000;
        let claim = v1::Claim {
            name: "claims/c1".into(),
            product: "pump".into(),
            hardware: vec!["gw-a".into(), "gw-b".into()],
            uses: 8,
            used: 3,
            expire_time: Some(human::timestamp(now + 86_400_000)),
            labels: [("site".to_owned(), "north".to_owned())].into(),
            ..v1::Claim::default()
        };
        let ended = v1::Claim {
            name: "claims/c2".into(),
            revoked: true,
            device_id_pattern: "p-*".into(),
            approve: true,
            ..claim.clone()
        };
        assert_eq!(
            render_list(&[claim, ended], now),
            "ID  PRODUCT  HARDWARE    USED    ENDS     DEVICE  STARTS   LABELS\n\
             c1  pump     gw-a, gw-b  3 of 8  in 1d            active   site=north\n\
             c2  pump     gw-a, gw-b  3 of 8  revoked  p-*     pending  site=north\n"
        );
        assert_eq!(render_list(&[], now), "no claims");
    }
}

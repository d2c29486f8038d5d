//! Every RPC refuses strangers: proved by walking the descriptors, so that a method nobody thought of fails.

use std::{collections::BTreeSet, time::Duration};

use slipway_proto::v1::Role;
use slipway_tests::{
    raw::{Method, call, methods},
    world::World,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const DAY: Duration = Duration::from_secs(24 * 3600);
const ROLES: [Role; 6] =
    [Role::Viewer, Role::Operator, Role::Publisher, Role::Admin, Role::Client, Role::Ingest];

/// Which roles may call which method: written down a second time, so that a slip in the server's own table shows.
fn allowed(method: &str) -> &'static [Role] {
    use Role::{Admin, Client, Ingest, Operator, Publisher, Viewer};
    match method {
        "DeviceService/CheckIn" | "DeviceService/ReportUpdate" | "DeviceService/SendTelemetry" => &[],
        "EnrollmentService/Enroll" | "EnrollmentService/Renew" => &[],
        // See [`is_public`].
        "EnrollmentService/GetTime" | "EnrollmentService/Challenge" => &[],
        "FleetService/ListDevices" | "FleetService/GetDevice" => {
            &[Viewer, Operator, Publisher, Admin, Client]
        }
        "FleetService/ExplainDevice" | "FleetService/ListUpdates" => &[Viewer, Operator, Publisher, Admin],
        "FleetService/UpdateDevice" | "FleetService/ClearQuarantine" => &[Operator, Admin],
        "FleetService/ApproveDevice" | "FleetService/ImportDevices" => &[Operator, Admin],
        "FleetService/GetAnchors" => &[Viewer, Operator, Publisher, Admin],
        "FleetService/ListAuthorities" => &[Operator, Admin],
        "FleetService/CreateAuthority" | "FleetService/DeleteAuthority" => &[Admin],
        "FleetService/CreateClaim" | "FleetService/ListClaims" | "FleetService/RevokeClaim" => {
            &[Operator, Admin]
        }
        "FleetService/RevokeDevice" => &[Admin],
        "ReleaseService/GetTrust" | "ReleaseService/GetRelease" | "ReleaseService/ListReleases" => {
            &[Viewer, Operator, Publisher, Admin]
        }
        "ReleaseService/InitializeTrust"
        | "ReleaseService/UpdateTrust"
        | "ReleaseService/PrepareOnlineKey" => &[Admin],
        "ReleaseService/FindMissingSegments"
        | "ReleaseService/UploadSegments"
        | "ReleaseService/PublishRelease"
        | "ReleaseService/WithdrawRelease" => &[Publisher, Admin],
        "RolloutService/CreateRollout"
        | "RolloutService/PauseRollout"
        | "RolloutService/ResumeRollout"
        | "RolloutService/AbortRollout"
        | "RolloutService/AssignRelease" => &[Operator, Admin],
        "RolloutService/PreviewRollout"
        | "RolloutService/GetRollout"
        | "RolloutService/ListRollouts"
        | "RolloutService/WatchRollout" => &[Viewer, Operator, Publisher, Admin],
        "AlertService/ListAlerts" | "AlertService/GetAlert" | "AlertService/WatchAlerts" => {
            &[Viewer, Operator, Publisher, Admin, Client]
        }
        "AlertService/AcknowledgeAlert" | "AlertService/ResolveAlert" => &[Operator, Admin, Client],
        "AlertService/ListLimits" | "AlertService/ListFixes" | "AlertService/ListSilences" => {
            &[Viewer, Operator, Publisher, Admin]
        }
        "AlertService/CreateLimit" | "AlertService/DeleteLimit" | "AlertService/ApplyLimits" => {
            &[Operator, Admin]
        }
        "AlertService/CreateSilence" | "AlertService/DeleteSilence" => &[Operator, Admin],
        "WearService/ListWearModels" | "WearService/GetWearModel" => &[Viewer, Operator, Publisher, Admin],
        "WearService/ApplyWearModel" | "WearService/DeleteWearModel" | "WearService/RestartWearModel" => {
            &[Operator, Admin]
        }
        "WebhookService/CreateWebhook"
        | "WebhookService/ListWebhooks"
        | "WebhookService/GetWebhook"
        | "WebhookService/UpdateWebhook"
        | "WebhookService/DeleteWebhook"
        | "WebhookService/RotateWebhookSecret"
        | "WebhookService/TestWebhook"
        | "WebhookService/ReplayWebhook"
        | "WebhookService/ListDeliveries" => &[Operator, Admin, Client],
        "TelemetryService/ListSeries"
        | "TelemetryService/QueryReadings"
        | "TelemetryService/ExportReadings" => &[Viewer, Operator, Publisher, Admin, Client],
        "AccessService/CreateToken" | "AccessService/ListTokens" | "AccessService/RevokeToken" => &[Admin],
        "PrivacyService/ExportDevice" => &[Operator, Admin],
        "PrivacyService/EraseDevice" => &[Admin],
        "AccessService/ListAuditEvents" => &[Admin],
        "AccessService/GetCaller" => &[Viewer, Operator, Publisher, Admin, Client, Ingest],
        other => panic!("{other} is new: say here who may call it"),
    }
}

/// Anybody may ask: what is answered is signed for the question, or worth nothing without a key.
fn is_public(method: &Method) -> bool {
    matches!(name(method), "EnrollmentService/GetTime" | "EnrollmentService/Challenge")
}

fn name(method: &Method) -> &str {
    method.path.strip_prefix("/slipway.v1.").unwrap_or(&method.path)
}

/// The refusal of a call, which must be one and must say its reason.
async fn refused(world: &World, method: &Method, token: Option<&str>) -> Status {
    let channel = world.anonymous().channel;
    let status = match call(channel, &method.path, token, Vec::new()).await {
        Err(status) => status,
        Ok(answer) => panic!("{} answered {} bytes", method.path, answer.len()),
    };
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("{}: no ErrorInfo: {status:?}", method.path));
    assert_eq!(info.domain, "slipway.v1", "{}", method.path);
    assert!(!info.metadata.get("hint").is_none_or(String::is_empty), "{}: no hint: {status:?}", method.path);
    status
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[tokio::test]
async fn every_rpc_refuses_nobody_and_unknown_tokens() {
    let world = World::start().await;
    for method in methods() {
        for token in [None, Some("slip_nobody_00"), Some("")] {
            let status = refused(&world, &method, token).await;
            // A question that is none, whoever asks.
            let code = if is_public(&method) { Code::InvalidArgument } else { Code::Unauthenticated };
            assert_eq!(status.code(), code, "{} with {token:?}: {status:?}", method.path);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn every_rpc_refuses_an_expired_token() {
    let world = World::start().await;
    let token = world.token(Role::Admin, "", DAY).await;
    world.clock.advance(DAY);
    for method in methods().iter().filter(|method| !allowed(name(method)).is_empty()) {
        let status = refused(&world, method, Some(&token)).await;
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unauthenticated, "TOKEN_EXPIRED"),
            "{}",
            method.path
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn every_rpc_refuses_every_role_that_may_not() {
    let world = World::start().await;
    for role in ROLES {
        let scope =
            if matches!(role, Role::Client | Role::Ingest) { "labels.customer = \"acme\"" } else { "" };
        let token = world.token(role, scope, DAY).await;
        for method in methods() {
            let roles = allowed(name(&method));
            if roles.contains(&role) {
                let channel = world.anonymous().channel;
                // Whatever an empty message means to it: not a refusal of the caller.
                let answer = tokio::time::timeout(
                    Duration::from_secs(5),
                    call(channel, &method.path, Some(&token), Vec::new()),
                );
                if let Ok(Err(status)) = answer.await {
                    let code = status.code();
                    assert!(
                        !matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented),
                        "{} refuses {role:?}, which may call it: {status:?}",
                        method.path
                    );
                }
            } else if roles.is_empty() {
                let status = refused(&world, &method, Some(&token)).await;
                let code = if is_public(&method) { Code::InvalidArgument } else { Code::Unauthenticated };
                assert_eq!(status.code(), code, "{} took a token: {status:?}", method.path);
            } else {
                let status = refused(&world, &method, Some(&token)).await;
                let found = (status.code(), reason(&status));
                assert_eq!(
                    found,
                    (Code::PermissionDenied, "ROLE_REQUIRED".to_owned()),
                    "{} as {role:?}",
                    method.path
                );
            }
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_revoked_token_ends_at_once() {
    let world = World::start().await;
    let secret = world.token(Role::Viewer, "", DAY).await;
    let caller = world.caller(&secret);
    let me = caller
        .access()
        .get_caller(slipway_proto::v1::GetCallerRequest {})
        .await
        .expect("a caller")
        .into_inner();
    let request = slipway_proto::v1::RevokeTokenRequest { name: me.name };
    world.admin().access().revoke_token(request).await.expect("revoked");
    let status = caller.access().get_caller(slipway_proto::v1::GetCallerRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_method_that_nobody_listed_is_refused() {
    let world = World::start().await;
    let channel = world.anonymous().channel;
    let token = world.read("admin.token");
    let status = call(channel, "/slipway.v1.FleetService/DropEverything", Some(token.trim()), Vec::new())
        .await
        .expect_err("no such method");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    world.stop().await;
}

#[test]
fn no_method_is_described_twice() {
    let all = methods();
    let names: BTreeSet<&str> = all.iter().map(name).collect();
    assert_eq!(names.len(), all.len());
}

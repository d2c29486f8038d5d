//! Who may call what: every method of every service, and the HTTP paths. What is not listed is
//! refused.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use crate::{limits, model::token::Role};

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: what is answered is public, or signed.
    Public,
    /// Whoever has the right to enrol; it is in the message.
    Claim,
    /// A device, by its certificate; one that waits for an operator's yes as well.
    Device,
    /// A device in good standing.
    Approved,
    /// A device, by its certificate or by a signature in the message.
    DeviceOrProof,
    /// A token with one of these roles.
    Roles(&'static [Role]),
    /// A device in good standing, or a token with one of these roles.
    ApprovedOr(&'static [Role]),
    /// This machine, unless the configuration (`metrics_token`) says otherwise, or a token with one of these roles.
    LocalOr(&'static [Role]),
}

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// As logs and metrics name it: `Service/Method`, or the HTTP path's first part.
    pub method: &'static str,
    /// Who may.
    pub access: Access,
    /// From the head of the request to the head of the answer.
    pub limit: Duration,
    /// The answer is an open stream, which ends with the caller's right or the server.
    pub is_stream: bool,
}

const VIEW: &[Role] = &[Role::Viewer, Role::Operator, Role::Publisher, Role::Admin];
const OPERATE: &[Role] = &[Role::Operator, Role::Admin];
const PUBLISH: &[Role] = &[Role::Publisher, Role::Admin];
const ADMIN: &[Role] = &[Role::Admin];
const ANY: &[Role] = &Role::ALL;
const VIEW_OWN: &[Role] = &[Role::Client, Role::Viewer, Role::Operator, Role::Publisher, Role::Admin];
const INGEST: &[Role] = &[Role::Ingest];
const HANDLE_ALERTS: &[Role] = &[Role::Client, Role::Operator, Role::Admin];

/// The package of our services; a method of it that nobody listed is refused as forbidden.
pub const PACKAGE: &str = "/slipway.v1.";

const METHODS: &[Rule] = &[
    rule("EnrollmentService/Enroll", Access::Claim),
    rule("EnrollmentService/GetTime", Access::Public),
    rule("EnrollmentService/Challenge", Access::Public),
    rule("EnrollmentService/Renew", Access::DeviceOrProof),
    rule("DeviceService/CheckIn", Access::Device),
    rule("DeviceService/ReportUpdate", Access::Approved),
    rule("DeviceService/SendTelemetry", Access::Approved),
    rule("FleetService/ListDevices", Access::Roles(VIEW_OWN)),
    rule("FleetService/GetDevice", Access::Roles(VIEW_OWN)),
    rule("FleetService/UpdateDevice", Access::Roles(OPERATE)),
    rule("FleetService/RevokeDevice", Access::Roles(ADMIN)),
    rule("FleetService/ClearQuarantine", Access::Roles(OPERATE)),
    rule("FleetService/ApproveDevice", Access::Roles(OPERATE)),
    rule("FleetService/ImportDevices", Access::Roles(OPERATE)),
    rule("FleetService/ExplainDevice", Access::Roles(VIEW)),
    rule("FleetService/ListUpdates", Access::Roles(VIEW)),
    rule("FleetService/CreateClaim", Access::Roles(OPERATE)),
    rule("FleetService/ListClaims", Access::Roles(OPERATE)),
    rule("FleetService/RevokeClaim", Access::Roles(OPERATE)),
    rule("FleetService/GetAnchors", Access::Roles(VIEW)),
    rule("FleetService/CreateAuthority", Access::Roles(ADMIN)),
    rule("FleetService/ListAuthorities", Access::Roles(OPERATE)),
    rule("FleetService/DeleteAuthority", Access::Roles(ADMIN)),
    rule("ReleaseService/GetTrust", Access::Roles(VIEW)),
    rule("ReleaseService/InitializeTrust", Access::Roles(ADMIN)),
    rule("ReleaseService/UpdateTrust", Access::Roles(ADMIN)),
    rule("ReleaseService/PrepareOnlineKey", Access::Roles(ADMIN)),
    rule("ReleaseService/FindMissingSegments", Access::Roles(PUBLISH)),
    Rule { limit: limits::UPLOAD, ..rule("ReleaseService/UploadSegments", Access::Roles(PUBLISH)) },
    rule("ReleaseService/PublishRelease", Access::Roles(PUBLISH)),
    rule("ReleaseService/WithdrawRelease", Access::Roles(PUBLISH)),
    rule("ReleaseService/GetRelease", Access::Roles(VIEW)),
    rule("ReleaseService/ListReleases", Access::Roles(VIEW)),
    rule("RolloutService/CreateRollout", Access::Roles(OPERATE)),
    rule("RolloutService/PreviewRollout", Access::Roles(VIEW)),
    rule("RolloutService/GetRollout", Access::Roles(VIEW)),
    rule("RolloutService/ListRollouts", Access::Roles(VIEW)),
    rule("RolloutService/PauseRollout", Access::Roles(OPERATE)),
    rule("RolloutService/ResumeRollout", Access::Roles(OPERATE)),
    rule("RolloutService/AbortRollout", Access::Roles(OPERATE)),
    rule("RolloutService/AssignRelease", Access::Roles(OPERATE)),
    stream("RolloutService/WatchRollout", Access::Roles(VIEW)),
    rule("AlertService/ListAlerts", Access::Roles(VIEW_OWN)),
    rule("AlertService/GetAlert", Access::Roles(VIEW_OWN)),
    rule("AlertService/AcknowledgeAlert", Access::Roles(HANDLE_ALERTS)),
    rule("AlertService/ResolveAlert", Access::Roles(HANDLE_ALERTS)),
    stream("AlertService/WatchAlerts", Access::Roles(VIEW_OWN)),
    rule("AlertService/CreateLimit", Access::Roles(OPERATE)),
    rule("AlertService/ListLimits", Access::Roles(VIEW)),
    rule("AlertService/DeleteLimit", Access::Roles(OPERATE)),
    rule("AlertService/ApplyLimits", Access::Roles(OPERATE)),
    rule("AlertService/ListFixes", Access::Roles(VIEW)),
    rule("AlertService/CreateSilence", Access::Roles(OPERATE)),
    rule("AlertService/ListSilences", Access::Roles(VIEW)),
    rule("AlertService/DeleteSilence", Access::Roles(OPERATE)),
    Rule { limit: limits::UPLOAD, ..rule("WearService/ApplyWearModel", Access::Roles(OPERATE)) },
    rule("WearService/ListWearModels", Access::Roles(VIEW)),
    rule("WearService/GetWearModel", Access::Roles(VIEW)),
    rule("WearService/DeleteWearModel", Access::Roles(OPERATE)),
    rule("WearService/RestartWearModel", Access::Roles(OPERATE)),
    rule("WebhookService/CreateWebhook", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/ListWebhooks", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/GetWebhook", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/UpdateWebhook", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/DeleteWebhook", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/RotateWebhookSecret", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/TestWebhook", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/ReplayWebhook", Access::Roles(HANDLE_ALERTS)),
    rule("WebhookService/ListDeliveries", Access::Roles(HANDLE_ALERTS)),
    rule("TelemetryService/ListSeries", Access::Roles(VIEW_OWN)),
    rule("TelemetryService/QueryReadings", Access::Roles(VIEW_OWN)),
    stream("TelemetryService/ExportReadings", Access::Roles(VIEW_OWN)),
    stream("PrivacyService/ExportDevice", Access::Roles(OPERATE)),
    rule("PrivacyService/EraseDevice", Access::Roles(ADMIN)),
    rule("AccessService/CreateToken", Access::Roles(ADMIN)),
    rule("AccessService/ListTokens", Access::Roles(ADMIN)),
    rule("AccessService/RevokeToken", Access::Roles(ADMIN)),
    rule("AccessService/GetCaller", Access::Roles(ANY)),
    rule("AccessService/ListAuditEvents", Access::Roles(ADMIN)),
];

/// Other people's services, by full path.
const FOREIGN: &[(&str, Rule)] = &[
    ("/grpc.health.v1.Health/Check", rule("Health/Check", Access::Public)),
    ("/grpc.health.v1.Health/List", rule("Health/List", Access::Public)),
    ("/grpc.health.v1.Health/Watch", stream("Health/Watch", Access::Public)),
    (
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        rule("MetricsService/Export", Access::ApprovedOr(INGEST)),
    ),
    // What it tells is this project's public interface.
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", stream("ServerReflection", Access::Public)),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        stream("ServerReflection", Access::Public),
    ),
];

/// HTTP, by the beginning of the path.
const HTTP: &[(&str, Rule)] = &[
    ("/healthz", rule("/healthz", Access::Public)),
    ("/metrics", rule("/metrics", Access::LocalOr(VIEW))),
    ("/segments/", rule("/segments", Access::ApprovedOr(VIEW))),
    ("/tuf/", rule("/tuf", Access::Public)),
];

static BY_PATH: LazyLock<HashMap<String, Rule>> = LazyLock::new(|| {
    let ours = METHODS.iter().map(|rule| (format!("{PACKAGE}{}", rule.method), *rule));
    let foreign = FOREIGN.iter().map(|(path, rule)| ((*path).to_owned(), *rule));
    ours.chain(foreign).collect()
});

/// The rule of a path; none means that nobody may.
pub fn find(path: &str) -> Option<Rule> {
    if let Some(rule) = BY_PATH.get(path) {
        return Some(*rule);
    }
    let (_, rule) = HTTP
        .iter()
        .find(|(prefix, _)| if prefix.ends_with('/') { path.starts_with(prefix) } else { path == *prefix })?;
    Some(*rule)
}

/// Every method of our services, for tests that walk them.
pub fn methods() -> &'static [Rule] {
    METHODS
}

const fn rule(method: &'static str, access: Access) -> Rule {
    Rule { method, access, limit: limits::CALL, is_stream: false }
}

const fn stream(method: &'static str, access: Access) -> Rule {
    Rule { method, access, limit: limits::CALL, is_stream: true }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    fn described() -> Vec<(String, bool)> {
        let set = FileDescriptorSet::decode(slipway_proto::v1::FILE_DESCRIPTOR_SET).unwrap();
        let ours = set.file.into_iter().filter(|file| file.package() == "slipway.v1");
        let services = ours.flat_map(|file| file.service);
        services
            .flat_map(|service| {
                let name = service.name().to_owned();
                service
                    .method
                    .into_iter()
                    .map(move |method| (format!("{name}/{}", method.name()), method.server_streaming()))
            })
            .collect()
    }

    #[test]
    fn every_method_is_classified_and_nothing_else() {
        let mut described: Vec<_> = described();
        let mut listed: Vec<_> =
            METHODS.iter().map(|rule| (rule.method.to_owned(), rule.is_stream)).collect();
        described.sort();
        listed.sort();
        assert_eq!(described, listed);
    }

    #[test]
    fn what_is_not_listed_is_nobodys() {
        for path in ["/", "/slipway.v1.FleetService/DropEverything", "/metricsx", "/healthz/x", "/segments"] {
            assert!(find(path).is_none(), "{path}");
        }
        assert!(find("/segments/ab").is_some() && find("/slipway.v1.DeviceService/CheckIn").is_some());
    }
}

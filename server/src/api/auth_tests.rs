//! Nobody gets past the door without the right to the call, whatever the call is.

use std::net::SocketAddr;

use axum::{Router, body::Body};
use http::{Request, header::AUTHORIZATION};
use slipway_trust::Sha256;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::{
    api::{
        access_table::{self, PACKAGE},
        router,
    },
    limits,
    service::{
        testing::{TestContext, enrolled},
        tokens::{self, NewToken},
    },
};

struct Door {
    ctx: TestContext,
    router: Router,
}

impl Door {
    async fn new() -> Self {
        let ctx = Context::for_test().await;
        let router = router(&ctx).await.unwrap();
        Door { ctx, router }
    }

    async fn bearer(&self, role: Role) -> String {
        let scope = if role.has_scope() { "labels.customer = \"acme\"" } else { "" };
        let new = NewToken { display_name: "ann".into(), role, scope: scope.into(), ttl: None };
        tokens::create(&self.ctx, "server", new).await.unwrap().1
    }

    /// The reason why the door stays shut; none when somebody behind it answered.
    async fn refusal(
        &self,
        method: &str,
        bearer: Option<&str>,
        key: Option<Sha256>,
    ) -> Option<(Code, String)> {
        let mut request = Request::post(format!("{PACKAGE}{method}"))
            .header("content-type", "application/grpc")
            .body(Body::from(&[0_u8; 5][..]))
            .unwrap();
        let addr = SocketAddr::from(([192, 0, 2, 1], 1));
        request.extensions_mut().insert(Peer::new(1, addr, key));
        if let Some(bearer) = bearer {
            request.headers_mut().insert(AUTHORIZATION, format!("Bearer {bearer}").parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = Status::from_header_map(response.headers())?;
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
            .then_some((status.code(), reason))
    }

    /// What the door itself says.
    async fn door_says(&self, method: &str, bearer: Option<&str>) -> String {
        let refused = self.refusal(method, bearer, None).await;
        refused.map(|(_, reason)| reason).unwrap_or_default()
    }
}

#[tokio::test]
async fn no_call_without_the_right_to_it() {
    let door = Door::new().await;
    let mut bearers = Vec::new();
    for role in Role::ALL {
        bearers.push((role, door.bearer(role).await));
    }
    let stranger = Some(Sha256::of(b"stranger"));
    for rule in access_table::methods() {
        let method = rule.method;
        match rule.access {
            Access::Roles(roles) => {
                assert_eq!(door.door_says(method, None).await, "TOKEN_REQUIRED", "{method}");
                assert_eq!(door.door_says(method, Some("slip_a_b")).await, "TOKEN_UNKNOWN", "{method}");
                for (role, bearer) in &bearers {
                    let said = door.door_says(method, Some(bearer)).await;
                    assert_eq!(said == "ROLE_REQUIRED", !roles.contains(role), "{method} {role:?}: {said}");
                }
            }
            Access::Device | Access::Approved => {
                for (role, bearer) in &bearers {
                    let said = door.door_says(method, Some(bearer)).await;
                    assert_eq!(said, "DEVICE_CERTIFICATE_REQUIRED", "{method} {role:?}");
                }
                let refused = door.refusal(method, None, stranger).await.unwrap();
                assert_eq!(refused, (Code::Unauthenticated, "DEVICE_UNKNOWN".to_owned()), "{method}");
            }
            Access::DeviceOrProof => {
                assert_eq!(door.door_says(method, None).await, "RENEWAL_REFUSED", "{method}");
                let refused = door.refusal(method, None, stranger).await.unwrap();
                assert_eq!(refused, (Code::Unauthenticated, "DEVICE_UNKNOWN".to_owned()), "{method}");
            }
            Access::Claim | Access::Public => {}
            other => panic!("{method}: {other:?} is for HTTP"),
        }
    }
    door.ctx.clock.advance(limits::TOKEN_LIFE);
    for rule in access_table::methods().iter().filter(|rule| matches!(rule.access, Access::Roles(_))) {
        for (role, bearer) in &bearers {
            let said = door.door_says(rule.method, Some(bearer)).await;
            assert_eq!(said, "TOKEN_EXPIRED", "{} {role:?}", rule.method);
        }
    }
}

#[tokio::test]
async fn a_method_nobody_classified_is_forbidden_to_all() {
    let door = Door::new().await;
    let admin = door.bearer(Role::Admin).await;
    let refused = door.refusal("FleetService/DropEverything", Some(&admin), None).await.unwrap();
    assert_eq!(refused, (Code::PermissionDenied, "ROLE_REQUIRED".to_owned()));
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_viewers() {
    let door = Door::new().await;
    let viewer = door.bearer(Role::Viewer).await;
    let client = door.bearer(Role::Client).await;
    for (ip, bearer, expected) in [
        ([127, 0, 0, 1], None, 200),
        ([192, 0, 2, 1], None, 401),
        ([192, 0, 2, 1], Some(&viewer), 200),
        ([192, 0, 2, 1], Some(&client), 403),
        ([127, 0, 0, 1], Some(&client), 403),
    ] {
        let mut request = Request::get("/metrics").body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer::new(1, SocketAddr::from((ip, 1)), None));
        if let Some(bearer) = bearer {
            request.headers_mut().insert(AUTHORIZATION, format!("bearer {bearer}").parse().unwrap());
        }
        let response = door.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{ip:?}");
    }
}

/// Who the log says was refused `method`.
async fn logged(door: &Door, method: &str, bearer: Option<&str>, key: Option<Sha256>) -> (String, String) {
    let mut request = Request::post(format!("{PACKAGE}{method}")).body(()).unwrap();
    request.extensions_mut().insert(Peer::new(1, SocketAddr::from(([192, 0, 2, 1], 1)), key));
    if let Some(bearer) = bearer {
        request.headers_mut().insert(AUTHORIZATION, format!("Bearer {bearer}").parse().unwrap());
    }
    let rule = access_table::find(request.uri().path()).unwrap();
    let (mut parts, ()) = request.into_parts();
    let denied = authenticate(&door.ctx, &rule, &mut parts).await.unwrap_err();
    (denied.caller.name(), denied.claimed.unwrap_or_default())
}

#[tokio::test]
async fn whoever_is_refused_is_named_as_far_as_that_is_proved() {
    let door = Door::new().await;
    let bearer = door.bearer(Role::Viewer).await;
    let (id, _) = token::read_bearer(&bearer).unwrap();
    let (name, none) = (format!("tokens/{id}"), String::new());
    let anyone = "anyone".to_owned();
    let create = "AccessService/CreateToken";
    assert_eq!(logged(&door, create, Some(&bearer), None).await, (name.clone(), none.clone()), "its role");
    let wrong = token::bearer(id, &[9; token::SECRET_BYTES]);
    assert_eq!(logged(&door, create, Some(&wrong), None).await, (anyone.clone(), name.clone()), "its secret");
    // What could not be an id is not repeated.
    let noise = token::bearer("a\tb", &[9; token::SECRET_BYTES]);
    assert_eq!(logged(&door, create, Some(&noise), None).await, (anyone.clone(), none.clone()));
    assert_eq!(logged(&door, create, None, None).await, (anyone.clone(), none.clone()));
    door.ctx.clock.advance(limits::TOKEN_LIFE);
    assert_eq!(logged(&door, create, Some(&bearer), None).await, (name, none.clone()), "expired");

    let device = enrolled(&door.ctx, "pump-1", |device| device.state = DeviceState::Revoked).await;
    let key = Sha256::of(device.id().as_bytes());
    let check_in = "DeviceService/CheckIn";
    assert_eq!(logged(&door, check_in, None, Some(key)).await, ("devices/pump-1".to_owned(), none));
    let stranger = Sha256::of(b"stranger");
    assert_eq!(logged(&door, check_in, None, Some(stranger)).await, (anyone, format!("key {stranger}")));
}

#[tokio::test]
async fn who_waits_for_a_yes_may_check_in_and_nothing_else() {
    let door = Door::new().await;
    let pending = enrolled(&door.ctx, "pump-1", |device| device.state = DeviceState::Pending).await;
    let registered = enrolled(&door.ctx, "pump-2", |device| device.state = DeviceState::Registered).await;
    let key = |device: &DeviceEntry| Some(Sha256::of(device.id().as_bytes()));
    let authenticated = async |path: &str, key: Option<Sha256>| {
        let mut request = Request::post(path).body(()).unwrap();
        request.extensions_mut().insert(Peer::new(1, SocketAddr::from(([192, 0, 2, 1], 1)), key));
        let rule = access_table::find(path).unwrap();
        let (mut parts, ()) = request.into_parts();
        authenticate(&door.ctx, &rule, &mut parts).await.map_err(|denied| denied.error.to_string())
    };
    for allowed in ["DeviceService/CheckIn", "EnrollmentService/Renew"] {
        authenticated(&format!("{PACKAGE}{allowed}"), key(&pending)).await.unwrap();
    }
    let refused = ["DeviceService/ReportUpdate", "DeviceService/SendTelemetry"];
    let paths = refused.map(|method| format!("{PACKAGE}{method}")).into_iter();
    for path in paths.chain(["/segments/ab".to_owned()]) {
        let said = authenticated(&path, key(&pending)).await.unwrap_err();
        assert!(said.contains("DEVICE_PENDING"), "{path}: {said}");
    }
    let said = authenticated("/slipway.v1.DeviceService/CheckIn", key(&registered)).await.unwrap_err();
    assert!(said.contains("DEVICE_UNKNOWN"), "who has not enrolled is no device yet: {said}");
}

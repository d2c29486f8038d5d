//! Watching alerts through broken streams and restarts.

use std::{
    fs,
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures_util::{Stream, stream};
use slipway_proto::v1::{
    self,
    alert_service_server::{AlertService, AlertServiceServer},
};
use tonic::{Request, Response, Status, async_trait, service::Routes};

use crate::{commands::slipway, server::TestServer};

type Changes = Pin<Box<dyn Stream<Item = Result<v1::WatchAlertsResponse, Status>> + Send>>;

/// Hands out one change, then breaks the stream; remembers where each stream was to go on from.
#[derive(Clone, Default)]
struct Alerts(Arc<Mutex<Vec<String>>>);

fn change(number: usize) -> v1::WatchAlertsResponse {
    let alert = v1::Alert {
        name: format!("alerts/a{number}"),
        device: "devices/pump-01".into(),
        component: "filter".into(),
        state: v1::AlertState::Open.into(),
        severity: v1::AlertSeverity::Warning.into(),
        summary: format!("change {number}"),
        ..v1::Alert::default()
    };
    v1::WatchAlertsResponse { alert: Some(alert), resume_token: format!("t{number}") }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this test only watches"))
}

#[async_trait]
impl AlertService for Alerts {
    type WatchAlertsStream = Changes;

    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Result<Response<Changes>, Status> {
        let token = request.into_inner().resume_token;
        let next = token.strip_prefix('t').map_or(1, |n| n.parse::<usize>().unwrap() + 1);
        self.0.lock().unwrap().push(token);
        let broken = Err(Status::unavailable("the test breaks the stream"));
        Ok(Response::new(Box::pin(stream::iter([Ok(change(next)), broken]))))
    }

    async fn list_alerts(
        &self,
        _: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        not_here()
    }
    async fn get_alert(&self, _: Request<v1::GetAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        not_here()
    }
    async fn acknowledge_alert(
        &self,
        _: Request<v1::AcknowledgeAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        not_here()
    }
    async fn resolve_alert(
        &self,
        _: Request<v1::ResolveAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        not_here()
    }
    async fn create_limit(&self, _: Request<v1::CreateLimitRequest>) -> Result<Response<v1::Limit>, Status> {
        not_here()
    }
    async fn list_limits(
        &self,
        _: Request<v1::ListLimitsRequest>,
    ) -> Result<Response<v1::ListLimitsResponse>, Status> {
        not_here()
    }
    async fn delete_limit(&self, _: Request<v1::DeleteLimitRequest>) -> Result<Response<v1::Limit>, Status> {
        not_here()
    }
    async fn apply_limits(
        &self,
        _: Request<v1::ApplyLimitsRequest>,
    ) -> Result<Response<v1::ApplyLimitsResponse>, Status> {
        not_here()
    }
    async fn list_fixes(
        &self,
        _: Request<v1::ListFixesRequest>,
    ) -> Result<Response<v1::ListFixesResponse>, Status> {
        not_here()
    }
    async fn create_silence(
        &self,
        _: Request<v1::CreateSilenceRequest>,
    ) -> Result<Response<v1::Silence>, Status> {
        not_here()
    }
    async fn list_silences(
        &self,
        _: Request<v1::ListSilencesRequest>,
    ) -> Result<Response<v1::ListSilencesResponse>, Status> {
        not_here()
    }
    async fn delete_silence(
        &self,
        _: Request<v1::DeleteSilenceRequest>,
    ) -> Result<Response<v1::Silence>, Status> {
        not_here()
    }
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_was() {
    let alerts = Alerts::default();
    let server = TestServer::start(Routes::new(AlertServiceServer::new(alerts.clone()))).await;
    let state = server.dir().join("position");
    let line = ["alert", "watch", "--state", state.to_str().unwrap(), "--count"];

    let watched = slipway(&server.profile(), &[&line[..], &["2"]].concat()).await;
    assert_eq!(watched.code, 0, "{}", watched.talk);
    let summaries: Vec<&str> = watched.out.lines().map(|line| line.rsplit(": ").next().unwrap()).collect();
    assert_eq!(summaries, ["change 1", "change 2"]);
    assert_eq!(watched.talk, "the connection is lost; trying again, nothing will be missed\n");
    assert_eq!(fs::read_to_string(&state).unwrap(), "t2\n");

    let again = slipway(&server.profile(), &[&line[..], &["1", "--output", "json"]].concat()).await;
    let change: serde_json::Value = serde_json::from_str(again.out.trim()).unwrap();
    assert_eq!((&change["alert"]["summary"], &change["resumeToken"]), (&"change 3".into(), &"t3".into()));
    assert_eq!(*alerts.0.lock().unwrap(), ["", "t1", "t2"]);

    let refused = slipway(&server.profile(), &["alert", "list"]).await;
    assert_eq!(
        (refused.code, refused.talk.as_str()),
        (
            1,
            "error: the server does not know this call\nhint: use a slipway and a slipwayd of the same version\n"
        )
    );
}

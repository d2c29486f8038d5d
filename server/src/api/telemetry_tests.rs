use tonic::{Code, Request};

use super::*;
use crate::{
    limits,
    model::token::Role,
    service::{
        testing::enrolled,
        tokens::{self, NewToken},
    },
};

async fn client(ctx: &Context, name: &str) -> Arc<TokenCaller> {
    let new = NewToken {
        role: Role::Client,
        display_name: name.to_owned(),
        scope: "labels.site = \"north\"".to_owned(),
        ttl: None,
    };
    let (_, bearer) = tokens::create(ctx, "tests", new).await.unwrap();
    ctx.tokens.find(&bearer, ctx.clock.now()).unwrap()
}

#[tokio::test]
async fn a_token_has_few_exports_at_once_however_long_it_does_not_read_them() {
    let ctx = Context::for_test().await;
    enrolled(&ctx, "pump-1", |_| {}).await;
    let api = Api { ctx: (*ctx).clone() };
    let (desk, other) = (client(&ctx, "desk").await, client(&ctx, "other").await);
    let ask = |caller: &Arc<TokenCaller>| {
        let mut request =
            Request::new(v1::ExportReadingsRequest { parent: "devices/-".into(), ..Default::default() });
        request.extensions_mut().insert(caller.clone());
        api.export_readings(request)
    };
    let mut open = Vec::new();
    for _ in 0..limits::EXPORTS_OF_TOKEN {
        open.push(ask(&desk).await.unwrap());
    }
    let refused = ask(&desk).await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let elsewhere = ask(&other).await;
    assert!(elsewhere.is_ok(), "others have their own");
    // One is closed, another is read to its end.
    open.pop();
    let next = ask(&desk).await;
    assert!(next.is_ok());
    let read = open.pop().unwrap().into_inner();
    let messages: Vec<_> = futures_util::StreamExt::collect(read).await;
    assert!(messages.is_empty());
    assert!(ask(&desk).await.is_ok());
}

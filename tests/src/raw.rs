//! Any RPC by its path, with bytes in and bytes out: for tests that walk the descriptors.

use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _, Bytes},
};
use prost_types::FileDescriptorSet;
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

/// One method of the public interface.
#[derive(Clone, Debug)]
pub struct Method {
    /// For example `/slipway.v1.FleetService/ListDevices`.
    pub path: String,
    /// Whether it answers with a stream.
    pub streams: bool,
}

/// Every method of package `slipway.v1`, from the descriptors the server reflects.
pub fn methods() -> Vec<Method> {
    let set = FileDescriptorSet::decode(slipway_proto::v1::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let mut out = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == "slipway.v1") {
        for service in &file.service {
            for method in &service.method {
                out.push(Method {
                    path: format!("/slipway.v1.{}/{}", service.name(), method.name()),
                    streams: method.server_streaming(),
                });
            }
        }
    }
    assert!(out.len() > 30, "only {} methods: the walk looks in the wrong place", out.len());
    out
}

/// Calls `path` with `message` and returns the first answer.
pub async fn call(
    channel: Channel,
    path: &str,
    token: Option<&str>,
    message: Vec<u8>,
) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let mut request = Request::new(Bytes::from(message));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().map_err(|_| Status::internal("token"))?;
        request.metadata_mut().insert("authorization", value);
    }
    let path = path.parse().map_err(|_| Status::internal("path"))?;
    let mut answers = client.server_streaming(request, path, Raw).await?.into_inner();
    answers.message().await?.ok_or_else(|| Status::ok("the stream ended without a message"))
}

/// Passes bytes through.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

//! Bytes that never end and bytes that hardly come: what a network, an object store or a server does to a
//! download without knowing a key. The rows are those of `docs/THREATS.md`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header::RANGE},
    routing::get,
};
use futures_util::stream;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use slipway_agent::{
    clock::Clock,
    fetch::{Note, fetch},
    link::{GetError, Link, Source as _},
    machine::{Progress, Slot},
    slots::{FileSlots, Slots as _},
};
use slipway_payload::{FRAME_MAX, Segment};
use slipway_trust::{Artifact, Sha256};
use tokio::net::TcpListener;

use crate::{
    fleet::{NOW, SEGMENT},
    listen::{Identity, serve},
};

/// How files are sent.
#[derive(Clone, Copy)]
enum Manner {
    Whole,
    /// A byte each second.
    Trickle,
    /// More and more.
    Flood,
}

/// A server with the segments of one image.
#[derive(Clone)]
struct Files {
    image: Arc<Vec<u8>>,
    frames: Arc<BTreeMap<String, Vec<u8>>>,
    manner: Arc<Mutex<Manner>>,
    /// From which byte on files were asked for.
    asked: Arc<Mutex<Vec<usize>>>,
    /// Bytes of floods that were taken off its hands.
    flooded: Arc<AtomicUsize>,
}

impl Files {
    /// Two segments of noise.
    fn new() -> Self {
        let mut image = vec![0; 2 * SEGMENT];
        StdRng::seed_from_u64(1).fill_bytes(&mut image);
        let frame = |bytes: &[u8]| (Sha256::of(bytes).to_string(), slipway_payload::encode(bytes).unwrap());
        let frames = image.chunks(SEGMENT).map(frame).collect();
        Self {
            image: Arc::new(image),
            frames: Arc::new(frames),
            manner: Arc::new(Mutex::new(Manner::Whole)),
            asked: Arc::default(),
            flooded: Arc::default(),
        }
    }

    fn segments(&self) -> Vec<Segment> {
        let artifact = Artifact {
            component: "system".to_owned(),
            hardware: vec!["gw-a".to_owned()],
            size: self.image.len() as u64,
            digest: Sha256::of(&self.image),
            segment_size: SEGMENT as u32,
            segments: self.image.chunks(SEGMENT).map(Sha256::of).collect(),
        };
        slipway_payload::segments(&artifact).unwrap()
    }

    fn sends(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// A link to it, from a device.
    async fn serve(&self) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let identity = Identity::new();
        let authorities = [identity.certificate.der().clone()];
        let files = self.clone();
        let router = Router::new().route(
            "/segments/{digest}",
            get(move |request: Request<Body>| async move { files.answer(&request) }),
        );
        tokio::spawn(serve(listener, identity, router));
        Link::new(&address, &authorities, None, &Clock::from_source(Arc::new(|| NOW))).unwrap()
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let range = request.headers().get(RANGE).map(|range| range.to_str().unwrap());
        let from =
            range.map_or(0, |range| range.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap());
        self.asked.lock().unwrap().push(from);
        let digest = request.uri().path().trim_start_matches("/segments/");
        let rest = self.frames[digest][from..].to_vec();
        let manner = *self.manner.lock().unwrap();
        let body = match manner {
            Manner::Whole => Body::from(rest),
            Manner::Trickle => Body::from_stream(stream::unfold(rest.into_iter(), |mut rest| async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                rest.next().map(|byte| (Ok::<_, Infallible>(vec![byte]), rest))
            })),
            Manner::Flood => Body::from_stream(stream::repeat_with({
                let flooded = self.flooded.clone();
                move || {
                    let more = vec![0_u8; 16 << 10];
                    flooded.fetch_add(more.len(), Ordering::SeqCst);
                    Ok::<_, Infallible>(more)
                }
            })),
        };
        let mut response = Response::new(body);
        if range.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }
}

/// Row 46: no more is taken than a file may have, and no more than a window of it is ever on its way.
#[tokio::test]
async fn row_46_a_file_without_end_is_cut_at_its_limit_and_fails_the_download() {
    let files = Files::new();
    let link = files.serve().await;
    files.sends(Manner::Flood);
    let path = format!("/segments/{}", Sha256::of(&files.image[..SEGMENT]));
    let mut into = Vec::new();
    let cut = link.get(&path, &mut into, FRAME_MAX).await;
    assert_eq!(cut, Err(GetError::TooLong { path, limit: FRAME_MAX }));
    assert!(into.len() <= FRAME_MAX, "{} bytes are in memory", into.len());
    let sent = files.flooded.load(Ordering::SeqCst);
    assert!(sent < FRAME_MAX + (4 << 20), "{sent} bytes were taken of a file of at most {FRAME_MAX}");

    let folder = tempfile::tempdir().unwrap();
    FileSlots::create(folder.path(), StdRng::seed_from_u64(1)).unwrap();
    let slots = FileSlots::open_folder(folder.path(), 0, StdRng::seed_from_u64(2));
    let image = slots.open_spare(Slot::B, files.image.len() as u64).unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    let failed =
        fetch(&link, &image, &files.segments(), Progress::default(), &mut rng, |_| ()).await.unwrap_err();
    assert_eq!(failed.reason().code, "SEGMENT_UNAVAILABLE");
    assert!(failed.reason().detail.contains("is longer than"), "{}", failed.reason().detail);
    let slot = std::fs::read(folder.path().join("slot-b.img")).unwrap();
    assert!(slot.iter().all(|byte| *byte == 0), "nothing of it was written");
}

/// Row 48: given up after a minute, told, and gone on with where it was. The device's connection is free for
/// other calls meanwhile, and its update has a deadline of its own.
#[tokio::test]
async fn row_48_a_byte_a_second_is_given_up_told_and_gone_on_with_later() {
    let files = Files::new();
    let link = files.serve().await;
    // The connection is made while the clock runs.
    let digest = Sha256::of(&files.image[SEGMENT..]);
    link.get(&format!("/segments/{digest}"), &mut Vec::new(), FRAME_MAX).await.unwrap();
    files.asked.lock().unwrap().clear();
    files.sends(Manner::Trickle);

    let folder = tempfile::tempdir().unwrap();
    FileSlots::create(folder.path(), StdRng::seed_from_u64(1)).unwrap();
    let slots = FileSlots::open_folder(folder.path(), 0, StdRng::seed_from_u64(2));
    let image = slots.open_spare(Slot::B, files.image.len() as u64).unwrap();
    tokio::time::pause();
    let mut told = Vec::new();
    let note = |note| {
        if let Note::Trouble(reason) = note {
            told.push(reason);
            if told.len() == 3 {
                files.sends(Manner::Whole);
            }
        }
    };
    let mut rng = StdRng::seed_from_u64(3);
    let progress =
        fetch(&link, &image, &files.segments(), Progress::default(), &mut rng, note).await.unwrap();
    for reason in &told {
        assert_eq!(reason.code, "DOWNLOAD_INTERRUPTED");
        assert!(reason.detail.contains("sends less than 1 KiB/s"), "{}", reason.detail);
    }
    let frames: usize = files.frames.values().map(Vec::len).sum();
    assert_eq!(progress.fetched, frames as u64, "no byte twice");
    let asked = files.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 5, "{asked:?}");
    // A byte a second: so many bytes further each time, so many seconds were it.
    let minutes = asked[..4].windows(2).all(|pair| (55..=61).contains(&(pair[1] - pair[0])));
    assert!(minutes, "each time given up after a minute: {asked:?}");
    assert!(*files.image == std::fs::read(folder.path().join("slot-b.img")).unwrap());
}

//! A source that misbehaves in every way, and a slot that remembers.

use std::{collections::BTreeMap, fs, sync::Mutex};

use rand::{SeedableRng as _, rngs::StdRng};
use slipway_trust::Artifact;

use super::*;
use crate::{
    machine::Slot,
    slots::{FileSlots, Slots as _},
};

const SEGMENT: usize = 4096;

/// What happens at a request for a segment, before it is answered well.
#[derive(Clone, Copy)]
enum Mishap {
    /// The connection breaks after so many bytes.
    Breaks(usize),
    /// The bytes are those of another segment.
    Lies,
    /// The server answers with this status.
    Says(u16),
}

#[derive(Default)]
struct Server {
    frames: BTreeMap<String, Vec<u8>>,
    mishaps: Mutex<BTreeMap<String, Vec<Mishap>>>,
    /// Path, and how much of it was there already.
    asked: Mutex<Vec<(String, usize)>>,
}

impl Source for Server {
    async fn get(&self, path: &str, into: &mut Vec<u8>, limit: usize) -> Result<(), GetError> {
        self.asked.lock().unwrap().push((path.to_owned(), into.len()));
        let mishap = self.mishaps.lock().unwrap().get_mut(path).and_then(Vec::pop);
        let frame = self.frames[path].clone();
        assert!(frame.len() <= limit);
        match mishap {
            Some(Mishap::Breaks(after)) => {
                let until = after.min(frame.len()).max(into.len());
                into.extend_from_slice(&frame[into.len()..until]);
                Err(GetError::Network("broken".to_owned()))
            }
            Some(Mishap::Lies) => {
                into.clear();
                into.extend(slipway_payload::encode(&[9; SEGMENT]).unwrap());
                Ok(())
            }
            Some(Mishap::Says(status)) => Err(GetError::Status { status, path: path.to_owned() }),
            None => {
                into.extend_from_slice(&frame[into.len()..]);
                Ok(())
            }
        }
    }
}

struct Bench {
    folder: tempfile::TempDir,
    image: Vec<u8>,
    segments: Vec<Segment>,
    server: Server,
}

impl Bench {
    /// Segments of noise, each fourth of zeros, the last one short.
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        FileSlots::create(folder.path(), StdRng::seed_from_u64(1)).unwrap();
        let mut rng = StdRng::seed_from_u64(2);
        let mut image = Vec::new();
        for index in 0..count {
            let mut segment = vec![0; SEGMENT];
            if index % 4 != 3 {
                rng.fill_bytes(&mut segment);
            }
            image.extend(segment);
        }
        image.extend([7; 100]);
        let chunks = image.chunks(SEGMENT);
        let artifact = Artifact {
            component: "system".to_owned(),
            hardware: vec!["gw-a".to_owned()],
            size: image.len() as u64,
            digest: Sha256::of(&image),
            segment_size: SEGMENT as u32,
            segments: chunks.clone().map(Sha256::of).collect(),
        };
        let frames = chunks
            .map(|chunk| {
                (format!("/segments/{}", Sha256::of(chunk)), slipway_payload::encode(chunk).unwrap())
            })
            .collect();
        let segments = slipway_payload::segments(&artifact).unwrap();
        Self { folder, image, segments, server: Server { frames, ..Server::default() } }
    }

    fn path(&self, index: usize) -> String {
        format!("/segments/{}", self.segments[index].digest())
    }

    fn mishaps(&self, index: usize, mishaps: &[Mishap]) {
        let path = self.path(index);
        self.server.mishaps.lock().unwrap().insert(path, mishaps.iter().rev().copied().collect());
    }

    fn asked(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.server.asked.lock().unwrap())
    }

    async fn fetch(&self, progress: Progress) -> (Result<Progress, FetchError>, Vec<Note>) {
        let slots = FileSlots::open_folder(self.folder.path(), 0, StdRng::seed_from_u64(3));
        let image = slots.open_spare(Slot::B, self.image.len() as u64).unwrap();
        let mut rng = StdRng::seed_from_u64(4);
        let mut notes = Vec::new();
        let note = |note| notes.push(note);
        let outcome = fetch(&self.server, &image, &self.segments, progress, &mut rng, note).await;
        (outcome, notes)
    }

    fn slot(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("slot-b.img")).unwrap()
    }
}

#[tokio::test]
async fn fetches_what_is_not_there_and_nothing_else() {
    let bench = Bench::new(8);
    let (progress, _) = bench.fetch(Progress::default()).await;
    let progress = progress.unwrap();
    assert!(bench.slot() == bench.image);
    assert_eq!(bench.asked().len(), 7, "8 segments and a short one, 2 of them zeros");
    assert_eq!(progress.done.count(), 9);
    assert_eq!(progress.written, (6 * SEGMENT + 100) as u64);

    let (again, _) = bench.fetch(Progress::default()).await;
    assert_eq!(bench.asked(), [], "everything is right already");
    assert_eq!((again.as_ref().unwrap().fetched, again.unwrap().written), (0, 0));

    // Something else was in the slot, also where zeros belong.
    fs::write(bench.folder.path().join("slot-b.img"), vec![3; 100 * SEGMENT]).unwrap();
    bench.fetch(Progress::default()).await.0.unwrap();
    assert!(bench.slot() == bench.image, "shortened and overwritten");
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_broke() {
    let bench = Bench::new(3);
    bench.mishaps(1, &[Mishap::Breaks(1000), Mishap::Says(503), Mishap::Breaks(3000)]);
    let (progress, notes) = bench.fetch(Progress::default()).await;
    let frames: u64 = bench.server.frames.values().map(|frame| frame.len() as u64).sum();
    assert_eq!(progress.unwrap().fetched, frames, "no byte twice");
    let path = bench.path(1);
    let asked: Vec<usize> =
        bench.asked().into_iter().filter(|(at, _)| *at == path).map(|(_, had)| had).collect();
    assert_eq!(asked, [0, 1000, 1000, 3000]);
    assert_eq!(notes.len(), 3, "and people are told");
}

#[tokio::test]
async fn a_segment_that_is_wrong_three_times_ends_it_and_two_times_do_not() {
    let bench = Bench::new(3);
    bench.mishaps(2, &[Mishap::Lies, Mishap::Lies]);
    bench.fetch(Progress::default()).await.0.unwrap();
    let bench = Bench::new(3);
    bench.mishaps(2, &[Mishap::Lies; 3]);
    let error = bench.fetch(Progress::default()).await.0.unwrap_err();
    let reason = error.reason();
    assert_eq!(reason.code, "SEGMENT_DIGEST_MISMATCH");
    assert!(reason.detail.starts_with("segment 2 "), "{}", reason.detail);
    assert_eq!(bench.slot()[2 * SEGMENT..3 * SEGMENT], [0; SEGMENT], "nothing unverified was written");
}

#[tokio::test]
async fn a_segment_the_server_does_not_have_ends_it() {
    let bench = Bench::new(3);
    bench.mishaps(0, &[Mishap::Says(404), Mishap::Says(404), Mishap::Says(404)]);
    let error = bench.fetch(Progress::default()).await.0.unwrap_err();
    assert_eq!(error.reason().code, "SEGMENT_UNAVAILABLE");
}

#[tokio::test]
async fn checkpoints_come_each_16_mib_and_are_believed() {
    let count = (2 * CHECKPOINT as usize / SEGMENT) + 5;
    let bench = Bench::new(count);
    let (progress, notes) = bench.fetch(Progress::default()).await;
    let counts: Vec<u32> = notes
        .iter()
        .map(|note| match note {
            Note::Checkpoint(progress) => progress.done.count(),
            Note::Trouble(_) => 0,
        })
        .collect();
    let each = (CHECKPOINT / SEGMENT as u64) as u32;
    assert_eq!(counts, [each, 2 * each]);
    assert_eq!(progress.unwrap().done.count() as usize, count + 1);

    // What the bitmap claims is not looked at: the reading back at the end finds what it lost.
    bench.asked();
    let Some(Note::Checkpoint(progress)) = notes.first().cloned() else { panic!("a checkpoint") };
    fs::write(bench.folder.path().join("slot-b.img"), b"").unwrap();
    bench.fetch(progress).await.0.unwrap();
    let asked = bench.asked();
    assert!(asked.iter().all(|(path, _)| *path != bench.path(0)));
    let slots = FileSlots::open_folder(bench.folder.path(), 0, StdRng::seed_from_u64(3));
    let (size, digest) = (bench.image.len() as u64, Sha256::of(&bench.image));
    let reason = read_back(&slots.open(Slot::B).unwrap(), size, digest).await.unwrap_err();
    assert_eq!(reason.code, "SLOT_DIGEST_MISMATCH");
    bench.fetch(Progress::default()).await.0.unwrap();
    read_back(&slots.open(Slot::B).unwrap(), size, digest).await.unwrap();
}

use std::{fs, fs::OpenOptions};

use rand::SeedableRng as _;

use super::{file::Header, *};

const SMALL: Limits = Limits { total: 64 << 10, file: 16 << 10 };
const SEED: u64 = 1_000_000;

fn draw() -> io::Result<StdRng> {
    Ok(StdRng::seed_from_u64(1))
}

fn draw_otherwise() -> io::Result<StdRng> {
    Ok(StdRng::seed_from_u64(2))
}

fn reading(value: u64) -> Reading {
    Reading {
        component: "system".to_owned(),
        metric: "m".to_owned(),
        value: value as f64,
        ..Reading::default()
    }
}

fn readings(values: std::ops::Range<u64>) -> Vec<Reading> {
    values.map(reading).collect()
}

fn values(batch: &SendTelemetryRequest) -> Vec<u64> {
    batch.readings.iter().map(|reading| reading.value as u64).collect()
}

fn open(folder: &Path) -> Spool {
    Spool::open(folder, SMALL, SEED, draw).unwrap().0
}

/// Everything that waits, acknowledged on the way.
fn drain(spool: &mut Spool) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(batch) = spool.batch().unwrap() {
        seen.extend(values(&batch));
        spool.acknowledge(batch.sequence).unwrap();
    }
    seen
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn hands_out_in_order_and_forgets_what_the_server_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    assert_eq!(spool.batch().unwrap(), None);
    spool.append(readings(0..5)).unwrap();
    let first = spool.batch().unwrap().unwrap();
    assert_eq!((first.sequence, values(&first)), (SEED + 1, vec![0, 1, 2, 3, 4]));
    spool.append(readings(5..7)).unwrap();
    assert_eq!(spool.batch().unwrap().unwrap(), first, "the same until it is acknowledged");
    spool.acknowledge(SEED).unwrap();
    assert_eq!(spool.batch().unwrap().unwrap(), first, "an older sequence says nothing of it");
    spool.acknowledge(first.sequence).unwrap();
    spool.acknowledge(first.sequence).unwrap();
    let second = spool.batch().unwrap().unwrap();
    assert_eq!((second.sequence, values(&second)), (SEED + 2, vec![5, 6]));
    spool.acknowledge(second.sequence).unwrap();
    assert_eq!((spool.batch().unwrap(), spool.waiting()), (None, 0));
}

#[test]
fn a_batch_has_at_most_a_thousand_readings() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), Limits::default(), SEED, draw).unwrap().0;
    spool.append(readings(0..1700)).unwrap();
    spool.append(readings(1700..1800)).unwrap();
    let mut sizes = Vec::new();
    while let Some(batch) = spool.batch().unwrap() {
        sizes.push(batch.readings.len());
        spool.acknowledge(batch.sequence).unwrap();
    }
    assert_eq!(sizes, [1000, 800]);
}

#[test]
fn a_restart_changes_neither_batch_nor_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    spool.append(readings(0..3)).unwrap();
    let batch = spool.batch().unwrap().unwrap();
    spool.append(readings(3..4)).unwrap();
    spool.sync().unwrap();
    drop(spool);
    // A later seed does not matter to a spool that is whole.
    let (mut spool, recovered) = Spool::open(folder.path(), SMALL, SEED * 2, draw).unwrap();
    assert_eq!(recovered, Recovered::default());
    assert_eq!(spool.batch().unwrap().unwrap(), batch);
    spool.acknowledge(batch.sequence).unwrap();
    drop(spool);
    let next = open(folder.path()).batch().unwrap().unwrap();
    assert_eq!((next.sequence, values(&next)), (batch.sequence + 1, vec![3]));
}

#[test]
fn the_oldest_readings_go_first_when_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    for start in 0..200 {
        spool.append(readings(start * 20..start * 20 + 20)).unwrap();
    }
    let kept = drain(&mut spool);
    assert!(spool.dropped() > 0 && kept.len() as u64 + spool.dropped() == 4000);
    assert_eq!(
        kept,
        (4000 - kept.len() as u64..4000).collect::<Vec<_>>(),
        "what is left is the newest, whole"
    );
    let bytes: u64 =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= SMALL.total);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "files without readings are removed");
}

#[test]
fn a_batch_under_way_that_is_given_up_never_returns_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    spool.append(readings(0..20)).unwrap();
    let lost = spool.batch().unwrap().unwrap();
    for start in 1..200 {
        spool.append(readings(start * 20..start * 20 + 20)).unwrap();
    }
    let next = spool.batch().unwrap().unwrap();
    assert!(next.sequence > lost.sequence);
    assert!(!values(&next).contains(&0));
    spool.acknowledge(lost.sequence).unwrap();
    assert_eq!(
        spool.batch().unwrap().unwrap(),
        next,
        "a late acknowledgement of the lost one is for nothing else"
    );
}

#[test]
fn a_copy_of_the_device_has_batches_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let [original, restored] = ["original", "restored"].map(|name| folder.path().join(name));
    let mut spool = open(&original);
    spool.append(readings(0..3)).unwrap();
    let sealed = spool.batch().unwrap().unwrap();
    assert_eq!(sealed.nonce.len(), 16);
    drop(spool);
    copy(&original, &restored);
    let next = |folder: &Path, draw: Draw, values| {
        let mut spool = Spool::open(folder, SMALL, SEED, draw).unwrap().0;
        assert_eq!(spool.batch().unwrap().as_ref(), Some(&sealed), "sealed before the copy was made");
        spool.acknowledge(sealed.sequence).unwrap();
        spool.append(readings(values)).unwrap();
        spool.batch().unwrap().unwrap()
    };
    let first = next(&original, draw, 3..5);
    let second = next(&restored, draw_otherwise, 5..9);
    assert_eq!(first.sequence, second.sequence);
    assert_ne!(first.nonce, second.nonce);
}

#[test]
fn a_batch_that_was_marked_without_a_nonce_keeps_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    spool.append(readings(0..3)).unwrap();
    let mark = Mark { sequence: SEED + 1, first: 1, last: 1, nonce: None };
    spool.write(file::MARK, &file::mark_body(mark), 0).unwrap();
    spool.sync().unwrap();
    drop(spool);
    let batch = open(folder.path()).batch().unwrap().unwrap();
    assert_eq!((batch.sequence, batch.nonce.as_slice(), values(&batch)), (SEED + 1, &[][..], vec![0, 1, 2]));
}

#[test]
fn sequences_never_return() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..40 {
        let mut spool = open(folder.path());
        spool.append(readings(0..60)).unwrap();
        let batch = spool.batch().unwrap().unwrap();
        assert!(batch.sequence > last, "round {round}");
        last = batch.sequence;
        spool.acknowledge(last).unwrap();
    }
    fs::remove_dir_all(folder.path()).unwrap();
    let later = SEED + 1000;
    let mut spool = Spool::open(folder.path(), SMALL, later, draw).unwrap().0;
    spool.append(readings(0..1)).unwrap();
    assert_eq!(spool.batch().unwrap().unwrap().sequence, later + 1, "a new spool goes on above the old");
}

/// Cuts the file at every byte, as a power cut may, with and without what was there before behind it.
/// Whatever survives is a beginning of what was written, and a batch is the one that was handed out.
#[test]
fn a_power_cut_at_any_byte_loses_the_end_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let mut spool = open(&original);
    spool.append(readings(0..3)).unwrap();
    let batch = spool.batch().unwrap().unwrap();
    spool.acknowledge(batch.sequence).unwrap();
    spool.append(readings(3..5)).unwrap();
    let in_flight = spool.batch().unwrap().unwrap();
    spool.append(readings(5..8)).unwrap();
    spool.sync().unwrap();
    let end = spool.active.length;
    drop(spool);
    let name = file::path(Path::new(""), 1);
    for cut in 0..=end {
        for garbage in [false, true] {
            let crashed = folder.path().join(format!("{cut}-{garbage}"));
            copy(&original, &crashed);
            let file = OpenOptions::new().write(true).open(crashed.join(&name)).unwrap();
            file.set_len(cut).unwrap();
            if garbage {
                std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 40], cut).unwrap();
            }
            let (mut spool, _) = Spool::open(&crashed, SMALL, SEED + 50, draw).unwrap();
            let first = spool.batch().unwrap();
            if let Some(first) = first.filter(|first| first.sequence <= SEED + 50) {
                assert!(first == batch || first == in_flight, "cut at {cut}: {first:?}");
            }
            spool.append(readings(100..102)).unwrap();
            let seen = drain(&mut spool);
            let (old, new): (Vec<u64>, Vec<u64>) = seen.iter().partition(|value| **value < 100);
            assert_eq!(new, [100, 101], "cut at {cut}");
            let start = old.first().copied().unwrap_or(0);
            assert!([0, 3, 5].contains(&start), "cut at {cut}: {old:?}");
            assert_eq!(old, (start..start + old.len() as u64).collect::<Vec<_>>(), "cut at {cut}");
            if cut == end {
                assert_eq!(old, [3, 4, 5, 6, 7]);
            }
            drop(spool);
            assert_eq!(
                Spool::open(&crashed, SMALL, SEED + 60, draw).unwrap().1.damaged,
                0,
                "what was cut stays cut"
            );
            fs::remove_dir_all(&crashed).unwrap();
        }
    }
}

#[test]
fn what_is_no_file_of_the_spool_keeps_nothing_from_being_kept() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let last = u64::MAX - 1;
    let far = Header { first: last, sequence: last, acknowledged: last };
    type Made<'a> = (&'static str, &'a dyn Fn(&Path));
    let wrong: [Made<'_>; 4] = [
        ("a folder", &|path| {
            fs::create_dir_all(path.join("with")).unwrap();
        }),
        ("too long", &|path| fs::write(path, vec![0; 3 << 20]).unwrap()),
        ("nobody writes into it", &|path| {
            let (mode, pipe) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
            rustix::fs::mknodat(rustix::fs::CWD, path, pipe, mode, 0).unwrap();
        }),
        ("counted to the end", &|path| drop(Active::create(path, far, SMALL.file).unwrap())),
    ];
    for (what, make) in wrong {
        make(&file::path(folder.path(), 900));
        let (mut spool, recovered) = Spool::open(folder.path(), SMALL, SEED, draw).expect(what);
        assert_eq!(recovered.damaged, 1, "{what}");
        spool.append(readings(0..3)).unwrap();
        assert_eq!(drain(&mut spool), [0, 1, 2], "{what}");
        drop(spool);
        assert_eq!(Spool::open(folder.path(), SMALL, SEED, draw).unwrap().1.damaged, 0, "{what}: once");
    }
}

#[test]
fn a_flipped_bit_costs_one_file_and_no_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let mut spool = open(&original);
    spool.append(readings(0..20)).unwrap();
    let handed_out = spool.batch().unwrap().unwrap();
    for start in 1..60 {
        spool.append(readings(start * 20..start * 20 + 20)).unwrap();
    }
    spool.sync().unwrap();
    assert!(spool.files.len() > 2);
    drop(spool);
    for byte in (0..200).chain((200..16 << 10).step_by(997)) {
        let crashed = folder.path().join(byte.to_string());
        copy(&original, &crashed);
        let path = crashed.join(file::path(Path::new(""), 1));
        let mut bytes = fs::read(&path).unwrap();
        bytes[byte] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let (mut spool, _) = Spool::open(&crashed, SMALL, SEED + 50, draw).unwrap();
        while let Some(batch) = spool.batch().unwrap() {
            let repeat = batch == handed_out;
            assert!(repeat || batch.sequence > handed_out.sequence, "byte {byte}");
            assert!(repeat || !values(&batch).is_empty(), "byte {byte}");
            spool.acknowledge(batch.sequence).unwrap();
        }
    }
}

#[test]
fn what_the_disk_refuses_leaves_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    spool.append(readings(0..3)).unwrap();
    // A file that is open for reading only refuses every write, as a dying disk does.
    let path = file::path(folder.path(), 1);
    let length = spool.active.length;
    spool.active = Active::read_only(&path, length);
    let error = spool.append(readings(3..6)).unwrap_err();
    assert_eq!(error.code(), "SPOOL_IO_FAILED");
    assert_eq!(spool.waiting(), 3);
    drop(spool);
    assert_eq!(drain(&mut open(folder.path())), [0, 1, 2]);
}

#[test]
fn a_full_disk_costs_one_old_file_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    for start in 0..60 {
        spool.append(readings(start * 20..start * 20 + 20)).unwrap();
    }
    spool.sync().unwrap();
    let files = spool.files.len();
    let length = spool.active.length;
    spool.active = Active::read_write(Path::new("/dev/full"), length);
    let error = spool.append(readings(1200..1203)).unwrap_err();
    assert_eq!(error.code(), "SPOOL_DISK_FULL");
    assert_eq!(spool.files.len(), files - 1, "the disk may be filled by somebody else");
    drop(spool);
    let kept = drain(&mut open(folder.path()));
    assert_eq!(kept, (1200 - kept.len() as u64..1200).collect::<Vec<_>>());
}

fn essential(value: u64) -> Reading {
    Reading { data_class: slipway_proto::v1::DataClass::Essential.into(), ..reading(value) }
}

#[test]
fn essential_readings_outlive_raw_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    // One in twenty is essential.
    for start in 0..300 {
        let mut set = readings(start * 20 + 1..start * 20 + 20);
        set.insert(0, essential(start * 20));
        spool.append(set).unwrap();
        assert!(spool.total() <= SMALL.total);
    }
    spool.sync().unwrap();
    let dropped = spool.dropped();
    drop(spool);
    let mut kept = drain(&mut open(folder.path()));
    assert_eq!(kept.len() as u64 + dropped, 6000);
    kept.sort_unstable();
    let all: Vec<u64> = (0..300).map(|start| start * 20).collect();
    let of_those: Vec<u64> = kept.iter().copied().filter(|value| value % 20 == 0).collect();
    assert_eq!(of_those, all, "every essential one, once");
    let oldest_raw = kept.iter().find(|value| *value % 20 != 0).unwrap();
    assert!(*oldest_raw > 3000, "the oldest raw ones are gone");
}

#[test]
fn essential_readings_alone_stay_within_the_limits_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path());
    let handed_out = {
        spool.append((0..20).map(essential).collect()).unwrap();
        values(&spool.batch().unwrap().unwrap())
    };
    for start in 1..500 {
        spool.append((start * 20..start * 20 + 20).map(essential).collect()).unwrap();
        assert!(spool.total() <= SMALL.total);
    }
    let dropped = spool.dropped();
    let mut kept = drain(&mut spool);
    assert_eq!(kept.len() as u64 + dropped, 10_000);
    assert!(!kept.iter().any(|value| handed_out.contains(value)), "the server may have these");
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(kept.len() as u64 + dropped, 10_000, "none twice");
    assert_eq!(kept.last(), Some(&9999));
}

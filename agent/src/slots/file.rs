//! The `file` driver: a folder that stands for a disk, with `slot-a.img`, `slot-b.img` and
//! `boot.env`. For demonstrations and tests; a reboot applies the boot loader's rules to `boot.env`.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rand::{Rng, rngs::StdRng};

use super::{Caps, SlotError, SlotImage, Slots, env::Env};
use crate::{
    durable,
    machine::{Slot, World},
};

/// A boot environment is a few lines; anything longer is not one.
const ENV_LIMIT: u64 = 4096;
const TRIES: u32 = 1;

/// How `boot.env` is replaced. Tests let the power go before or after a store.
pub(super) type Store = Box<dyn FnMut(&Path, &[u8]) -> io::Result<()> + Send>;

/// Two image files and a boot environment.
pub struct FileSlots {
    folder: PathBuf,
    slot_size: u64,
    store: Store,
    rng: StdRng,
}

impl FileSlots {
    /// Makes the folder, an empty slot `a` that runs, and the boot environment; what is there stays
    /// as it is.
    ///
    /// # Errors
    /// I/O errors, and a disk that was in use and has lost its boot environment: which slot is the good
    /// one is not guessed.
    pub fn create(folder: &Path, rng: StdRng) -> Result<Self, SlotError> {
        fs::create_dir_all(folder).map_err(SlotError::io("make", folder))?;
        let mut slots = Self::open_folder(folder, 0, rng);
        let is_new = !slots.env_path().exists();
        if is_new && slots.path(Slot::B).exists() {
            let what = "it is missing, although slot b was written before, so which slot is the good one is \
                        not known; restore it, or move slot-b.img away if slot a shall run"
                .to_owned();
            return Err(SlotError::Damaged { path: slots.env_path(), what });
        }
        let running = slots.path(Slot::A);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&running)
            .and_then(|file| file.sync_all())
            .map_err(SlotError::io("make", &running))?;
        if is_new {
            let env = Env::first(slots.new_boot_id());
            slots.write_env(&env)?;
        }
        Ok(slots)
    }

    /// A folder made by [`FileSlots::create`]. `slot_size` is the size of a slot in bytes, 0 when only
    /// the disk limits it.
    pub fn open_folder(folder: &Path, slot_size: u64, rng: StdRng) -> Self {
        let store = Box::new(|path: &Path, bytes: &[u8]| durable::replace(path, bytes, durable::PLAIN));
        Self::with_store(folder, slot_size, store, rng)
    }

    pub(super) fn with_store(folder: &Path, slot_size: u64, store: Store, rng: StdRng) -> Self {
        Self { folder: folder.to_path_buf(), slot_size, store, rng }
    }

    fn env_path(&self) -> PathBuf {
        self.folder.join("boot.env")
    }

    fn new_boot_id(&mut self) -> String {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn env(&self) -> Result<Env, SlotError> {
        let path = self.env_path();
        let damaged = |what| SlotError::Damaged { path: path.clone(), what };
        let bytes = durable::read_optional(&path, ENV_LIMIT)
            .map_err(SlotError::io("read", &path))?
            .ok_or_else(|| damaged("it is missing".to_owned()))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("it is not text".to_owned()))?;
        Env::parse(&text).map_err(damaged)
    }

    fn write_env(&mut self, env: &Env) -> Result<(), SlotError> {
        let path = self.env_path();
        (self.store)(&path, env.to_text().as_bytes()).map_err(SlotError::io("write", &path))?;
        if self.env()? != *env {
            return Err(SlotError::NotKept { path });
        }
        Ok(())
    }

    /// One store, if there is something to change.
    fn change(&mut self, change: impl FnOnce(&mut Env)) -> Result<(), SlotError> {
        let before = self.env()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before { Ok(()) } else { self.write_env(&after) }
    }

    fn refuse_in_use(&self, slot: Slot, what: &'static str) -> Result<(), SlotError> {
        let env = self.env()?;
        if slot == env.running || slot == env.default {
            return Err(SlotError::InUse { slot, what });
        }
        Ok(())
    }
}

impl Slots for FileSlots {
    fn caps(&self) -> Result<Caps, SlotError> {
        Ok(Caps { capacity: (self.slot_size > 0).then_some(self.slot_size), tries: TRIES })
    }

    fn world(&self) -> Result<World, SlotError> {
        let env = self.env()?;
        Ok(World {
            boot_id: env.boot_id,
            running: env.running,
            default: env.default,
            trying: env.trying,
            tries_left: env.tries_left,
        })
    }

    fn mark_unbootable(&mut self, slot: Slot) -> Result<(), SlotError> {
        self.refuse_in_use(slot, "marked unbootable")?;
        self.change(|env| {
            env.unbootable = Some(slot);
            (env.trying, env.tries_left) = (None, 0);
        })
    }

    fn try_next(&mut self, slot: Slot) -> Result<(), SlotError> {
        self.refuse_in_use(slot, "tried")?;
        self.change(|env| {
            env.unbootable = env.unbootable.filter(|unbootable| *unbootable != slot);
            (env.trying, env.tries_left) = (Some(slot), TRIES);
        })
    }

    fn commit(&mut self, slot: Slot) -> Result<(), SlotError> {
        if self.env()?.unbootable == Some(slot) {
            return Err(SlotError::Unbootable { slot });
        }
        self.change(|env| {
            env.default = slot;
            (env.trying, env.tries_left) = (None, 0);
        })
    }

    fn open_spare(&self, slot: Slot, size: u64) -> Result<SlotImage, SlotError> {
        self.refuse_in_use(slot, "written")?;
        SlotImage::write_file(&self.path(slot), size)
    }

    fn empty_spare(&self, slot: Slot) -> Result<bool, SlotError> {
        self.refuse_in_use(slot, "emptied")?;
        if self.env()?.unbootable != Some(slot) {
            return Err(SlotError::InUse { slot, what: "emptied" });
        }
        let path = self.path(slot);
        let held = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if held > 0 {
            let file = OpenOptions::new().write(true).open(&path).map_err(SlotError::io("open", &path))?;
            file.set_len(0).and_then(|()| file.sync_all()).map_err(SlotError::io("empty", &path))?;
        }
        Ok(held > 0)
    }

    fn open(&self, slot: Slot) -> Result<SlotImage, SlotError> {
        SlotImage::read(&self.path(slot))
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.folder.join(format!("slot-{slot}.img"))
    }

    fn reboot(&mut self) -> Result<(), SlotError> {
        // What a kernel does before it lets go of the disk.
        for slot in [Slot::A, Slot::B] {
            if let Ok(file) = File::open(self.path(slot)) {
                file.sync_all().map_err(SlotError::io("sync", &self.path(slot)))?;
            }
        }
        let boot_id = self.new_boot_id();
        self.change(|env| env.boot(boot_id))
    }
}

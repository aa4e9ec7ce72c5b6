//! `facts.idx`: what `verify` has read of ledger, topics and rows, sorted by table and key, so that
//! the next verdict needs neither to read nor to sort them again.
//!
//! It is derived: delete it, and the next `verify` writes it anew. It belongs to one seal, by its
//! checksum, and is believed only while the evidence is as it was sealed. It is a row of zstd frames
//! with checksums, as `consumed.jsonl.zst`: a head, [`Gathered`], frames of [`Item`]s that each hold whole keys,
//! numbered, and a frame without items at the end. One that is damaged or cut off is not used.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use artifacts::consumed::Frames;
use artifacts::run_dir::SUMS;
use artifacts::{RunDir, seal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::gather::Gathered;
use super::record::Item;

/// File name in the run directory.
pub const FILE: &str = "facts.idx";
/// Raise it whenever something else is read of the evidence, or written in another way.
const FORMAT: u32 = 6;
const LEVEL: i32 = 1;
/// A reader refuses longer frames.
const LONGEST: usize = 32 << 20;

/// What an index belongs to.
#[derive(PartialEq, Serialize, Deserialize)]
struct Head {
    format: u32,
    version: String,
    /// SHA-256 of `SHA256SUMS`.
    seal: String,
}

impl Head {
    fn of(run: &RunDir) -> Option<Self> {
        let seal = seal::sha256_file(&run.path(SUMS)).ok()?;
        Some(Self { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), seal })
    }
}

/// The index of the run's seal: what belongs to all keys, and the frames for [`items`]. None when
/// it is missing, stale or damaged at its beginning.
pub(crate) fn open(run: &RunDir) -> Option<(Gathered, Frames)> {
    let mut frames = Frames::open(&run.path(FILE)).ok()?;
    let head: Head = json(&mut frames)?;
    (head == Head::of(run)?).then_some(())?;
    Some((json(&mut frames)?, frames))
}

fn json<T: DeserializeOwned>(frames: &mut Frames) -> Option<T> {
    serde_json::from_slice(&bytes(&frames.next()?.ok()?)?).ok()
}

/// The items of a frame; empty for the last one, none when it is damaged or not the `no`th.
pub(super) fn items(no: usize, frame: std::io::Result<Vec<u8>>) -> Option<Vec<Item>> {
    let bytes = bytes(&frame.ok()?)?;
    let (mut input, mut items) = (bytes.strip_prefix(&(no as u64).to_le_bytes())?, Vec::new());
    while !input.is_empty() {
        items.push(Item::decode(&mut input)?);
    }
    Some(items)
}

/// The `no`th frame with items; none when they are too many for one.
pub(super) fn frame(no: usize, items: &[Item]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(items.len() * 128);
    bytes.extend((no as u64).to_le_bytes());
    items.iter().for_each(|item| item.encode(&mut bytes));
    compressed(&bytes).filter(|_| bytes.len() <= LONGEST)
}

/// A frame that tells its length, so that it is unpacked at once and in place.
fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).ok()?;
    compressor.include_checksum(true).ok()?;
    compressor.compress(bytes).ok()
}

fn bytes(frame: &[u8]) -> Option<Vec<u8>> {
    zstd::bulk::decompress(frame, LONGEST).ok()
}

/// An index to write. What cannot be written is given up: a verdict does not need it.
pub(super) struct Writer {
    path: PathBuf,
    tmp: PathBuf,
    out: Option<BufWriter<File>>,
    /// Frames with items.
    frames: usize,
}

impl Writer {
    /// Begins the index of a sealed run whose evidence is not damaged.
    pub(super) fn create(run: &RunDir, gathered: &Gathered) -> Option<Self> {
        let path = run.path(FILE);
        let tmp = path.with_added_extension("tmp");
        let head = serde_json::to_vec(&Head::of(run)?).ok()?;
        let gathered = serde_json::to_vec(gathered).ok()?;
        let out = Some(BufWriter::new(File::create(&tmp).ok()?));
        let mut writer = Self { path, tmp, out, frames: 0 };
        [head, gathered].iter().for_each(|json| writer.frame(compressed(json).as_deref()));
        writer.frames = 0;
        Some(writer)
    }

    /// Appends a frame; without one, gives up.
    pub(super) fn frame(&mut self, frame: Option<&[u8]>) {
        let written = self.out.as_mut().zip(frame).is_some_and(|(out, frame)| out.write_all(frame).is_ok());
        self.frames += 1;
        if !written {
            self.out = None;
        }
    }

    /// The file appears when it is whole.
    pub(super) fn finish(mut self) {
        let end = frame(self.frames, &[]);
        self.frame(end.as_deref());
        let whole = self.out.take().is_some_and(|mut out| out.flush().is_ok());
        if whole {
            let _ = std::fs::rename(&self.tmp, &self.path);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.tmp);
    }
}

//! `consumed.jsonl.zst`: every event as read from Kafka, one JSON line each.
//!
//! Lines are compressed in zstd frames of at most 16 MiB of text, so that the file can be read in
//! parts and a damaged frame damages nothing else.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Text per zstd frame.
pub const FRAME_BYTES: usize = 16 << 20;
const LEVEL: i32 = 1;
/// No frame of ours is longer: it ends before [`FRAME_BYTES`], unless it is a single record.
const LONGEST_FRAME: u64 = 64 << 20;

/// One record of a topic. Keys and values are kept as the bytes that were read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's timestamp: milliseconds since 1970; null without one.
    pub timestamp_ms: Option<i64>,
    /// JSON, or `{"$base64":".."}` for bytes that are not JSON.
    pub key: Option<Box<RawValue>>,
    /// As the key; null is a tombstone.
    pub value: Option<Box<RawValue>>,
}

/// Writes records; [`Writer::finish`] makes the file whole.
pub struct Writer {
    path: PathBuf,
    encoder: Option<zstd::Encoder<'static, File>>,
    frame: usize,
    line: Vec<u8>,
}

impl Writer {
    /// Makes the file, replacing what is there.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("create", path))?;
        let encoder = framed(file).map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_owned(), encoder: Some(encoder), frame: 0, line: Vec::new() })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// The file cannot be written (a full disk).
    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record).map_err(|e| Error::corrupt(&self.path, "record", e))?;
        self.line.push(b'\n');
        let io = |e| Error::io("write", &self.path)(e);
        if self.frame > 0 && self.frame + self.line.len() > FRAME_BYTES {
            if let Some(encoder) = self.encoder.take() {
                let file = encoder.finish().map_err(io)?;
                self.encoder = Some(framed(file).map_err(io)?);
            }
            self.frame = 0;
        }
        self.frame += self.line.len();
        match &mut self.encoder {
            Some(encoder) => encoder.write_all(&self.line).map_err(io),
            None => Ok(()),
        }
    }

    /// Ends the last frame and forces the file to disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        let io = |e| Error::io("write", &self.path)(e);
        match self.encoder.take() {
            Some(encoder) => encoder.finish().and_then(|file| file.sync_all()).map_err(io),
            None => Ok(()),
        }
    }
}

/// With a checksum in every frame: a flipped bit must not pass for another value.
fn framed(file: File) -> std::io::Result<zstd::Encoder<'static, File>> {
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

/// Reads records one by one, frame by frame: a frame is believed only when it is whole and its checksum
/// is right, so that nothing is read from a damaged one.
pub struct Reader {
    path: PathBuf,
    /// None at the end, and after damage.
    input: Option<BufReader<File>>,
    line: u64,
    frame: Vec<u8>,
    /// What of the frame has been read.
    done: usize,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// No such file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let input = Some(BufReader::with_capacity(1 << 18, file));
        let frame = Vec::with_capacity(FRAME_BYTES + 1);
        Ok(Self { path: path.to_owned(), input, line: 0, frame, done: 0 })
    }

    fn read(&mut self) -> Result<Option<Record>> {
        let place = format!("line {}", self.line + 1);
        let corrupt = |path: &Path, cause: String| Error::corrupt(path, place.clone(), cause);
        while self.done == self.frame.len() {
            let Some(input) = self.input.take() else { return Ok(None) };
            self.frame.clear();
            self.done = 0;
            match next_frame(input, &mut self.frame) {
                Ok(rest) => self.input = rest,
                Err(e) => {
                    self.frame.clear();
                    return Err(corrupt(&self.path, format!("the frame that begins there: {e}")));
                }
            }
        }
        let rest = &self.frame[self.done..];
        let n = (&*rest).skip_until(b'\n').map_err(|e| corrupt(&self.path, e.to_string()))?;
        self.done += n;
        self.line += 1;
        serde_json::from_slice(&rest[..n]).map(Some).map_err(|e| corrupt(&self.path, e.to_string()))
    }
}

/// Reads a whole frame; gives what is behind it, none at the end of the file.
fn next_frame(mut input: BufReader<File>, frame: &mut Vec<u8>) -> std::io::Result<Option<BufReader<File>>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut decoder = zstd::Decoder::with_buffer(input)?.single_frame();
    decoder.by_ref().take(LONGEST_FRAME + 1).read_to_end(frame)?;
    if frame.len() as u64 > LONGEST_FRAME {
        return Err(std::io::Error::other(format!("it holds more than {LONGEST_FRAME} bytes")));
    }
    Ok(Some(decoder.finish()))
}

impl Iterator for Reader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, filler: usize) -> Record {
        let value = serde_json::value::to_raw_value(&"x".repeat(filler)).unwrap();
        Record {
            topic: "cdc.public.orders".into(),
            partition: 0,
            offset,
            timestamp_ms: Some(1),
            key: None,
            value: Some(value),
        }
    }

    #[test]
    fn records_survive_frames() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("consumed.jsonl.zst");
        let mut writer = Writer::create(&path).unwrap();
        (0..5).for_each(|i| writer.write(&record(i, FRAME_BYTES / 3)).unwrap());
        writer.finish().unwrap();
        let offsets: Vec<i64> = Reader::open(&path).unwrap().map(|r| r.unwrap().offset).collect();
        assert_eq!(offsets, [0, 1, 2, 3, 4]);
    }

    /// Whatever byte is flipped: what is read is what was written, up to a whole frame's end.
    #[test]
    fn nothing_is_read_from_a_frame_that_is_not_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("consumed.jsonl.zst");
        let mut writer = Writer::create(&path).unwrap();
        (0..3).for_each(|i| writer.write(&record(i, 300)).unwrap());
        writer.finish().unwrap();
        let first = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| -> (Vec<String>, bool) {
            std::fs::write(&path, bytes).unwrap();
            let lines: Vec<_> = Reader::open(&path).unwrap().collect();
            let good = lines.iter().flatten().map(|r| serde_json::to_string(r).unwrap()).collect();
            (good, lines.iter().any(Result::is_err))
        };
        let both = [first.clone(), first.clone()].concat();
        let (whole, damaged) = read(&both);
        assert!(whole.len() == 6 && !damaged);
        for place in 0..both.len() {
            let mut bytes = both.clone();
            bytes[place] ^= 0x10;
            let (good, damaged) = read(&bytes);
            assert_eq!(good, whole[..good.len()], "byte {place}");
            // One bit of a frame's header has no meaning.
            let kept = if place < first.len() { 0 } else { 3 };
            assert!(good.len() == 6 || damaged && good.len() == kept, "byte {place}");
        }
    }

    #[test]
    fn a_truncated_file_is_an_error_not_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("consumed.jsonl.zst");
        let mut writer = Writer::create(&path).unwrap();
        (0..100).for_each(|i| writer.write(&record(i, 100)).unwrap());
        writer.finish().unwrap();
        let len = std::fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(len - 3).unwrap();
        assert!(Reader::open(&path).unwrap().any(|r| r.is_err()));
    }
}

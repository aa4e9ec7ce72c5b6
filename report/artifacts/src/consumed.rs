//! `consumed.jsonl.zst`: every event as read from Kafka, one JSON line each.
//!
//! Lines are compressed in zstd frames of at most 16 MiB of text, so that the file can be read in
//! parts and a damaged frame damages nothing else.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Text per zstd frame.
pub const FRAME_BYTES: usize = 16 << 20;
const LEVEL: i32 = 1;

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
        let encoder = zstd::Encoder::new(file, LEVEL).map_err(Error::io("write", path))?;
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
                self.encoder = Some(zstd::Encoder::new(file, LEVEL).map_err(io)?);
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

/// Reads records one by one.
pub struct Reader {
    path: PathBuf,
    input: Box<dyn BufRead>,
    line: u64,
    text: Vec<u8>,
}

impl Reader {
    /// Opens the file.
    ///
    /// # Errors
    /// No such file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let decoder = zstd::Decoder::new(file).map_err(Error::io("read", path))?;
        let input = Box::new(BufReader::with_capacity(1 << 18, decoder));
        Ok(Self { path: path.to_owned(), input, line: 0, text: Vec::new() })
    }

    fn read(&mut self) -> Result<Option<Record>> {
        self.text.clear();
        let place = format_args!("line {}", self.line + 1).to_string();
        let n = self
            .input
            .read_until(b'\n', &mut self.text)
            .map_err(|e| Error::corrupt(&self.path, place.clone(), e))?;
        if n == 0 {
            return Ok(None);
        }
        self.line += 1;
        serde_json::from_slice(&self.text).map(Some).map_err(|e| Error::corrupt(&self.path, place, e))
    }
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

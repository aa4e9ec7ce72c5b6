//! `consumed.jsonl.zst`: every event as read from Kafka, one JSON line each.
//!
//! Lines are compressed in zstd frames of at most 16 MiB of text, so that the file can be read in
//! parts and a damaged frame damages nothing else.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Text per zstd frame.
pub const FRAME_BYTES: usize = 16 << 20;
const LEVEL: i32 = 1;
/// No frame of ours is longer: it ends before [`FRAME_BYTES`], unless it is a single record.
const LONGEST_FRAME: u64 = 64 << 20;
const READ_BYTES: u64 = 1 << 20;

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

/// The frames of the file, one by one, as they are on disk.
pub struct Frames {
    input: File,
    /// What was read and not yet given.
    held: Vec<u8>,
    ended: bool,
}

impl Frames {
    /// Opens the file.
    ///
    /// # Errors
    /// No such file.
    pub fn open(path: &Path) -> Result<Self> {
        let input = File::open(path).map_err(Error::io("open", path))?;
        Ok(Self { input, held: Vec::new(), ended: false })
    }

    /// Reads on until a frame is there as a whole. What is damaged beyond recognition, or cut off,
    /// is given as it is: [`text`] refuses it.
    fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        while !self.ended {
            let whole = zstd::zstd_safe::find_frame_compressed_size(&self.held);
            if let Ok(n) = whole
                && n <= self.held.len()
            {
                let rest = self.held.split_off(n);
                return Ok(Some(std::mem::replace(&mut self.held, rest)));
            }
            let more = (&self.input).take(READ_BYTES).read_to_end(&mut self.held)?;
            self.ended = more == 0 || self.held.len() as u64 > LONGEST_FRAME + READ_BYTES;
        }
        Ok(Some(std::mem::take(&mut self.held)).filter(|rest| !rest.is_empty()))
    }
}

impl Iterator for Frames {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        self.ended |= matches!(next, Some(Err(_)));
        next
    }
}

/// The text of a frame, appended to `text`: only when the frame is whole and its checksum is right.
///
/// # Errors
/// It is damaged, or longer than any of ours.
pub fn text(frame: &[u8], text: &mut Vec<u8>) -> std::io::Result<()> {
    let mut decoder = zstd::Decoder::with_buffer(frame)?.single_frame();
    let begin = text.len();
    let read = decoder.by_ref().take(LONGEST_FRAME + 1).read_to_end(text);
    let whole = read.and_then(|n| match n as u64 > LONGEST_FRAME {
        true => Err(std::io::Error::other(format!("it holds more than {LONGEST_FRAME} bytes"))),
        false if !decoder.finish().is_empty() => Err(std::io::Error::other("it ends early")),
        false => Ok(()),
    });
    if whole.is_err() {
        text.truncate(begin);
    }
    whole
}

/// A record in the text of its line: nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// As in [`Record`].
    pub topic: &'a str,
    /// As in [`Record`].
    pub partition: i32,
    /// As in [`Record`].
    pub offset: i64,
    /// As in [`Record`].
    pub timestamp_ms: Option<i64>,
    /// As in [`Record`].
    pub key: Option<&'a str>,
    /// As in [`Record`].
    pub value: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// Splits a line of the form that [`Writer`] writes; none for any other. Key and value are not
    /// looked into: the line is one record only if each of them is JSON.
    pub fn split(line: &'a str) -> Option<Self> {
        let (topic, rest) = line.strip_prefix("{\"topic\":\"")?.split_once('"')?;
        let (partition, rest) = rest.strip_prefix(",\"partition\":")?.split_once(',')?;
        let (offset, rest) = rest.strip_prefix("\"offset\":")?.split_once(',')?;
        let (timestamp, rest) = rest.strip_prefix("\"timestamp_ms\":")?.split_once(',')?;
        let (key, rest) = rest.strip_prefix("\"key\":")?.split_once(",\"value\":")?;
        let value = rest.strip_suffix("}\n")?;
        let there = |json: &'a str| (json.trim() != "null").then_some(json);
        let plain = !topic.contains('\\') && !timestamp.starts_with('+');
        plain.then_some(())?;
        Some(Self {
            topic,
            partition: number(partition)?,
            offset: number(offset)?,
            timestamp_ms: there(timestamp).map_or(Some(None), |digits| number(digits).map(Some))?,
            key: there(key),
            value: there(value),
        })
    }
}

/// A number as JSON has it: no plus, no zero before it. `-0` is none: serde takes it for a fraction.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit()) && (text == "0" || !digits.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

impl<'a> From<&'a Record> for Line<'a> {
    fn from(record: &'a Record) -> Self {
        let Record { topic, partition, offset, timestamp_ms, key, value } = record;
        let text = |raw: &'a Option<Box<RawValue>>| raw.as_deref().map(RawValue::get);
        let (key, value) = (text(key), text(value));
        Self { topic, partition: *partition, offset: *offset, timestamp_ms: *timestamp_ms, key, value }
    }
}

/// Reads records one by one, frame by frame: a frame is believed only when it is whole and its checksum
/// is right, so that nothing is read from a damaged one.
pub struct Reader {
    path: PathBuf,
    frames: Frames,
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
        let frame = Vec::with_capacity(FRAME_BYTES + 1);
        Ok(Self { path: path.to_owned(), frames: Frames::open(path)?, line: 0, frame, done: 0 })
    }

    fn read(&mut self) -> Result<Option<Record>> {
        let place = format!("line {}", self.line + 1);
        let corrupt = |path: &Path, cause: String| Error::corrupt(path, place.clone(), cause);
        while self.done == self.frame.len() {
            let Some(frame) = self.frames.next() else { return Ok(None) };
            self.frame.clear();
            self.done = 0;
            if let Err(e) = frame.and_then(|frame| text(&frame, &mut self.frame)) {
                self.frames.ended = true;
                self.frames.held.clear();
                return Err(corrupt(&self.path, format!("the frame that begins there: {e}")));
            }
        }
        let rest = &self.frame[self.done..];
        let n = (&*rest).skip_until(b'\n').map_err(|e| corrupt(&self.path, e.to_string()))?;
        self.done += n;
        self.line += 1;
        serde_json::from_slice(&rest[..n]).map(Some).map_err(|e| corrupt(&self.path, e.to_string()))
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
    use proptest::prelude::*;

    /// Lines as the writer writes them and with a byte changed, and keys and values that are none.
    fn lines() -> impl Strategy<Value = String> {
        let json = prop_oneof![
            Just("null".to_owned()),
            Just(r#"{"id":1}"#.to_owned()),
            Just(r#"{"id":1,"value":2}"#.to_owned()),
            Just(r#""\",\"value\":""#.to_owned()),
            Just(r#"{"op":"c"}},"value":{"#.to_owned()),
            "[\\[\\]{}\",:a1 -]{0,8}",
        ];
        let number = || prop_oneof![any::<i64>().prop_map(|n| n.to_string()), "[-+0]{0,2}[0-9]{1,2}(\\.0)?"];
        let spoil = proptest::option::of((any::<prop::sample::Index>(), 32..127_u8));
        ("[a-z.\\\\\"]{0,3}", number(), number(), number(), json.clone(), json, spoil).prop_map(
            |(topic, partition, offset, timestamp, key, value, spoil)| {
                let mut line = format!(
                    "{{\"topic\":\"cdc{topic}\",\"partition\":{partition},\"offset\":{offset},\
                     \"timestamp_ms\":{timestamp},\"key\":{key},\"value\":{value}}}\n"
                )
                .into_bytes();
                if let Some((at, byte)) = spoil {
                    let at = at.index(line.len());
                    line[at] = byte;
                }
                String::from_utf8(line).unwrap()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_line_that_is_split_is_the_record_that_it_holds(line in lines()) {
            let json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            let split = Line::split(&line);
            if let Some(split) = split.filter(|s| s.key.is_none_or(json) && s.value.is_none_or(json)) {
                let record: Record = serde_json::from_str(&line).unwrap();
                let expected = Line::from(&record);
                let trimmed = |text: Option<&str>| text.map(|text| text.trim().to_owned());
                prop_assert_eq!((split.topic, split.partition), (expected.topic, expected.partition));
                prop_assert_eq!((split.offset, split.timestamp_ms), (expected.offset, expected.timestamp_ms));
                prop_assert_eq!(trimmed(split.key), trimmed(expected.key));
                prop_assert_eq!(trimmed(split.value), trimmed(expected.value));
            }
        }
    }

    #[test]
    fn what_the_writer_writes_is_split() {
        let mut line = serde_json::to_string(&record(7, 3)).unwrap();
        line.push('\n');
        let split = Line::split(&line).unwrap();
        assert_eq!((split.offset, split.key, split.value), (7, None, Some("\"xxx\"")));
        assert_eq!(["0", "-10", "-0", "+1", "01"].map(number), [Some(0), Some(-10), None, None, None]);
    }

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

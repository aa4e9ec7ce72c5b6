//! Events in Avro become the JSON that Kafka Connect's JSON converter would have written without schemas, so that
//! nothing behind this knows of Avro.
//!
//! Every id is decoded with the schema that wrote it, as `schemas.json` has it: events from before and after a
//! change of a table lie side by side. Bytes that end early, or go on behind the value, are no value.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{Name, Schema};
use apache_avro::types::Value;
use artifacts::consumed::Record;
use artifacts::{RunDir, base64, schemas};
use serde_json::value::RawValue;

/// What a single value may make the decoder allocate at a time; Kafka's records are smaller by far.
const MAX_ALLOCATION: usize = 64 << 20;
const LONGEST_FAULT: usize = 200;

/// The schemas of a run, or why one cannot be used.
#[derive(Debug, Default)]
pub struct Schemas {
    by_id: BTreeMap<u32, Result<Schema, String>>,
    /// Why there are none.
    fault: Option<String>,
}

impl Schemas {
    /// Those of `schemas.json`. What is wrong with it is told when a value needs it.
    pub fn read(run: &RunDir) -> Self {
        match run.read_if_there::<schemas::Schemas>(schemas::FILE) {
            Ok(Some(file)) => Self::of(&file),
            Ok(None) => Self { fault: Some(format!("there is no {}", schemas::FILE)), ..Self::default() },
            Err(e) => Self { fault: Some(e.to_string()), ..Self::default() },
        }
    }

    /// Those of a file, or of a registry.
    pub fn of(file: &schemas::Schemas) -> Self {
        let known = file.ids.iter().map(|(id, text)| (*id, parse(text)));
        let unknown = file.unknown.iter().map(|(id, why)| (*id, Err(why.clone())));
        Self { by_id: unknown.chain(known).collect(), fault: None }
    }
}

/// A recursive schema is refused: few bytes of it can mean any depth. Debezium writes none.
fn parse(text: &str) -> Result<Schema, String> {
    let schema = Schema::parse_str(text).map_err(|e| clipped(&e.to_string()))?;
    match recursion(&schema, &mut Vec::new()) {
        Some(name) => Err(format!("{name} contains itself")),
        None => Ok(schema),
    }
}

/// The first record that contains itself.
fn recursion<'s>(schema: &'s Schema, open: &mut Vec<&'s Name>) -> Option<&'s Name> {
    match schema {
        Schema::Ref { name } => open.contains(&name).then_some(name),
        Schema::Array(array) => recursion(&array.items, open),
        Schema::Map(map) => recursion(&map.types, open),
        Schema::Union(union) => union.variants().iter().find_map(|variant| recursion(variant, open)),
        Schema::Record(record) => {
            open.push(&record.name);
            let found = record.fields.iter().find_map(|field| recursion(&field.schema, open));
            open.pop();
            found
        }
        _ => None,
    }
}

/// Key and value.
type Sides<'t> = (Option<Cow<'t, str>>, Option<Cow<'t, str>>);

/// Decodes values; may be shared between threads.
pub struct Decoder<'s> {
    readers: HashMap<u32, Result<GenericDatumReader<'s>, String>>,
    fault: Option<&'s str>,
}

impl<'s> Decoder<'s> {
    /// A decoder of these schemas.
    pub fn new(schemas: &'s Schemas) -> Self {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
        let reader = |schema: &'s Result<Schema, String>| {
            let schema = schema.as_ref().map_err(Clone::clone)?;
            GenericDatumReader::builder(schema).build().map_err(|e| clipped(&e.to_string()))
        };
        let readers = schemas.by_id.iter().map(|(id, schema)| (*id, reader(schema))).collect();
        Self { readers, fault: schemas.fault.as_deref() }
    }

    /// Key and value of a record in JSON, in place. JSON stays as it is.
    ///
    /// # Errors
    /// As [`Decoder::sides`].
    pub fn decode(&self, record: &mut Record) -> Result<(), String> {
        for (side, raw) in [("key", &mut record.key), ("value", &mut record.value)] {
            if let Cow::Owned(json) = self.side(side, raw.as_deref().map_or("", RawValue::get))? {
                *raw = Some(RawValue::from_string(json).map_err(|e| e.to_string())?);
            }
        }
        Ok(())
    }

    /// Key and value as JSON, from the text of a line. What is not bytes stays as it is.
    ///
    /// # Errors
    /// A sentence: bytes that are not in the wire format, a schema that is not known, bytes that do not fit it.
    pub(crate) fn sides<'t>(
        &self,
        key: Option<&'t str>,
        value: Option<&'t str>,
    ) -> Result<Sides<'t>, String> {
        let key = key.map(|text| self.side("key", text)).transpose()?;
        Ok((key, value.map(|text| self.side("value", text)).transpose()?))
    }

    fn side<'t>(&self, side: &str, text: &'t str) -> Result<Cow<'t, str>, String> {
        let Some(bytes) = base64::wrapped(text) else { return Ok(Cow::Borrowed(text)) };
        let json = self.json(bytes).map_err(|cause| format!("the {side} cannot be decoded: {cause}"))?;
        Ok(Cow::Owned(json))
    }

    fn json(&self, text: &str) -> Result<String, String> {
        let bytes = base64::decode(text).ok_or("it is not Base64")?;
        let (id, value) = schemas::split(&bytes).ok_or("it is neither JSON nor Avro of a schema registry")?;
        let reader = match (self.readers.get(&id), self.fault) {
            (Some(reader), _) => reader.as_ref().map_err(|why| format!("schema {id}: {why}"))?,
            (None, Some(fault)) => return Err(fault.to_owned()),
            (None, None) => return Err(format!("schema {id} is not in {}", schemas::FILE)),
        };
        let mut rest = Strict(value);
        let decoded = reader.read_value(&mut rest);
        let decoded = decoded.map_err(|e| format!("schema {id}: {}", clipped(&e.to_string())))?;
        if !rest.0.is_empty() {
            return Err(format!("schema {id}: {} bytes follow the value", rest.0.len()));
        }
        let mut json = String::with_capacity(value.len() * 3);
        write(&decoded, &mut json)?;
        Ok(json)
    }
}

/// Bytes that end early are an error: the library takes the end for a null.
struct Strict<'b>(&'b [u8]);

impl Read for Strict<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !out.is_empty() {
            return Err(io::Error::other("the bytes end early"));
        }
        self.0.read(out)
    }
}

/// As the JSON converter writes it: bytes in Base64, logical types as what they are made of.
fn write(value: &Value, out: &mut String) -> Result<(), String> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) | Value::Date(n) | Value::TimeMillis(n) => out.push_str(&n.to_string()),
        Value::Long(n)
        | Value::TimeMicros(n)
        | Value::TimestampMillis(n)
        | Value::TimestampMicros(n)
        | Value::TimestampNanos(n)
        | Value::LocalTimestampMillis(n)
        | Value::LocalTimestampMicros(n)
        | Value::LocalTimestampNanos(n) => out.push_str(&n.to_string()),
        Value::Float(x) => number(f64::from(*x), serde_json::to_string(x), out),
        Value::Double(x) => number(*x, serde_json::to_string(x), out),
        Value::String(text) | Value::Enum(_, text) => string(text, out),
        Value::Uuid(id) => string(&id.to_string(), out),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => string(&base64::encode(bytes), out),
        Value::Decimal(decimal) => {
            let bytes = Vec::<u8>::try_from(decimal).map_err(|e| clipped(&e.to_string()))?;
            string(&base64::encode(&bytes), out);
        }
        Value::Union(_, inner) => return write(inner, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Record(fields) => object(fields.iter().map(|(name, value)| (name, value)), out)?,
        Value::Map(entries) => object(entries.iter().collect::<BTreeMap<_, _>>().into_iter(), out)?,
        Value::BigDecimal(_) | Value::Duration(_) => return Err("a type that Kafka Connect has not".into()),
    }
    Ok(())
}

fn object<'v>(
    entries: impl Iterator<Item = (&'v String, &'v Value)>,
    out: &mut String,
) -> Result<(), String> {
    out.push('{');
    for (i, (name, value)) in entries.enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        string(name, out);
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

/// JSON has no number for what is not finite: the converter writes it as a string.
fn number(x: f64, text: serde_json::Result<String>, out: &mut String) {
    match x {
        x if x.is_finite() => out.push_str(&text.unwrap_or_default()),
        x if x.is_nan() => out.push_str("\"NaN\""),
        x => out.push_str(if x > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
    }
}

fn string(text: &str, out: &mut String) {
    // Writing into memory cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// The library quotes what it found, which can be as long as a row.
fn clipped(fault: &str) -> String {
    fault.chars().take(LONGEST_FAULT).collect()
}

#[cfg(test)]
mod tests;

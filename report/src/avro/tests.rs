use std::collections::BTreeMap;

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// As Debezium's: a row that is defined once and named after that, nullable fields, a default, a list, a map.
const ENVELOPE: &str = r#"{"type": "record", "name": "Envelope", "namespace": "cdc.public.t", "fields": [
    {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": {"type": "int", "connect.default": 0}, "default": 0},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "change_id", "type": "long"},
        {"name": "photo", "type": ["null", "bytes"], "default": null},
        {"name": "at", "type": {"type": "string", "connect.name": "io.debezium.time.ZonedTimestamp"}}
    ], "connect.name": "cdc.public.t.Value"}], "default": null},
    {"name": "after", "type": ["null", "Value"], "default": null},
    {"name": "op", "type": "string"},
    {"name": "x", "type": "double"},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "counts", "type": {"type": "map", "values": "long"}},
    {"name": "sure", "type": "boolean"}
], "connect.name": "cdc.public.t.Envelope"}"#;

fn file(ids: &[(u32, &str)]) -> schemas::Schemas {
    let ids = ids.iter().map(|(id, text)| (*id, (*text).to_owned())).collect();
    schemas::Schemas { ids, ..Default::default() }
}

fn wire(id: u32, value: &[u8]) -> Vec<u8> {
    [&[0], id.to_be_bytes().as_slice(), value].concat()
}

/// What a value becomes, or why not.
fn decode(file: &schemas::Schemas, bytes: &[u8]) -> Result<Value, String> {
    let schemas = Schemas::of(file);
    let raw = RawValue::from_string(base64::wrap(bytes));
    let mut record = Record {
        topic: "t".into(),
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: None,
        value: Some(raw.unwrap()),
    };
    Decoder::new(&schemas).decode(&mut record)?;
    Ok(serde_json::from_str(record.value.unwrap().get()).expect("JSON"))
}

fn encode(schema: &str, value: Avro) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn nullable(value: Option<Avro>) -> Avro {
    match value {
        None => Avro::Union(0, Box::new(Avro::Null)),
        Some(value) => Avro::Union(1, Box::new(value)),
    }
}

fn record(fields: Vec<(&str, Avro)>) -> Avro {
    Avro::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

type Row = (i32, Option<String>, i64, Option<Vec<u8>>, String);

fn row((id, note, change_id, photo, at): &Row) -> (Avro, Value) {
    let avro = record(vec![
        ("id", Avro::Int(*id)),
        ("note", nullable(note.clone().map(Avro::String))),
        ("change_id", Avro::Long(*change_id)),
        ("photo", nullable(photo.clone().map(Avro::Bytes))),
        ("at", Avro::String(at.clone())),
    ]);
    let photo = photo.as_deref().map(base64::encode);
    (avro, json!({"id": id, "note": note, "change_id": change_id, "photo": photo, "at": at}))
}

/// An event as bytes, and as the JSON converter writes it.
fn events() -> impl Strategy<Value = (Vec<u8>, Value)> {
    let rows = || proptest::option::of(any::<Row>());
    let counts = proptest::collection::btree_map(".{0,4}", any::<i64>(), 0..3);
    let numbers = proptest::num::f64::NORMAL | proptest::num::f64::ZERO;
    (rows(), rows(), ".{0,3}", numbers, any::<Vec<String>>(), counts, any::<bool>()).prop_map(
        |(before, after, op, x, tags, counts, sure): (_, _, _, _, _, BTreeMap<String, i64>, _)| {
            let [before, after] = [before, after].map(|image| image.as_ref().map(row).unzip());
            let value = record(vec![
                ("before", nullable(before.0)),
                ("after", nullable(after.0)),
                ("op", Avro::String(op.clone())),
                ("x", Avro::Double(x)),
                ("tags", Avro::Array(tags.iter().cloned().map(Avro::String).collect())),
                ("counts", Avro::Map(counts.iter().map(|(k, n)| (k.clone(), Avro::Long(*n))).collect())),
                ("sure", Avro::Boolean(sure)),
            ]);
            let bytes = encode(ENVELOPE, value);
            let json = json!({"before": before.1, "after": after.1, "op": op, "x": x, "tags": tags,
                "counts": counts, "sure": sure});
            (bytes, json)
        },
    )
}

proptest! {
    #[test]
    fn an_event_is_what_the_json_converter_writes((bytes, json) in events()) {
        // Both from their texts: reading a number may round it.
        let json: Value = serde_json::from_str(&json.to_string()).unwrap();
        prop_assert_eq!(decode(&file(&[(300, ENVELOPE)]), &wire(300, &bytes)).unwrap(), json);
    }

    #[test]
    fn bytes_that_end_early_or_go_on_are_no_value((bytes, _) in events(), at: prop::sample::Index) {
        let file = file(&[(1, ENVELOPE)]);
        prop_assert!(decode(&file, &wire(1, &bytes[..at.index(bytes.len())])).is_err());
        let longer = [bytes.as_slice(), &[0]].concat();
        prop_assert!(decode(&file, &wire(1, &longer)).unwrap_err().contains("1 bytes follow"));
    }

    #[test]
    fn mutated_bytes_are_a_value_or_a_sentence((mut bytes, _) in events(), at: prop::sample::Index, with: u8) {
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Err(told) = decode(&file(&[(1, ENVELOPE)]), &wire(1, &bytes)) {
            prop_assert!(told.len() < 4 * LONGEST_FAULT, "{}", told);
        }
    }

    #[test]
    fn arbitrary_bytes_are_a_value_or_a_sentence(bytes: Vec<u8>) {
        let file = file(&[(1, ENVELOPE)]);
        let _ = decode(&file, &wire(1, &bytes));
        let _ = decode(&file, &bytes);
    }

    #[test]
    fn an_arbitrary_schema_is_used_or_refused(text: String, bytes: Vec<u8>) {
        let _ = decode(&file(&[(1, &text)]), &wire(1, &bytes));
    }
}

#[test]
fn what_cannot_be_decoded_says_why() {
    let mut file = file(&[(1, ENVELOPE), (2, "{\"type\": \"recor"), (3, "\"string\"")]);
    file.unknown.insert(4, "GET /schemas/ids/4: status 404: gone".into());
    let told = |bytes: &[u8]| decode(&file, bytes).unwrap_err();
    assert!(told(&wire(9, b"x")).ends_with("schema 9 is not in schemas.json"), "{}", told(&wire(9, b"x")));
    assert!(told(&wire(2, b"x")).contains("schema 2: "));
    assert!(told(&wire(4, b"x")).ends_with("schema 4: GET /schemas/ids/4: status 404: gone"));
    assert!(told(&wire(3, b"\x02")).contains("the bytes end early"));
    // Half a terabyte is announced.
    assert!(told(&wire(3, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0x1f])).contains("schema 3: "));
    for bytes in [b"\x01\0\0\0\x01".as_slice(), b"\0\0\0", b""] {
        assert!(told(bytes).contains("neither JSON nor Avro"));
    }
    assert!(decode(&file, &wire(3, b"\x04\xc3\xa4")).unwrap() == "\u{e4}");
}

#[test]
fn a_schema_that_contains_itself_is_refused() {
    let list =
        r#"{"type": "record", "name": "a.List", "fields": [{"name": "next", "type": ["null", "List"]}]}"#;
    let told = decode(&file(&[(1, list)]), &wire(1, &[2; 1_000_000])).unwrap_err();
    assert!(told.ends_with("schema 1: a.List contains itself"), "{told}");
}

#[test]
fn without_schemas_only_json_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.json"), include_str!("../../artifacts/tests/run.json")).unwrap();
    let schemas = Schemas::read(&RunDir::open(dir.path()).unwrap());
    let decoder = Decoder::new(&schemas);
    let told = decoder.json(&base64::encode(&wire(1, b"x"))).unwrap_err();
    assert_eq!(told, "there is no schemas.json");
    std::fs::write(dir.path().join(schemas::FILE), "{").unwrap();
    let schemas = Schemas::read(&RunDir::open(dir.path()).unwrap());
    let told = Decoder::new(&schemas).json(&base64::encode(&wire(1, b"x"))).unwrap_err();
    assert!(told.contains("schemas.json is corrupt at line 1"), "{told}");
}

#[test]
fn what_is_not_a_number_is_written_as_the_converter_does() {
    let schema = r#"{"type": "array", "items": ["float", "double"]}"#;
    let items = [Avro::Float(0.1), Avro::Double(f64::NAN), Avro::Double(f64::NEG_INFINITY)];
    let union = |value: Avro| Avro::Union(u32::from(matches!(value, Avro::Double(_))), Box::new(value));
    let value = Avro::Array(items.into_iter().map(union).collect());
    let bytes = encode(schema, value);
    assert_eq!(decode(&file(&[(1, schema)]), &wire(1, &bytes)).unwrap(), json!([0.1, "NaN", "-Infinity"]));
}

//! A snapshot as groups of named values, so that two of them can be laid side by side.

use std::collections::BTreeMap;

use artifacts::Lsn;
use artifacts::snapshot::Snapshot;
use serde_json::Value;

/// Values by name.
pub(crate) type Values = BTreeMap<String, String>;

/// The groups, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Server,
    Slot,
    Offset,
    Publication,
    ReplicaIdentity,
    Config,
    Status,
    Topics,
    Subjects,
    Settings,
    Tables,
    Sequences,
    Roles,
    Audit,
}

impl Group {
    /// All of them.
    pub(crate) const ALL: [Self; 14] = [
        Self::Server,
        Self::Slot,
        Self::Offset,
        Self::Publication,
        Self::ReplicaIdentity,
        Self::Config,
        Self::Status,
        Self::Topics,
        Self::Subjects,
        Self::Settings,
        Self::Tables,
        Self::Sequences,
        Self::Roles,
        Self::Audit,
    ];

    /// Heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Slot => "Replication slot",
            Self::Offset => "Stored offset",
            Self::Publication => "Publication",
            Self::ReplicaIdentity => "Replica identity",
            Self::Config => "Connector configuration",
            Self::Status => "Connector status",
            Self::Topics => "Topics, first and end offset",
            Self::Subjects => "Schema Registry subjects",
            Self::Settings => "Settings",
            Self::Tables => "Tables",
            Self::Sequences => "Sequences",
            Self::Roles => "Roles",
            Self::Audit => "Changes counted by triggers",
        }
    }

    /// Beginnings of the pointers that a snapshot uses for what it did not observe.
    pub(crate) fn pointers(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["/server"],
            Self::Slot => &["/slot"],
            Self::Offset => &["/offset"],
            Self::Publication => &["/publication"],
            Self::ReplicaIdentity => &["/replica_identity"],
            Self::Config => &["/connector/config", "/connector"],
            Self::Status => &["/connector/status", "/connector"],
            Self::Topics => &["/topics"],
            Self::Subjects => &["/subjects"],
            Self::Settings => &["/settings"],
            Self::Tables => &["/tables"],
            Self::Sequences => &["/sequences"],
            Self::Roles => &["/roles"],
            Self::Audit => &["/audit"],
        }
    }

    /// The values of a snapshot. Empty: there is none of it.
    pub(crate) fn values(self, s: &Snapshot) -> Values {
        let strings = |map: &BTreeMap<String, String>| map.clone();
        match self {
            Self::Server => server(s),
            Self::Slot => s.slot.as_ref().map(|row| flat(&Value::Object(row.clone()))).unwrap_or_default(),
            Self::Offset => offset(s),
            Self::Publication => s.publication.as_ref().map(flat).unwrap_or_default(),
            Self::ReplicaIdentity => {
                s.replica_identity.iter().map(|(t, i)| (t.clone(), identity(i).into())).collect()
            }
            Self::Config => s.connector.as_ref().map(|c| strings(&c.config)).unwrap_or_default(),
            Self::Status => s.connector.as_ref().map(|c| flat(&c.status)).unwrap_or_default(),
            Self::Topics => topics(s),
            Self::Subjects => subjects(s),
            Self::Settings => strings(&s.settings),
            Self::Tables => tables(s),
            Self::Sequences => s.sequences.iter().map(|(n, v)| (n.clone(), v.to_string())).collect(),
            Self::Roles => strings(&s.roles),
            Self::Audit => audit(s),
        }
    }
}

fn server(s: &Snapshot) -> Values {
    let p = &s.server.position;
    [
        ("role in the rehearsal", s.server.role.to_string()),
        ("version", s.server.version.clone()),
        ("system identifier", p.system_identifier.clone()),
        ("timeline", p.timeline.to_string()),
        ("WAL position", p.lsn.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The offset itself without the wrapping of Connect's answer, when it has the usual shape.
fn offset(s: &Snapshot) -> Values {
    let Some(offset) = &s.offset else { return Values::new() };
    let mut values = match offset.raw.pointer("/offsets/0/offset") {
        Some(inner) if !inner.is_null() => flat(inner),
        _ => flat(&offset.raw),
    };
    for (name, value) in &mut values {
        if name.starts_with("lsn")
            && let Ok(n) = value.parse::<u64>()
        {
            *value = format!("{n} = {}", Lsn(n));
        }
    }
    values.insert("attributed to system".into(), offset.position.system_identifier.clone());
    values
}

fn identity(letter: &str) -> &str {
    match letter {
        "d" => "default (primary key)",
        "f" => "full",
        "i" => "index",
        "n" => "nothing",
        other => other,
    }
}

fn topics(s: &Snapshot) -> Values {
    let of_topic = |(topic, partitions): (&String, &BTreeMap<i32, artifacts::snapshot::Bounds>)| {
        partitions
            .iter()
            .map(|(p, bounds)| (format!("{topic}/{p}"), format!("{} to {}", bounds.start, bounds.end)))
            .collect::<Vec<_>>()
    };
    s.topics.iter().flat_map(of_topic).collect()
}

fn tables(s: &Snapshot) -> Values {
    let of_table = |(table, state): (&String, &artifacts::snapshot::TableState)| {
        [
            (format!("{table} rows"), state.rows.to_string()),
            (format!("{table} fingerprint"), state.fingerprint.clone()),
        ]
    };
    s.tables.iter().flat_map(of_table).collect()
}

/// The newest version is the last one.
fn subjects(s: &Snapshot) -> Values {
    let mut values = Values::new();
    for (name, subject) in s.subjects.iter().flatten() {
        let versions = subject.versions.iter().map(|(version, id)| format!("{version} (id {id})"));
        values.insert(format!("{name} versions"), versions.collect::<Vec<_>>().join(", "));
        let level = subject.compatibility.as_deref().unwrap_or("unknown");
        values.insert(format!("{name} compatibility"), level.to_owned());
    }
    values
}

fn audit(s: &Snapshot) -> Values {
    let mut values = Values::new();
    for (table, ops) in s.audit.iter().flatten() {
        for (op, n) in ops {
            let name = match op.as_str() {
                "c" => "inserts",
                "u" => "updates",
                "d" => "deletes",
                other => other,
            };
            values.insert(format!("{table} {name}"), n.to_string());
        }
    }
    values
}

/// JSON as path and value; lists of plain values stay on one line.
pub(crate) fn flat(value: &Value) -> Values {
    let mut out = Values::new();
    walk(String::new(), value, 0, &mut out);
    out
}

fn walk(path: String, value: &Value, depth: usize, out: &mut Values) {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) if !map.is_empty() && depth < 16 => {
            map.iter().for_each(|(k, v)| walk(join(k), v, depth + 1, out));
        }
        Value::Array(items) if depth < 16 && items.iter().any(|v| v.is_object() || v.is_array()) => {
            items.iter().enumerate().for_each(|(i, v)| walk(join(&i.to_string()), v, depth + 1, out));
        }
        Value::Array(items) => {
            out.insert(path, items.iter().map(scalar).collect::<Vec<_>>().join(", "));
        }
        other => {
            out.insert(path, scalar(other));
        }
    }
}

/// A value without quotes.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Null => "null".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_becomes_paths() {
        let values = flat(&json!({"a": {"b": 1, "c": null}, "list": ["x", "y"], "deep": [{"k": true}]}));
        let pairs: Vec<_> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(pairs, ["a.b=1", "a.c=null", "deep.0.k=true", "list=x, y"]);
    }

    #[test]
    fn deep_json_does_not_overflow() {
        let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert_eq!(flat(&deep).len(), 1);
    }
}

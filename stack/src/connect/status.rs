//! The state of a connector and its tasks.

use serde_json::Value;

/// State of a connector or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// Paused: the task exists and keeps its connections.
    Paused,
    /// Stopped: there are no tasks.
    Stopped,
    /// It failed, see the trace.
    Failed,
    /// `UNASSIGNED`, `RESTARTING`, ...
    Other(String),
}

impl State {
    fn new(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "PAUSED" => Self::Paused,
            "STOPPED" => Self::Stopped,
            "FAILED" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
            Self::Other(text) => text,
        })
    }
}

/// The answer of `GET /connectors/X/status`.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Of the connector itself, which says nothing about its tasks.
    pub connector: State,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// The whole answer.
    pub raw: Value,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// From 0.
    pub id: u32,
    /// Its state.
    pub state: State,
    /// Java stack trace of a failed one.
    pub trace: Option<String>,
}

impl Status {
    pub(super) fn new(raw: Value) -> Self {
        let state = |value: &Value| State::new(value["state"].as_str().unwrap_or("UNKNOWN"));
        let task = |task: &Value| Task {
            id: task["id"].as_u64().unwrap_or_default() as u32,
            state: state(task),
            trace: task["trace"].as_str().map(str::to_owned),
        };
        let tasks = raw["tasks"].as_array().into_iter().flatten().map(task).collect();
        Self { connector: state(&raw["connector"]), tasks, raw }
    }

    /// Connector and at least one task run, and no task does anything else.
    pub fn running(&self) -> bool {
        let all = self.tasks.iter().all(|task| task.state == State::Running);
        self.connector == State::Running && all && !self.tasks.is_empty()
    }

    /// STOPPED without tasks.
    pub fn stopped(&self) -> bool {
        self.connector == State::Stopped && self.tasks.is_empty()
    }

    /// Connector and all tasks are PAUSED.
    pub fn paused(&self) -> bool {
        let all = self.tasks.iter().all(|task| task.state == State::Paused);
        self.connector == State::Paused && all
    }

    /// The failure of connector or task in a line: the causes of its stack trace.
    pub fn failure(&self) -> Option<String> {
        let of_task = self.tasks.iter().find(|task| task.state == State::Failed);
        let trace = match (of_task, &self.connector) {
            (Some(task), _) => task.trace.as_deref(),
            (None, State::Failed) => self.raw["connector"]["trace"].as_str(),
            _ => return None,
        };
        Some(causes(trace.unwrap_or("no trace")))
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connector {}", self.connector)?;
        match self.tasks.as_slice() {
            [] => f.write_str(", no tasks"),
            tasks => tasks.iter().try_for_each(|task| write!(f, ", task {} {}", task.id, task.state)),
        }
    }
}

/// The first line of a Java stack trace and its last `Caused by`.
fn causes(trace: &str) -> String {
    let first = trace.lines().next().unwrap_or_default().trim();
    match trace.lines().rev().find_map(|line| line.trim().strip_prefix("Caused by: ")) {
        Some(last) => format!("{first}; caused by {last}"),
        None => first.to_owned(),
    }
}

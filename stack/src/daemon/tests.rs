use super::*;

const SOON: Duration = Duration::from_secs(5);

fn spec(service: &str, dir: &Path, script: &str) -> Spec {
    Spec {
        service: service.into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("X".into(), "1".into())],
        cwd: dir.into(),
        user: None,
        port: Some(1),
    }
}

/// Waits until a service has written to its log: its traps are set then.
async fn wrote(daemons: &Daemons, service: &str) {
    let ask =
        || async { if daemons.log_tail(service).contains("ready") { Ok(()) } else { Err("silent".into()) } };
    daemons.ready(service, "log", SOON, &Silent, ask).await.unwrap();
}

#[tokio::test]
async fn a_service_is_found_without_a_pid_file_and_ended_twice() {
    let dir = tempfile::tempdir().unwrap();
    let daemons = Daemons::new(dir.path());
    assert!(daemons.status("a").is_none() && daemons.services().is_empty());
    daemons.spawn(&spec("a", dir.path(), "echo ready; exec sleep 60")).unwrap();
    let status = daemons.status("a").unwrap();
    assert!(status.alive && status.port == Some(1) && status.rss_bytes.unwrap() > 0, "{status:?}");
    assert!(daemons.spawn(&spec("a", dir.path(), "")).unwrap_err().to_string().contains("already runs"));
    wrote(&daemons, "a").await;
    fs::remove_dir_all(dir.path().join("run")).unwrap();
    // As another command would see it.
    let other = Daemons::new(dir.path());
    assert_eq!(other.services(), ["a"]);
    assert_eq!(other.find("a").map(|p| p.pid), status.pid);
    let end = other.stop("a", Signal::TERM, SOON).await.unwrap();
    assert!(end.was_running && !end.killed);
    let again = other.stop("a", Signal::TERM, SOON).await.unwrap();
    assert!(!again.was_running && other.status("a").is_none());
}

#[tokio::test]
async fn an_exit_code_is_known_to_the_one_who_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let daemons = Daemons::new(dir.path());
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    daemons.spawn(&spec("a", dir.path(), script)).unwrap();
    wrote(&daemons, "a").await;
    let end = daemons.stop("a", Signal::TERM, SOON).await.unwrap();
    assert_eq!(end, ExitInfo { code: Some(7), killed: false, was_running: true });
}

#[tokio::test]
async fn one_that_does_not_listen_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let daemons = Daemons::new(dir.path());
    daemons.spawn(&spec("a", dir.path(), "trap '' TERM; echo ready; sleep 60; sleep 60")).unwrap();
    wrote(&daemons, "a").await;
    let end = daemons.stop("a", Signal::TERM, Duration::from_millis(300)).await.unwrap();
    assert!(end.killed && daemons.find("a").is_none());
    daemons.sweep(None).await.unwrap();
}

#[tokio::test]
async fn children_of_a_killed_parent_are_swept_up() {
    let dir = tempfile::tempdir().unwrap();
    let daemons = Daemons::new(dir.path());
    daemons.spawn(&spec("a", dir.path(), "sleep 60 & setsid sleep 60 & echo ready; wait")).unwrap();
    wrote(&daemons, "a").await;
    send(daemons.find("a").unwrap(), Signal::KILL);
    let swept = daemons.sweep(Some("a")).await.unwrap();
    assert!(swept >= 2, "{swept}");
    assert_eq!(daemons.sweep(None).await.unwrap(), 0);
}

#[tokio::test]
async fn an_early_death_ends_the_wait_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let daemons = Daemons::new(dir.path());
    daemons.spawn(&spec("a", dir.path(), "echo no such table; exit 3")).unwrap();
    let start = Instant::now();
    let ask = || async { Err::<(), _>("refused".to_owned()) };
    let message = daemons.ready("a", "a answers", SOON, &Silent, ask).await.unwrap_err().to_string();
    assert!(start.elapsed() < SOON);
    assert!(message.starts_with("a answers: the process has ended with exit code 3"), "{message}");
    assert!(message.ends_with("logs/a.log:\nno such table"), "{message}");
}

#[tokio::test]
async fn a_program_that_cannot_start_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = Spec { program: "/nowhere/kafka".into(), ..spec("a", dir.path(), "") };
    let message = Daemons::new(dir.path()).spawn(&nothing).unwrap_err().to_string();
    assert!(message.contains("cannot start /nowhere/kafka"), "{message}");
}

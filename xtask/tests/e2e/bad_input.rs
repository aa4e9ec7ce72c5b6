//! A second command on a busy stack, and a stack that is not there.

use std::process::Command;

use crate::support::{Running, STACK, expect, program, typed, xtask};

#[test]
fn a_second_rehearsal_on_the_same_stack_is_refused_by_name() {
    let words = format!("upgrade --changes 0 --name {STACK}");
    let mut first = Running::start(&words);
    first.until("evidence in runs/");
    let second = xtask(&words);
    first.signal("INT");
    assert_eq!(first.child.wait().unwrap().code(), Some(130));
    assert_eq!(second.status.code(), Some(3));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains(&first.child.id().to_string()), "the holder {} is named: {told}", first.child.id());
}

#[test]
fn down_may_be_called_twice() {
    expect(0, "down --volumes --yes --name test-none");
    expect(0, "down --volumes --yes --name test-none");
}

#[test]
fn images_want_a_docker_engine() {
    let words = "images --offline";
    let mut images = Command::new(program());
    let output = images.args(words.split(' ')).env("DOCKER_HOST", "unix:///nowhere").output().unwrap();
    typed(words);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("no Docker engine answers") || told.contains("docker is not installed"), "{told}");
}

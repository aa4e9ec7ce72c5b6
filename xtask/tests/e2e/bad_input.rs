//! A second command on a busy stack, and a stack that is not there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{STACK, expect, program, xtask};

#[test]
fn a_second_rehearsal_on_the_same_stack_is_refused_by_name() {
    let words = ["upgrade", "--changes", "0", "--name", STACK];
    let mut first =
        Command::new(program()).args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Its first line says that it has the stack.
    let mut said = BufReader::new(first.stderr.take().unwrap()).lines();
    eprintln!("{}", said.next().unwrap().unwrap());
    // The pipe is read to its end: a program that cannot say anything any more may fail of that.
    let rest = std::thread::spawn(move || said.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
    let second = xtask(&format!("upgrade --changes 0 --name {STACK}"));
    let interrupted = Command::new("kill").args(["-INT", &first.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(first.wait().unwrap().code(), Some(130));
    rest.join().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains(&first.id().to_string()), "the holder {} is named: {told}", first.id());
}

#[test]
fn down_may_be_called_twice() {
    expect(0, "down --volumes --yes --name test-none");
    expect(0, "down --volumes --yes --name test-none");
}

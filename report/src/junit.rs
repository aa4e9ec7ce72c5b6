//! `junit.xml`: one test case per check. Broken is a `failure`; unknown is an `error`, not
//! `skipped`, because a continuous integration server counts skipped as green and nothing was proven.

use artifacts::findings::{CheckResult, Verdict};
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::input::Input;
use crate::text::{clip, visible};

const MAX_CHECKS: usize = 100;
const MAX_CHARS: usize = 4_000;

/// The file's text.
///
/// # Errors
/// The XML cannot be written.
pub(crate) fn junit(input: &Input) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(clean(&input.run.id));
    suite.set_timestamp(input.run.opened_at);
    match &input.findings {
        Ok(findings) => {
            suite.add_test_cases(findings.checks.iter().take(MAX_CHECKS).map(case));
        }
        Err(why) => {
            let mut case = TestCase::new("verdict", not_held(NonSuccessKind::Error, "no verdict", why, ""));
            case.set_classname("rehearsal");
            suite.add_test_case(case);
        }
    }
    let mut report = Report::new("postgresql upgrade rehearsal");
    report.add_test_suite(suite);
    report.to_string()
}

fn case(check: &CheckResult) -> TestCase {
    let details = || {
        let lines = check.evidence.iter().take(20).map(|e| {
            let at = [e.file.as_deref(), e.at.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            if at.is_empty() { e.text.clone() } else { format!("{} ({at})", e.text) }
        });
        let remedy = check.remedy.iter().map(|r| format!("what helps: {r}"));
        lines.chain(remedy).collect::<Vec<_>>().join("\n")
    };
    let status = match check.verdict {
        Verdict::Held => TestCaseStatus::success(),
        Verdict::Broken => not_held(NonSuccessKind::Failure, "broken", &check.summary, &details()),
        Verdict::Unknown => not_held(NonSuccessKind::Error, "unknown", &check.summary, &details()),
    };
    let mut case = TestCase::new(clean(&check.name), status);
    case.set_classname("rehearsal");
    case.set_assertions(usize::try_from(check.compared).unwrap_or(usize::MAX));
    case
}

fn not_held(kind: NonSuccessKind, name: &str, message: &str, details: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name).set_message(clean(message));
    if !details.is_empty() {
        status.set_description(clean(details));
    }
    status
}

fn clean(text: &str) -> String {
    visible(&clip(text, MAX_CHARS))
}

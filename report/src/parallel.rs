//! Work on many parts at once whose results are taken in the order of the parts. A few parts are in
//! memory at a time, however many there are.

use std::sync::mpsc::sync_channel;
use std::thread;

/// Does `work` on every part, on all processors; `take` gets the results in order and ends it by
/// false.
pub(crate) fn ordered<P: Send, R: Send>(
    parts: impl Iterator<Item = P> + Send,
    work: impl Fn(P) -> R + Sync,
    mut take: impl FnMut(R) -> bool,
) {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let work = &work;
    thread::scope(|scope| {
        let (mut inboxes, mut outboxes) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (inbox, mine) = sync_channel::<P>(1);
            let (done, outbox) = sync_channel::<R>(1);
            inboxes.push(inbox);
            outboxes.push(outbox);
            // Nobody takes what is done any more: it has been ended.
            scope.spawn(move || mine.into_iter().map(work).all(|result| done.send(result).is_ok()));
        }
        scope.spawn(move || parts.zip(inboxes.iter().cycle()).all(|(part, inbox)| inbox.send(part).is_ok()));
        // A worker without a result has no part either, nor have those after it.
        let _ = outboxes.iter().cycle().map_while(|outbox| outbox.recv().ok()).all(&mut take);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_parts_and_end_when_nobody_wants_more() {
        for n in [0, 1, 2, 3, 100] {
            let mut seen = Vec::new();
            ordered(
                0..n,
                |i| i * 2,
                |i| {
                    seen.push(i);
                    true
                },
            );
            assert_eq!(seen, (0..n).map(|i| i * 2).collect::<Vec<_>>());
        }
        let mut seen = 0;
        ordered(
            0..,
            |i: u64| i,
            |i| {
                seen = i;
                i < 50
            },
        );
        assert_eq!(seen, 50);
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_the_work_is_not_an_end() {
        ordered(0..10, |i| assert!(i < 5), |()| true);
    }
}

//! Reading on a second thread while this one works on what was read.
//!
//! What comes out is the same either way: pieces are taken in the order in which they were read.

use std::panic;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Hands `take` every piece that `read` puts, and returns what `read` does; `take` and what `read`
/// puts pieces into return false when no more are wanted. `on_its_own` gives `read` a thread of
/// its own.
pub(crate) fn read_beside<T: Send, R: Send>(
    on_its_own: bool,
    read: impl FnOnce(&mut dyn FnMut(T) -> bool) -> R + Send,
    take: &mut dyn FnMut(T) -> bool,
) -> R {
    if !on_its_own {
        return read(take);
    }
    let (to, from) = sync_channel(PIECES_AHEAD_MAX);
    thread::scope(|scope| {
        let reading = scope.spawn(move || read(&mut |piece| to.send(piece).is_ok()));
        for piece in &from {
            if !take(piece) {
                break;
            }
        }
        drop(from);
        reading.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}

/// A piece is handed over when it has so many bytes: few enough to stay in the caches.
pub(crate) const PIECE_BYTES: usize = 128 << 10;

const PIECES_AHEAD_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_until_no_more_are_wanted() {
        for on_its_own in [false, true] {
            let mut taken = Vec::new();
            let put_all =
                |put: &mut dyn FnMut(u32) -> bool| (0..1000).take_while(|n| put(*n)).count();
            let put = read_beside(on_its_own, put_all, &mut |n| {
                taken.push(n);
                n < 499
            });
            assert!(taken.iter().copied().eq(0..500), "{taken:?}");
            assert!((499..1000).contains(&put), "{put}");
            let put = read_beside(on_its_own, put_all, &mut |_| true);
            assert_eq!(put, 1000);
        }
    }
}

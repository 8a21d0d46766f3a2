//! A pool of threads for work that is split once and repeated a thousand times a second: workers spin briefly between
//! runs, then sleep. A run takes no lock and allocates nothing.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{cell::UnsafeCell, hint, mem, thread};

/// How long a worker without work watches for more before it sleeps. Longer than the gap between two operators of a
/// model, far shorter than the gap between two frames of a camera.
const SPIN: Duration = Duration::from_micros(100);

/// The most threads that a pool has; far more than share the work of one operator with any gain.
pub const MAX_THREADS: usize = 256;

/// A fixed number of threads, the caller's among them, that run numbered tasks.
///
/// A pool may be shared: while one caller has the workers, the tasks of another run on its own thread.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the caller that has the workers.
    taken: AtomicBool,
}

impl ThreadPool {
    /// A pool of `threads` threads in all (1 to [`MAX_THREADS`]): the caller of [`run`](Self::run) and `threads - 1`
    /// workers. Where the system refuses to start a worker, the pool is smaller.
    pub fn new(threads: usize) -> ThreadPool {
        let threads = threads.clamp(1, MAX_THREADS);
        let shared = Arc::new(Shared::new(threads));
        let start = |index: usize| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("kinglet-{index}")).spawn(move || shared.work(index)).ok()
        };
        let workers = (1..threads).map_while(start).collect();
        ThreadPool { shared, workers, taken: AtomicBool::new(false) }
    }

    /// Threads that take part in a run, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(task, thread)` once for every task in `0..tasks` and returns when all are done. `thread` is below
    /// [`threads`](Self::threads) and no two calls of one run that overlap in time have the same, so that it can index
    /// scratch memory. Which thread gets which task is not fixed, but each begins with a range of its own, the same one
    /// in every run of as many tasks: what a thread wrote as part of an image is then what it reads of it next.
    ///
    /// # Panics
    /// When a task panics: with the first panic, after every task that had begun has ended. The pool stays usable.
    pub fn run(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() || self.taken.swap(true, Ordering::Acquire) {
            return (0..tasks).for_each(|task| body(task, 0));
        }
        // SAFETY: `taken` was free, so this thread alone opens and closes jobs until it gives it back below.
        let panic = unsafe { self.shared.execute(tasks, body, &self.workers) };
        self.taken.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Splits `items` into chunks of `chunk` items (the last may be shorter) and calls `body(index, thread, chunk)` for
    /// each, over the pool's threads.
    ///
    /// # Panics
    /// When `chunk` is 0, or when a call panics.
    pub fn for_each_chunk<T: Send>(&self, items: &mut [T], chunk: usize, body: impl Fn(usize, usize, &mut [T]) + Sync) {
        assert_ne!(chunk, 0, "a chunk holds at least one item");
        let len = items.len();
        let items = Disjoint::new(items);
        self.run(len.div_ceil(chunk), &|index, thread| {
            let range = index * chunk..len.min((index + 1) * chunk);
            // SAFETY: each index is run once, and chunks of different indices share no item.
            body(index, thread, unsafe { items.slice(range) });
        });
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.gate.fetch_or(QUIT, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches every panic of a task, and has none of its own.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("threads", &self.threads()).finish()
    }
}

/// The low bits of [`Shared::gate`] count the workers that are inside the job.
const INSIDE: u64 = (1 << 16) - 1;
const _: () = assert!(MAX_THREADS as u64 <= INSIDE);
/// Set while there is a job that workers may enter.
const OPEN: u64 = 1 << 16;
/// Set when the pool is dropped.
const QUIT: u64 = 1 << 17;
/// The bits from here up number the jobs, so that no worker enters one twice.
const JOB: u64 = 1 << 18;

/// What the caller and the workers share.
///
/// The gate is one word: a worker enters by adding 1 to it while it is open, and the caller leaves a run only when it
/// has closed the gate and nobody is inside. A worker that the system did not wake in time thus costs nothing: it finds
/// the gate closed. `job` is written only while the gate is closed and empty, and read only by those inside.
struct Shared {
    gate: AtomicU64,
    job: UnsafeCell<Job>,
    /// For each thread the next task of its range that nobody has taken.
    next: Box<[Next]>,
    /// Workers that sleep or are about to.
    sleepers: AtomicUsize,
    /// The first panic of the job.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    panicked: AtomicBool,
}

// SAFETY: `job` alone is not `Sync` by itself; the gate orders its one writer before its readers, and those before the
// next write. The body that it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; what `job` points to is never owned nor dropped here.
unsafe impl Send for Shared {}

/// A counter with a cache line, and the one that is fetched along with it, for itself.
#[repr(align(128))]
struct Next(AtomicUsize);

#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    /// Points into the frame of the caller of `run`, which does not return before all who may use it are out.
    body: *const (dyn Fn(usize, usize) + Sync),
}

impl Shared {
    fn new(threads: usize) -> Shared {
        Shared {
            gate: AtomicU64::new(0),
            job: UnsafeCell::new(Job { tasks: 0, body: &|_, _| {} }),
            next: (0..threads).map(|_| Next(AtomicUsize::new(0))).collect(),
            sleepers: AtomicUsize::new(0),
            panic: Mutex::new(None),
            panicked: AtomicBool::new(false),
        }
    }

    /// Opens a job, takes part in it, closes it and waits until all are out.
    ///
    /// # Safety
    /// No other thread may be in this function.
    unsafe fn execute(
        &self,
        tasks: usize,
        body: &(dyn Fn(usize, usize) + Sync),
        workers: &[JoinHandle<()>],
    ) -> Option<Box<dyn Any + Send>> {
        // SAFETY: only the lifetime changes, which `Job` and the wait at the end of this function stand in for.
        let body: &'static (dyn Fn(usize, usize) + Sync) = unsafe { mem::transmute(body) };
        let job = Job { tasks, body };
        // SAFETY: the gate is closed and empty, so nobody reads the job, and by this function's condition nobody else
        // writes it.
        unsafe { *self.job.get() = job };
        for (thread, next) in self.next.iter().enumerate() {
            next.0.store(self.range(tasks, thread).start, Ordering::Relaxed);
        }
        self.gate.fetch_add(JOB | OPEN, Ordering::SeqCst);
        // Pairs with the fence of a worker that goes to sleep: it sees the gate open, or it is seen here.
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::Relaxed) != 0 {
            workers.iter().take(tasks - 1).for_each(|worker| worker.thread().unpark());
        }
        self.take_tasks(job, 0);
        self.gate.fetch_and(!OPEN, Ordering::AcqRel);
        wait_until(|| self.gate.load(Ordering::Acquire) & INSIDE == 0);
        if !self.panicked.load(Ordering::Relaxed) {
            return None;
        }
        self.panicked.store(false, Ordering::Relaxed);
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The tasks that `thread` begins with.
    fn range(&self, tasks: usize, thread: usize) -> Range<usize> {
        let at = |thread: usize| (tasks as u128 * thread as u128 / self.next.len() as u128) as usize;
        at(thread)..at(thread + 1)
    }

    /// Takes tasks of `job` until none is left: the thread's own range first, then what the others have not begun. The
    /// caller must be inside the job, or be who opened it.
    fn take_tasks(&self, job: Job, thread: usize) {
        // SAFETY: the body lives until the gate is closed and empty, and this thread is inside or will close it.
        let body = unsafe { &*job.body };
        let result = catch_unwind(AssertUnwindSafe(|| {
            for owner in (thread..self.next.len()).chain(0..thread) {
                let (next, end) = (&self.next[owner].0, self.range(job.tasks, owner).end);
                while next.load(Ordering::Relaxed) < end {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task < end {
                        body(task, thread);
                    }
                }
            }
        }));
        if let Err(panic) = result {
            // What is left is not begun. Half of what a counter holds, so that further additions cannot wrap around to
            // 0.
            self.next.iter().for_each(|next| next.0.store(usize::MAX / 2, Ordering::Relaxed));
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(panic);
            self.panicked.store(true, Ordering::Relaxed);
        }
    }

    /// A worker's life: wait for a job that it has not been in, enter it, take tasks, leave.
    fn work(&self, thread: usize) {
        let mut last = 0;
        loop {
            let gate = self.wait_for_change(last);
            if gate & QUIT != 0 {
                return;
            }
            if self.gate.compare_exchange(gate, gate + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            last = gate / JOB;
            // SAFETY: this worker is inside, so the job is not written until it leaves.
            let job = unsafe { *self.job.get() };
            self.take_tasks(job, thread);
            self.gate.fetch_sub(1, Ordering::Release);
        }
    }

    /// The gate's word once there is an open job other than `last`, or the pool is dropped.
    fn wait_for_change(&self, last: u64) -> u64 {
        let look = || {
            let gate = self.gate.load(Ordering::Acquire);
            (gate & QUIT != 0 || (gate & OPEN != 0 && gate / JOB != last)).then_some(gate)
        };
        let mut since = None;
        loop {
            for _ in 0..64 {
                if let Some(gate) = look() {
                    return gate;
                }
                hint::spin_loop();
            }
            if since.get_or_insert_with(Instant::now).elapsed() < SPIN {
                continue;
            }
            self.sleepers.fetch_add(1, Ordering::Relaxed);
            // Pairs with the fence of `execute`.
            fence(Ordering::SeqCst);
            let found = look();
            if found.is_none() {
                thread::park();
            }
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
            since = None;
        }
    }
}

/// Watches a condition that another running thread will soon make true; lets others have the CPU if it takes long.
fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        hint::spin_loop();
    }
    while !condition() {
        thread::yield_now();
    }
}

/// A mutable slice whose parts are handed to the tasks of one run.
pub(crate) struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: through a shared `Disjoint` a thread only gets parts that no other has (the condition of `slice`), which is
// what sending a `&mut [T]` to it is.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Takes the whole slice for as long as parts of it are out.
    pub(crate) fn new(slice: &'a mut [T]) -> Disjoint<'a, T> {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The first item, for parts that are no ranges; such must not overlap others in use either.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }

    /// The items of `range`.
    ///
    /// # Safety
    /// While the returned slice is in use, no other one that overlaps it may be.
    ///
    /// # Panics
    /// When the range is not inside the slice.
    #[expect(clippy::mut_from_ref, reason = "the caller promises what the borrow checker cannot see")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} is not inside 0..{}", self.len);
        // SAFETY: the range is inside the slice that this value borrows mutably; the caller keeps overlapping parts
        // apart.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_and_thread_indices_are_exclusive() {
        for threads in 1..=4 {
            let pool = ThreadPool::new(threads);
            assert_eq!(pool.threads(), threads);
            let in_use: Vec<AtomicBool> = (0..threads).map(|_| AtomicBool::new(false)).collect();
            for tasks in [0, 1, 2, 3, 7, 100, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task, thread| {
                    assert!(!in_use[thread].swap(true, Ordering::SeqCst));
                    counts[task].fetch_add(1, Ordering::SeqCst);
                    in_use[thread].store(false, Ordering::SeqCst);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 1));
            }
        }
    }

    #[test]
    fn workers_that_sleep_are_woken() {
        let pool = ThreadPool::new(2);
        for round in 0..20 {
            thread::sleep(if round % 2 == 0 { 5 * SPIN } else { SPIN });
            // Each task waits for the other, so that one thread alone could not end the run.
            let arrived = AtomicUsize::new(0);
            pool.run(2, &|_, _| {
                arrived.fetch_add(1, Ordering::SeqCst);
                wait_until(|| arrived.load(Ordering::SeqCst) == 2);
            });
        }
    }

    #[test]
    fn many_short_runs() {
        let pool = ThreadPool::new(3);
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        for round in 0..rounds {
            let sum = AtomicUsize::new(0);
            let tasks = round % 5;
            pool.run(tasks, &|task, _| {
                sum.fetch_add(task + 1, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), tasks * (tasks + 1) / 2);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        let pool = ThreadPool::new(3);
        for culprit in [0, 5, 99] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(100, &|task, _| assert_ne!(task, culprit, "task {task} fails"));
            }));
            let message =
                result.expect_err("the panic is passed on").downcast::<String>().expect("a formatted message");
            assert!(message.contains(&format!("task {culprit} fails")), "{message}");
            let done = AtomicUsize::new(0);
            pool.run(10, &|_, _| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 10);
        }
    }

    #[test]
    fn two_callers_and_nested_runs_share_a_pool() {
        let pool = ThreadPool::new(2);
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(4, &|_, _| {
                            pool.run(3, &|_, _| {
                                total.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 3 * 200 * 4 * 3);
    }

    #[test]
    fn chunks_cover_a_slice() {
        let pool = ThreadPool::new(2);
        for (len, chunk) in [(0, 3), (1, 3), (9, 3), (10, 3), (5, 100)] {
            let mut items = vec![usize::MAX; len];
            pool.for_each_chunk(&mut items, chunk, |index, _, items| {
                items.iter_mut().enumerate().for_each(|(i, item)| *item = index * chunk + i);
            });
            assert!(items.iter().copied().eq(0..len));
        }
    }

    #[test]
    #[should_panic(expected = "is not inside")]
    fn disjoint_checks_bounds() {
        let mut items = [0u8; 4];
        let items = Disjoint::new(&mut items);
        // SAFETY: no other part is in use.
        unsafe { items.slice(3..5) };
    }
}

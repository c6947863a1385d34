//! Runs the tasks of an instance.
//!
//! spin-sdk 5.2 has an executor, but neither `spawn` nor timers.

use crate::host::common::nanoseconds;
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use wasi::clocks::monotonic_clock::subscribe_duration;
use wasi::io::poll::{Pollable, poll};

thread_local! {
    /// Tasks that have not been polled.
    static SPAWNED: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
    /// Tasks that wait for the end of the response.
    static AFTER: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
    /// What tasks wait for. A future that is dropped takes its own along.
    static WAITING: RefCell<Vec<Weak<Wait>>> = const { RefCell::new(Vec::new()) };
}

struct Task {
    future: LocalBoxFuture<'static, ()>,
    woken: Arc<Woken>,
    /// Whether it makes or sends the response.
    is_response: bool,
}

impl Task {
    fn new(task: impl Future<Output = ()> + 'static) -> Self {
        Self {
            future: Box::pin(task),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            is_response: false,
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Relaxed)
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// A task that waits for the host.
struct Wait {
    pollable: Pollable,
    waker: RefCell<Waker>,
    is_over: Cell<bool>,
}

/// Starts a task. After an HTTP response the instance lives until all its tasks have ended.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    SPAWNED.with_borrow_mut(|spawned| spawned.push(Task::new(task)));
}

/// Starts a task that makes or sends the response.
pub(super) fn spawn_response(task: impl Future<Output = ()> + 'static) {
    let task = Task {
        is_response: true,
        ..Task::new(task)
    };
    SPAWNED.with_borrow_mut(|spawned| spawned.push(task));
}

/// Starts a task when the response has been sent, with its content. The calls of Redis and of the
/// store block the instance: earlier, they would hold up the content.
pub fn after_response(task: impl Future<Output = ()> + 'static) {
    AFTER.with_borrow_mut(|after| after.push(Task::new(task)));
}

/// Runs spawned tasks until all have ended.
pub(super) fn run_spawned() {
    let mut tasks = Vec::new();
    loop {
        poll_tasks(&mut tasks);
        if !tasks.iter().any(|task| task.is_response) {
            tasks.append(&mut AFTER.take());
        }
        if tasks.is_empty() {
            return;
        }
        wait(tasks.iter().any(Task::is_woken));
    }
}

/// Runs a future to its end. Unfinished tasks that it spawned are dropped.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut tasks = Vec::new();
    loop {
        if woken.0.swap(false, Relaxed)
            && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return output;
        }
        // There is no response.
        tasks.append(&mut AFTER.take());
        poll_tasks(&mut tasks);
        wait(woken.0.load(Relaxed) || tasks.iter().any(Task::is_woken));
    }
}

/// Polls the woken tasks, each once, and removes those that have ended.
fn poll_tasks(tasks: &mut Vec<Task>) {
    tasks.append(&mut SPAWNED.take());
    tasks.retain_mut(|task| {
        let is_woken = task.woken.0.swap(false, Relaxed);
        let waker = Waker::from(task.woken.clone());
        let mut context = Context::from_waker(&waker);
        !is_woken || task.future.as_mut().poll(&mut context).is_pending()
    });
    tasks.append(&mut SPAWNED.take());
}

/// Wakes the tasks whose waiting is over. Blocks until there is one, unless a task is `busy`.
fn wait(busy: bool) {
    let waiting: Vec<_> = WAITING.with_borrow_mut(|waiting| {
        waiting.retain(|wait| wait.upgrade().is_some_and(|wait| !wait.is_over.get()));
        waiting.iter().filter_map(Weak::upgrade).collect()
    });
    if waiting.is_empty() {
        assert!(busy, "every task waits for another one");
        return;
    }
    let at_once = busy.then(|| subscribe_duration(0));
    let pollables = waiting.iter().map(|wait| &wait.pollable);
    let pollables: Vec<_> = pollables.chain(&at_once).collect();
    for index in poll(&pollables) {
        if let Some(wait) = waiting.get(index as usize) {
            wait.is_over.set(true);
            wait.waker.borrow().wake_by_ref();
        }
    }
}

/// Waits until the host is ready.
pub(super) async fn ready(pollable: Pollable) {
    let wait = Rc::new(Wait {
        pollable,
        waker: RefCell::new(Waker::noop().clone()),
        is_over: Cell::new(false),
    });
    WAITING.with_borrow_mut(|waiting| waiting.push(Rc::downgrade(&wait)));
    poll_fn(|context| {
        if wait.is_over.get() {
            return Poll::Ready(());
        }
        wait.waker.borrow_mut().clone_from(context.waker());
        Poll::Pending
    })
    .await;
}

/// Waits for this time.
pub async fn sleep(duration: Duration) {
    ready(subscribe_duration(nanoseconds(duration))).await;
}

/// Lets the other tasks go on.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

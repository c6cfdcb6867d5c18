//! One thread that starts every program and never ends.
//!
//! "A signal when my parent dies" means the thread that started the program, not its process: a program started by a
//! test's thread would die with that test, although other tests share it.

use std::{
    io,
    process::{Child, Command},
    sync::{Mutex, OnceLock, mpsc},
    thread,
};

struct Job {
    command: Command,
    answer: mpsc::Sender<io::Result<Child>>,
}

pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static JOBS: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for Job { mut command, answer } in receiver {
                    let _nobody_waits = answer.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(sender)
    });
    let (answer, answered) = mpsc::channel();
    jobs.lock().expect("no spawn panics").send(Job { command, answer }).expect("the spawner never ends");
    answered.recv().expect("the spawner answers")
}

//! The child: reads orders, carries out one at a time, answers each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::frame;
use super::synthetic::Synthetic;
use super::torch::Torch;
use super::words::{Model, Order, Said, Setup};
use crate::base::Span;

/// Serves orders from `input` until it ends, which also ends what is under way. An error says that the pipes broke or that the other
/// side does not keep to the rules.
pub fn serve(mut input: impl Read + Send + 'static, mut output: impl Write) -> io::Result<()> {
    let Some(setup) = frame::read::<Setup>(&mut input)? else { return Ok(()) };
    frame::write(&mut output, &Said::Ready)?;
    let mut engine = Engine::new(setup)?;
    let hear = engine.torch.ear();
    let (sender, orders) = mpsc::sync_channel::<io::Result<Order>>(1);
    // Detached: it sits in a read that only the end of the input ends.
    thread::spawn(move || {
        while let Some(order) = frame::read(&mut input).transpose() {
            if let Ok(order @ Order::Expect { .. }) = &order {
                hear(order);
                continue;
            }
            let broken = order.is_err();
            if sender.send(order).is_err() || broken {
                return;
            }
        }
    });
    while let Ok(order) = orders.recv() {
        let began = Instant::now();
        let (takes, mut said) = engine.carry_out(order?);
        // Waiting for the input to end while time passes is what ends a batch together with its node.
        let early = match wait(&orders, Duration::from_nanos(takes.0)) {
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(order) => Some(order?),
        };
        if let Some(order) = early {
            let why = format!("told to do {order:?} before the last order was answered");
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        if let Said::Finished { took, .. } = &mut said {
            *took = Span(began.elapsed().as_nanos() as u64);
        }
        frame::write(&mut output, &said)?;
    }
    Ok(())
}

/// Everything that runs models.
struct Engine {
    synthetic: Synthetic,
    torch: Torch,
    /// The models that are networks.
    real: BTreeSet<Arc<str>>,
}

impl Engine {
    fn new(setup: Setup) -> io::Result<Engine> {
        let (mut drawn, mut networks) = (BTreeMap::new(), BTreeMap::new());
        for (name, model) in setup.models {
            match model {
                Model::Synthetic(profile) => drop(drawn.insert(name, profile)),
                Model::Torch(network) => drop(networks.insert(name, network)),
            }
        }
        let real = networks.keys().cloned().collect();
        let synthetic = Synthetic::new(drawn, setup.speed, setup.seed);
        Ok(Engine { synthetic, torch: Torch::new(networks)?, real })
    }

    /// How long the order still takes, and what comes of it.
    fn carry_out(&mut self, order: Order) -> (Span, Said) {
        match order {
            Order::Load { model } if self.real.contains(&model) => (Span::ZERO, self.torch.load(model)),
            Order::Infer { attempt, model, dataset, from, inputs } if self.real.contains(&model) => {
                (Span::ZERO, self.torch.infer(attempt, &model, &dataset, from, inputs))
            }
            other => self.synthetic.carry_out(other),
        }
    }
}

/// What comes within `time`.
fn wait<T>(orders: &mpsc::Receiver<T>, time: Duration) -> Result<T, RecvTimeoutError> {
    if !time.is_zero() {
        return orders.recv_timeout(time);
    }
    orders.try_recv().map_err(|error| match error {
        TryRecvError::Empty => RecvTimeoutError::Timeout,
        TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BySize, CostProfile, Draw};

    fn setup(load: Span) -> Setup {
        let profile = CostProfile {
            load: Draw::Fixed(load),
            setup: Draw::ZERO,
            per_input: Draw::ZERO,
            by_size: BySize::LINE,
        };
        Setup { models: [("m".into(), Model::Synthetic(profile))].into(), speed: 1.0, seed: 1 }
    }

    fn load() -> Order {
        Order::Load { model: "m".into() }
    }

    /// A child on a thread: where orders go in, where answers come out, and how it ends.
    fn child(setup: &Setup) -> (io::PipeWriter, io::PipeReader, thread::JoinHandle<io::Result<()>>) {
        let (input, mut orders) = io::pipe().unwrap();
        let (answers, output) = io::pipe().unwrap();
        frame::write(&mut orders, setup).unwrap();
        (orders, answers, thread::spawn(move || serve(input, output)))
    }

    #[test]
    fn it_answers_each_order_once_and_ends_with_its_input() {
        let (mut orders, mut answers, child) = child(&setup(Span::ZERO));
        assert_eq!(frame::read(&mut answers).unwrap(), Some(Said::Ready));
        for _ in 0..3 {
            frame::write(&mut orders, &load()).unwrap();
            assert_eq!(frame::read(&mut answers).unwrap(), Some(Said::Loaded { model: "m".into() }));
        }
        drop(orders);
        child.join().unwrap().unwrap();
        assert_eq!(frame::read::<Said>(&mut answers).unwrap(), None);
    }

    #[test]
    fn what_is_under_way_ends_with_the_input_and_two_orders_at_once_are_an_error() {
        let (mut orders, _answers, busy) = child(&setup(Span::secs(86_400)));
        frame::write(&mut orders, &load()).unwrap();
        drop(orders);
        busy.join().unwrap().unwrap();
        let (mut orders, _answers, pressed) = child(&setup(Span::secs(86_400)));
        frame::write(&mut orders, &load()).unwrap();
        frame::write(&mut orders, &load()).unwrap();
        assert_eq!(pressed.join().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

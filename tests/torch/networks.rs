//! Networks are those of torchvision, and weights that are not theirs are refused.

use std::path::Path;
use std::sync::Arc;

use idunno::base::{Architecture, Device, InputShape, Network, Weights};
use idunno::engine::torch::Model;
use tch::{CModule, Kind, Tensor};

const REFERENCE: &str = include_str!("networks.txt");

pub(crate) fn network(name: &str, weights: Weights, input: &str) -> Network {
    Network {
        architecture: name.parse().unwrap(),
        weights,
        classes: 10,
        input: input.parse().unwrap(),
        device: Device::Cpu,
        threads: 1,
    }
}

fn file(path: &Path) -> Weights {
    Weights::File(path.to_str().unwrap().into())
}

/// Weights by formula, as `reference.py` fills them in: from the place of the name among all, and that of the number.
fn formula(place: usize, name: &str, shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>();
    let fan = shape[1..].iter().product::<i64>() as f64;
    let wave = |number: i64| (number as f64 * 0.7 + place as f64).sin();
    let number = |number: i64| {
        let wave = wave(number);
        let value = match shape.len() {
            1 if name.ends_with("running_var") => 1.0 + 0.5 * wave,
            1 if name.ends_with("running_mean") => 0.1 * wave,
            1 if name.ends_with("weight") => 0.4 + 0.1 * wave,
            1 => 0.1 * wave,
            _ => wave * (2.0 / fan).sqrt(),
        };
        value as f32
    };
    Tensor::from_slice(&(0..count).map(number).collect::<Vec<f32>>()).view(shape)
}

fn write(path: &Path, tensors: &[(String, Tensor)]) {
    Tensor::write_safetensors(tensors, path).unwrap();
}

/// A network with weights by formula, in a file of either format.
fn by_formula(name: &str, input: &str, path: &Path) -> Network {
    let shapes = Model::load(&network(name, Weights::Random(1), input)).unwrap().parameters();
    let tensors: Vec<(String, Tensor)> = (shapes.iter().enumerate())
        .map(|(place, (name, shape))| (name.clone(), formula(place, name, shape)))
        .collect();
    match path.extension().unwrap().to_str() {
        Some("ot") => Tensor::save_multi(&tensors, path).unwrap(),
        _ => write(path, &tensors),
    }
    network(name, file(path), input)
}

#[test]
fn names_shapes_and_outputs_are_those_of_torchvision() {
    let at = tempfile::tempdir().unwrap();
    let input: Vec<f32> = (0..3 * 64 * 64).map(|place| (f64::from(place) * 0.01).sin() as f32).collect();
    let mut seen = 0;
    for part in REFERENCE.split("network ").filter(|part| !part.is_empty()) {
        let mut lines = part.lines();
        let name = lines.next().unwrap();
        let model = by_formula(name, "image:64x64", &at.path().join("w.safetensors"));
        let model = Model::load(&model).unwrap();
        let wanted: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("outputs ")).collect();
        let shape = |shape: &[i64]| shape.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let found: Vec<String> =
            model.parameters().iter().map(|(name, sides)| format!("{name} {}", shape(sides))).collect();
        assert_eq!(found, wanted, "{name}");
        let outputs = part.lines().last().and_then(|line| line.strip_prefix("outputs ")).unwrap();
        let outputs: Vec<f32> = outputs.split(' ').map(|number| number.parse().unwrap()).collect();
        let scores = model.scores(&[&input]).unwrap().remove(0);
        let scale = outputs.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
        for (found, wanted) in scores.iter().zip(&outputs) {
            assert!((found - wanted).abs() < 2e-3 * scale, "{name}: {scores:?} instead of {outputs:?}");
        }
        assert_eq!(scores.len(), outputs.len());
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn weights_of_both_formats_say_the_same_and_a_batch_answers_as_its_inputs_do() {
    let at = tempfile::tempdir().unwrap();
    let [one, other] =
        ["w.safetensors", "w.ot"].map(|file| by_formula("lenet", "image:32x32", &at.path().join(file)));
    let [one, other] = [one, other].map(|network| Model::load(&network).unwrap());
    let inputs: Vec<Vec<f32>> = (0..3_u16)
        .map(|seed| (0..3072_u16).map(|place| f32::from(place * seed % 97) / 97.0).collect())
        .collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let together = one.run(&inputs).unwrap();
    assert_eq!(together, other.run(&inputs).unwrap());
    for (input, answer) in inputs.iter().zip(&together) {
        let (alone, answer) = (one.run(&[input]).unwrap().remove(0).unwrap(), answer.as_ref().unwrap());
        assert_eq!(answer.len(), 5);
        assert!(answer.is_sorted_by(|a, b| a.1 >= b.1) && answer[0].1 <= 1.0);
        for (a, b) in alone.iter().zip(answer) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-5, "{alone:?} alone, {answer:?} among others");
        }
    }
}

#[test]
fn random_weights_are_those_of_their_seed() {
    let input = vec![0.5; 3072];
    let scores = |seed| {
        Model::load(&network("mlp", Weights::Random(seed), "image:32x32")).unwrap().scores(&[&input]).unwrap()
    };
    assert_eq!(scores(3), scores(3));
    assert_ne!(scores(3), scores(4));
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("w.safetensors");
    let refused = |network: &Network| Model::load(network).unwrap_err();
    let of_34 = by_formula("resnet34", "image:64x64", &path);
    // Every name of a ResNet-18 is one of a ResNet-34 as well, with the same shape.
    let said = refused(&Network { architecture: Architecture::ResNet18, ..of_34.clone() });
    assert!(
        said.contains("w.safetensors does not fit")
            && said.contains("layer1.2.bn1")
            && said.contains("resnet18"),
        "{said}"
    );
    let said = refused(&Network { architecture: Architecture::ResNet50, ..of_34.clone() });
    assert!(said.contains("they lack") && said.contains("more"), "{said}");
    let said = refused(&Network { architecture: Architecture::AlexNet, ..of_34 });
    assert!(said.contains("classifier.6.weight"), "{said}");
    let small = by_formula("mlp", "image:16x16", &path);
    let said = refused(&Network { input: "image:32x32".parse().unwrap(), ..small.clone() });
    assert!(said.contains("fc1.weight has the shape [256, 768] instead of [256, 3072]"), "{said}");
    std::fs::write(&path, "nonsense").unwrap();
    assert!(refused(&small).contains("no sound .safetensors"));
    let other = |name: &str| Network { weights: file(&at.path().join(name)), ..small.clone() };
    assert!(refused(&other("none.safetensors")).contains("none.safetensors: "));
    std::fs::write(at.path().join("w.pt"), "").unwrap();
    assert!(refused(&other("w.pt")).contains(".safetensors or .ot"));
    let wrong = network("resnet18", Weights::Random(1), "tensor:f32[7]");
    assert!(refused(&wrong).contains("resnet18 takes pictures"));
    let far = Network { device: Device::Cuda(63), ..network("mlp", Weights::Random(1), "image:32x32") };
    assert!(refused(&far).contains("cuda:63") && refused(&far).contains("auto"));
}

#[test]
fn a_script_runs_and_one_that_is_none_or_answers_strangely_is_refused() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("script.pt");
    let trace = |answer: &mut dyn FnMut(&Tensor) -> Tensor| {
        let mut closure = |inputs: &[Tensor]| vec![answer(&inputs[0])];
        let example = [Tensor::ones([1, 4], (Kind::Float, tch::Device::Cpu))];
        CModule::create_by_tracing("Script", "forward", &example, &mut closure).unwrap().save(&path).unwrap();
    };
    let script = network("script", file(&path), "tensor:f32[4]");
    trace(&mut |input| input * 2.0);
    let model = Model::load(&script).unwrap();
    let answers = model.run(&[&[0.0, 3.0, 1.0, 2.0], &[5.0, 0.0, 0.0, 0.0]]).unwrap();
    let first = |answer: &Result<Vec<(u16, f32)>, String>| answer.as_ref().unwrap()[0].0;
    assert_eq!(answers.iter().map(first).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(
        answers[0].as_ref().unwrap().iter().map(|(class, _)| *class).collect::<Vec<_>>(),
        [1, 3, 2, 0]
    );
    let said = model.run(&[&[0.0; 3]]).unwrap_err();
    assert!(said.contains("another size than [4]"), "{said}");
    trace(&mut |input| input.sum(Kind::Float));
    let said = Model::load(&script).unwrap_err();
    assert!(said.contains("wanted [1, classes]"), "{said}");
    std::fs::write(&path, "no script").unwrap();
    let said = Model::load(&script).unwrap_err();
    assert!(said.contains("no sound TorchScript"), "{said}");
    let wrong = Model::load(&Network { weights: Weights::Random(1), ..script }).unwrap_err();
    assert!(wrong.contains("a script has its weights in its file"), "{wrong}");
}

#[test]
fn an_output_that_is_no_number_fails_its_input_and_no_other() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("script.pt");
    // The logarithm of a negative number is none.
    let mut closure = |inputs: &[Tensor]| vec![inputs[0].log()];
    let example = [Tensor::ones([1, 2], (Kind::Float, tch::Device::Cpu))];
    CModule::create_by_tracing("Script", "forward", &example, &mut closure).unwrap().save(&path).unwrap();
    let shape: InputShape = "tensor:f32[2]".parse().unwrap();
    let weights = Weights::File(Arc::from(path.to_str().unwrap()));
    // Warmed up with zeros, whose logarithm is none either: that is the input's fault and not the model's.
    let model =
        Model::load(&Network { input: shape, ..network("script", weights, "tensor:f32[2]") }).unwrap();
    let answers = model.run(&[&[1.0, 2.0], &[-1.0, 2.0], &[3.0, 2.0]]).unwrap();
    assert_eq!(answers[1], Err("the network's output is not a number".to_owned()));
    assert!(answers[0].is_ok() && answers[2].is_ok());
}

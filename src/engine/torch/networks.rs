//! The networks that are known by name, layer by layer as torchvision defines them, with its names of the parameters.

use tch::nn::{self, ConvConfig, ModuleT, Path};
use tch::vision::resnet;

use crate::base::{Architecture, InputShape};

/// A network that is ready to be called.
pub(super) type Layers = Box<dyn ModuleT>;

/// The neurons of each hidden layer of the small networks.
const HIDDEN: i64 = 256;

/// Makes a network for inputs of this shape and so many classes; an error says which shape it takes.
pub(super) fn build(
    architecture: Architecture,
    root: &Path<'_>,
    input: &InputShape,
    classes: i64,
) -> Result<Layers, String> {
    let dimensions = input.dimensions();
    let wrong = |wanted: &str| Err(format!("{} takes {wanted}, and not {input}", architecture.name()));
    let pictures = dimensions.len() == 3 && dimensions[0] == 3;
    // What their first layers make of less is nothing.
    let least = match architecture {
        Architecture::AlexNet => 63,
        Architecture::ResNet18 | Architecture::ResNet34 | Architecture::ResNet50 => 32,
        Architecture::LeNet => 12,
        Architecture::Mlp | Architecture::Script => 1,
    };
    if architecture != Architecture::Mlp && (!pictures || dimensions[1..].iter().any(|side| *side < least)) {
        return wrong(&format!(
            "pictures of {least} pixels and more, such as {}",
            architecture.usual_input()
        ));
    }
    Ok(match architecture {
        Architecture::AlexNet => Box::new(alexnet(root, classes)),
        Architecture::ResNet18 => Box::new(resnet::resnet18(root, classes)),
        Architecture::ResNet34 => Box::new(resnet::resnet34(root, classes)),
        Architecture::ResNet50 => Box::new(resnet::resnet50(root, classes)),
        Architecture::Mlp => Box::new(mlp(root, dimensions.iter().product(), classes)),
        Architecture::LeNet => Box::new(lenet(root, dimensions[1], dimensions[2], classes)),
        Architecture::Script => return wrong("what its file says"),
    })
}

/// The name of the parameter whose first side is the number of classes.
pub(super) fn last_layer(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::AlexNet => "classifier.6.weight",
        Architecture::ResNet18 | Architecture::ResNet34 | Architecture::ResNet50 => "fc.weight",
        Architecture::Mlp | Architecture::LeNet => "fc3.weight",
        Architecture::Script => "",
    }
}

/// `AlexNet`. Not that of `tch`, whose second convolution takes steps of two, and which so computes something else with
/// torchvision's weights.
fn alexnet(root: &Path<'_>, classes: i64) -> impl ModuleT + use<> {
    let features = root / "features";
    let conv = |place: &str, from: i64, to: i64, size: i64, stride: i64, padding: i64| {
        nn::conv2d(&features / place, from, to, size, ConvConfig { stride, padding, ..Default::default() })
    };
    let classifier = root / "classifier";
    let linear = |place: &str, from: i64, to: i64| {
        nn::linear(&classifier / place, from, to, nn::LinearConfig::default())
    };
    nn::seq_t()
        .add(conv("0", 3, 64, 11, 4, 2))
        .add_fn(|xs| pooled(&xs.relu()))
        .add(conv("3", 64, 192, 5, 1, 2))
        .add_fn(|xs| pooled(&xs.relu()))
        .add(conv("6", 192, 384, 3, 1, 1))
        .add_fn(tch::Tensor::relu)
        .add(conv("8", 384, 256, 3, 1, 1))
        .add_fn(tch::Tensor::relu)
        .add(conv("10", 256, 256, 3, 1, 1))
        .add_fn(|xs| pooled(&xs.relu()).adaptive_avg_pool2d([6, 6]).flatten(1, -1))
        .add_fn_t(|xs, train| xs.dropout(0.5, train))
        .add(linear("1", 256 * 6 * 6, 4096))
        .add_fn_t(|xs, train| xs.relu().dropout(0.5, train))
        .add(linear("4", 4096, 4096))
        .add_fn(tch::Tensor::relu)
        .add(linear("6", 4096, classes))
}

fn pooled(xs: &tch::Tensor) -> tch::Tensor {
    xs.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false)
}

fn mlp(root: &Path<'_>, numbers: i64, classes: i64) -> impl ModuleT + use<> {
    let linear =
        |place: &str, from: i64, to: i64| nn::linear(root / place, from, to, nn::LinearConfig::default());
    nn::seq_t()
        .add_fn(|xs| xs.flatten(1, -1))
        .add(linear("fc1", numbers, HIDDEN))
        .add_fn(tch::Tensor::relu)
        .add(linear("fc2", HIDDEN, HIDDEN))
        .add_fn(tch::Tensor::relu)
        .add(linear("fc3", HIDDEN, classes))
}

/// After `LeNet`-5, in colour and with today's layers.
fn lenet(root: &Path<'_>, height: i64, width: i64, classes: i64) -> impl ModuleT + use<> {
    let conv = |place: &str, from: i64, to: i64| {
        nn::conv2d(root / place, from, to, 5, ConvConfig { padding: 2, ..Default::default() })
    };
    let linear =
        |place: &str, from: i64, to: i64| nn::linear(root / place, from, to, nn::LinearConfig::default());
    nn::seq_t()
        .add(conv("conv1", 3, 16))
        .add_fn(|xs| xs.relu().max_pool2d_default(2))
        .add(conv("conv2", 16, 32))
        .add_fn(|xs| xs.relu().max_pool2d_default(2).flatten(1, -1))
        .add(linear("fc1", 32 * (height / 4) * (width / 4), HIDDEN))
        .add_fn_t(|xs, train| xs.relu().dropout(0.25, train))
        .add(linear("fc2", HIDDEN, HIDDEN / 2))
        .add_fn(tch::Tensor::relu)
        .add(linear("fc3", HIDDEN / 2, classes))
}

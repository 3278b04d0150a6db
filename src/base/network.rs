//! What a model of the engine `torch` is made of: plain values, also where that engine is left out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A network with everything that it takes to run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its layers.
    pub architecture: Architecture,
    /// What they have learnt.
    pub weights: Weights,
    /// Classes that random weights tell apart, 1 to 65,535; weights from a file say so themselves.
    pub classes: u32,
    /// What it takes.
    pub input: InputShape,
    /// What it runs on.
    pub device: Device,
    /// Threads of one inference, 1 to 256; as many decode the inputs.
    pub threads: u32,
}

/// The layers of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// `AlexNet`, as torchvision has it.
    AlexNet,
    /// A residual network of 18 layers, as torchvision has it.
    ResNet18,
    /// One of 34 layers.
    ResNet34,
    /// One of 50 layers.
    ResNet50,
    /// Two layers of 256 that see every pixel: for small pictures and arrays.
    Mlp,
    /// Two convolutions and two layers: for small pictures.
    LeNet,
    /// Whatever the file of the weights says, which is in the format `TorchScript`.
    Script,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 7] = [
        Architecture::AlexNet,
        Architecture::ResNet18,
        Architecture::ResNet34,
        Architecture::ResNet50,
        Architecture::Mlp,
        Architecture::LeNet,
        Architecture::Script,
    ];

    /// What it is called in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Architecture::AlexNet => "alexnet",
            Architecture::ResNet18 => "resnet18",
            Architecture::ResNet34 => "resnet34",
            Architecture::ResNet50 => "resnet50",
            Architecture::Mlp => "mlp",
            Architecture::LeNet => "lenet",
            Architecture::Script => "script",
        }
    }

    /// What it takes when nothing else is said.
    pub const fn usual_input(self) -> InputShape {
        match self {
            Architecture::Mlp | Architecture::LeNet => {
                InputShape::Picture { width: 32, height: 32, crop: false }
            }
            _ => InputShape::Picture { width: 224, height: 224, crop: true },
        }
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Architecture, String> {
        let found = Architecture::ALL.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("wanted one of {}", Architecture::ALL.map(Architecture::name).join(", ")))
    }
}

/// Where the numbers in a network come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Weights {
    /// From this file: `.safetensors` or `.ot`, with torchvision's names; of a script the script itself.
    File(Arc<str>),
    /// From this file of the cluster's store, `store:NAME` or `store:NAME@VERSION`, which the node fetches before the network is loaded.
    Stored(Arc<str>),
    /// They are drawn with this seed: for measurements, since such a network knows nothing.
    Random(u64),
    /// Those that were imported on the machine under the model's name; layers and input are what was said then.
    Imported,
}

/// What a network takes for one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputShape {
    /// A picture in three colours.
    Picture {
        /// How wide, in pixels.
        width: u32,
        /// How high.
        height: u32,
        /// Whether it is shrunk, keeping its shape, until its shorter side has 8/7 of that, and cut to the middle; else it is
        /// stretched.
        crop: bool,
    },
    /// An array of 32-bit floating point numbers of this shape.
    Array(Vec<u32>),
}

/// The longest side of a picture, and of an array, that a network may take.
const SIDE_MAX: u32 = 4_096;
/// The most numbers of one input.
const NUMBERS_MAX: u64 = 64 << 20;

impl InputShape {
    /// The shape of the array that the network is given for one input.
    pub fn dimensions(&self) -> Vec<i64> {
        match self {
            InputShape::Picture { width, height, .. } => vec![3, i64::from(*height), i64::from(*width)],
            InputShape::Array(shape) => shape.iter().map(|side| i64::from(*side)).collect(),
        }
    }

    /// How many numbers one input is.
    pub fn numbers(&self) -> usize {
        self.dimensions().iter().product::<i64>() as usize
    }
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputShape::Picture { width, crop: true, .. } => write!(f, "image:{width}"),
            InputShape::Picture { width, height, crop: false } => write!(f, "image:{width}x{height}"),
            InputShape::Array(shape) => {
                let sides: Vec<String> = shape.iter().map(u32::to_string).collect();
                write!(f, "tensor:f32[{}]", sides.join(","))
            }
        }
    }
}

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<InputShape, String> {
        let wanted = || {
            format!(
                "wanted image:224 (shrunk to 256 and cut to the middle 224), image:32x32 (stretched to that), or \
                 tensor:f32[3,224,224] (arrays of that shape), with sides from 1 to {SIDE_MAX}"
            )
        };
        let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
        let shape = if let Some(picture) = text.strip_prefix("image:") {
            let (width, height) = picture.split_once('x').unwrap_or((picture, picture));
            let sides = side(width).zip(side(height));
            sides.map(|(width, height)| InputShape::Picture { width, height, crop: !picture.contains('x') })
        } else {
            let sides = text.strip_prefix("tensor:f32[").and_then(|rest| rest.strip_suffix(']'));
            let shape: Option<Vec<u32>> = sides.and_then(|sides| sides.split(',').map(side).collect());
            let most = |shape: &Vec<u32>| {
                shape.iter().map(|side| u128::from(*side)).product::<u128>() <= u128::from(NUMBERS_MAX)
            };
            shape.filter(|shape| shape.len() <= 8 && most(shape)).map(InputShape::Array)
        };
        shape.ok_or_else(wanted)
    }
}

/// What a network runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// The first GPU if there is one, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// The GPU of this number.
    Cuda(u32),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Device, String> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            _ => {
                let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                let number = number.filter(|number| *number < 64).map(Device::Cuda);
                number.ok_or_else(|| "wanted auto, cpu, or a GPU such as cuda:0".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["image:224", "image:32x32", "image:48x32", "tensor:f32[3,8,8]", "tensor:f32[1]"] {
            assert_eq!(text.parse::<InputShape>().unwrap().to_string(), text);
        }
        for text in ["auto", "cpu", "cuda:0", "cuda:7"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        for one in Architecture::ALL {
            assert_eq!(one.name().parse(), Ok(one));
        }
        assert_eq!("image:48x32".parse::<InputShape>().unwrap().dimensions(), [3, 32, 48]);
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_is_right() {
        for text in [
            "",
            "image:",
            "image:0",
            "image:5000",
            "tensor:f32[]",
            "tensor:f64[1]",
            "tensor:f32[4096,4096,4096]",
        ] {
            assert!(text.parse::<InputShape>().unwrap_err().contains("image:224"), "{text}");
        }
        assert!("gpu".parse::<Device>().unwrap_err().contains("cuda:0"));
        assert!("vgg".parse::<Architecture>().unwrap_err().contains("resnet18"));
    }
}

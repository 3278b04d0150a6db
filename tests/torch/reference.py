"""Writes networks.txt, prepared.txt and picture.jpg anew: what torchvision 0.26 says on PyTorch 2.11."""

import math
import pathlib

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision import transforms

HERE = pathlib.Path(__file__).parent
NORMAL = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def fill(model):
    """Puts numbers by formula into all weights; their names, in order."""
    state = model.state_dict()
    names = sorted(name for name in state if not name.endswith("num_batches_tracked"))
    for place, name in enumerate(names):
        tensor = state[name]
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * 0.7 + place)
        if name.endswith("running_var"):
            wave = 1.0 + 0.5 * wave
        elif name.endswith("running_mean"):
            wave = 0.1 * wave
        elif tensor.dim() == 1 and name.endswith("weight"):
            wave = 0.4 + 0.1 * wave
        elif tensor.dim() == 1:
            wave = 0.1 * wave
        else:
            wave = wave * math.sqrt(2.0 / tensor[0].numel())
        tensor.copy_(wave.reshape(tensor.shape).float())
    return names


def picture(width, height):
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    board = 255 * ((x // 16 + y // 16) % 2)
    return Image.fromarray(np.stack([x * 255 // (width - 1), y * 255 // (height - 1), board], -1).astype(np.uint8))


def grid(tensor, x, y, step):
    return " ".join(f"{float(number):.5f}" for number in tensor[:, y::step, x::step].flatten())


with open(HERE / "networks.txt", "w") as file:
    for name in ["alexnet", "resnet18", "resnet34", "resnet50"]:
        model = getattr(torchvision.models, name)(weights=None, num_classes=10).eval()
        names = fill(model)
        inputs = torch.sin(torch.arange(3 * 64 * 64, dtype=torch.float64) * 0.01).float().reshape(1, 3, 64, 64)
        with torch.no_grad():
            outputs = model(inputs)[0]
        print("network", name, file=file)
        for parameter in names:
            print(parameter, ",".join(map(str, model.state_dict()[parameter].shape)), file=file)
        print("outputs", " ".join(f"{float(number):.6g}" for number in outputs), file=file)

usual = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMAL])
small = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor(), NORMAL])
picture(160, 121).save(HERE / "picture.jpg", quality=92)
with open(HERE / "prepared.txt", "w") as file:
    for width, height in [(300, 200), (133, 311), (224, 224), (1024, 700)]:
        print("png", width, height, grid(usual(picture(width, height)), 3, 4, 40), file=file)
    jpeg = Image.open(HERE / "picture.jpg").convert("RGB")
    print("jpg", 160, 121, grid(usual(jpeg), 3, 4, 40), file=file)
    print("png32", 300, 200, grid(small(picture(300, 200)), 1, 2, 6), file=file)

"""The plain loop of serving.rs in PyTorch: for each line `FROM COUNT` it answers these inputs, and says how many it has answered."""

import pathlib
import sys

import torch
from PIL import Image
from torchvision import models, transforms

NETWORK, DATASET, DEVICE, BATCH = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


class Pictures(torch.utils.data.Dataset):
    """All files of the dataset, in the order that idunno has."""

    def __init__(self):
        self.files = sorted(path for path in pathlib.Path(DATASET).iterdir() if path.suffix == ".png")
        self.prepare = transforms.Compose([
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ])

    def __len__(self):
        return len(self.files)

    def __getitem__(self, number):
        with Image.open(self.files[number]) as picture:
            return self.prepare(picture.convert("RGB"))


class Batches:
    """Which inputs make a batch; the range is set before each round."""

    def __init__(self):
        self.range = range(0)

    def __len__(self):
        return -(-len(self.range) // BATCH)

    def __iter__(self):
        for begin in range(0, len(self.range), BATCH):
            yield list(self.range[begin:begin + BATCH])


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = getattr(models, NETWORK)(weights=None).eval().to(DEVICE)
    batches = Batches()
    # One process decodes ahead, as one thread does on the other sides.
    loader = torch.utils.data.DataLoader(
        Pictures(), batch_sampler=batches, num_workers=1, persistent_workers=True, prefetch_factor=2
    )
    for line in sys.stdin:
        begin, count = map(int, line.split())
        batches.range = range(begin, begin + count)
        answered = 0
        with torch.inference_mode():
            for batch in loader:
                chances = model(batch.to(DEVICE)).softmax(-1)
                answered += len(chances.topk(5, -1).indices.cpu())
        print(answered, flush=True)


if __name__ == "__main__":
    main()

"""A plain PyTorch loop, watched: python examples/torch_plain.py picture.png [epochs]."""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from precipice.torch import Monitor, largest_stable_lr, supervised

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
loader = DataLoader(data, batch_size=64, shuffle=True)
model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), nn.CrossEntropyLoss()
loss = supervised(criterion)

print("At the start:", largest_stable_lr(model, loss, loader, optimizer).text)
# leave budget out in a long training: measurements then take 5 % of it
monitor = Monitor(model, loss, loader, optimizer, every=20, budget=None)
for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 14):
    for x, y in loader:
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
        monitor.step()

monitor.summary()
print(*monitor.advice(), sep="\n")
monitor.plot(sys.argv[1])
